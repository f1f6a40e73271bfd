"""Does the agent need its instruction?"""

from functools import partial
from typing import TYPE_CHECKING

from genera.engine.capabilities import Navigates
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.navigation_splits import SPLITS, RolloutOptions
from genera.measures.schema import Definition

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


EVALUATOR = Evaluator(
    name="shuffled",
    question="Does the agent need its instruction, or does it succeed with another one?",
    measure=measure,
    measures=MEASURES,
    needs=(Navigates,),
    items=("navigation",),
    options_of="navigation",
    splits=SPLITS,
)
