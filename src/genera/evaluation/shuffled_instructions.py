"""Does the agent need its instruction?"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from genera.engine.capabilities import Navigates
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.navigation_splits import SPLITS, RolloutOptions, judged
from genera.evaluation.random_agent import CHANCE
from genera.measures.schema import Definition, Figures, Finding, evidence

if TYPE_CHECKING:
    from genera.navigation.episodes import EpisodeTable

_define = partial(Definition, group="How it navigates")
MEASURES = (
    _define(
        "SR_shuffled",
        "Success rate with shuffled instructions",
        "share",
        "neither",
        "Success rate when every episode gets the instruction of another one. An agent that stays well above the "
        "random agent here does not need its instruction.",
        headline=True,
    ),
    _define(
        "nDTW_shuffled",
        "nDTW with shuffled instructions",
        "share",
        "neither",
        "nDTW when every episode gets the instruction of another one.",
    ),
    _define(
        "goal_progress_shuffled",
        "Goal progress with shuffled dialogues",
        "m",
        "neither",
        "Goal progress when every episode gets the dialogue and the target of another one.",
    ),
)


def measure(evaluation: Evaluation, options: RolloutOptions) -> None:
    """The same episodes, each with the instruction of another one."""
    from genera.evaluation.rollouts import episodes
    from genera.measures.estimate import mean_estimate
    from genera.measures.navigation import score

    for split in evaluation.splits:
        table = episodes(evaluation, options, split)
        walk = evaluation.model.navigate(with_shuffled_instructions(table), evaluation.data)
        per_episode = score(evaluation.data.source.task, table, walk.paths, walk.requests)
        for name in ("SR", "nDTW", "goal_progress"):
            if name in per_episode:
                evaluation.record(f"{name}_shuffled", mean_estimate(per_episode[name]), split=split)


def with_shuffled_instructions(table: "EpisodeTable") -> "EpisodeTable":
    """The table with the words of every episode from the episode half the table away."""
    from dataclasses import replace

    half = max(1, len(table) // 2)
    episodes = []
    for i, episode in enumerate(table.episodes):
        other = table.episodes[(i + half) % len(table)]
        words = {name: getattr(other, name) for name in ("instruction", "target", "turns") if hasattr(other, name)}
        episodes.append(replace(episode, **words))
    return replace(table, episodes=tuple(episodes))


def needs_the_instruction(figures: Figures) -> Iterator[Finding]:
    there = judged(figures, "SR")
    success, shuffled, chance = (there.get(name) for name in ("SR", "SR_shuffled", "SR_random"))
    if success is None or shuffled is None or chance is None or success <= chance + CHANCE:
        return
    used = evidence(there, "SR", "SR_shuffled", "SR_random", "nDTW", "nDTW_shuffled")
    if success - shuffled < 0.25 * (success - chance):
        yield Finding(
            "warning",
            f"The agent ignores the instruction: it succeeds in {shuffled:.1%} of the episodes with another episode's "
            f"instruction and in {success:.1%} with its own.",
            used,
            "It has learnt where goals tend to be, or has memorised the houses. Compare with --agent.r2r.modality "
            "vision, which reads no instruction; more instructions (synthesis, back-translation) help.",
        )
    else:
        yield Finding(
            "good",
            f"The agent needs its instruction: its success rate falls from {success:.1%} to {shuffled:.1%} with "
            "another episode's.",
            used,
            "The success that remains with a wrong instruction is what the houses alone give away.",
        )


EVALUATOR = Evaluator(
    name="shuffled",
    question="Does the agent need its instruction, or does it succeed with another one?",
    measure=measure,
    measures=MEASURES,
    needs=(Navigates,),
    items=("navigation",),
    options_of="navigation",
    rules=(needs_the_instruction,),
    splits=SPLITS,
)
