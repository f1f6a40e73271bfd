"""Does the agent do better than a random one?"""

from collections.abc import Iterator
from functools import partial

from genera.engine.capabilities import Navigates
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.navigation_measures import R2R
from genera.evaluation.navigation_splits import SPLITS, RolloutOptions, judged
from genera.measures.schema import Definition, Figures, Finding, evidence

_define = partial(Definition, source=R2R, group="How it navigates")
MEASURES = (
    _define(
        "SR_random",
        "Success rate of the random agent",
        "share",
        "neither",
        "Success rate of an agent that turns to a random side and goes straight on five times: the level of chance.",
        headline=True,
    ),
    _define(
        "SPL_random", "SPL of the random agent", "share", "neither", "SPL of the random agent: the level of chance."
    ),
    _define(
        "goal_progress_random",
        "Goal progress of the random agent",
        "m",
        "neither",
        "Goal progress of the random agent: the level of chance.",
    ),
)
CHANCE = 0.03
"""A few hundred episodes cannot tell a success rate so little above the random agent's from it."""


def measure(evaluation: Evaluation, options: RolloutOptions) -> None:
    """The random agent on the same episodes."""
    from genera.evaluation.rollouts import COMPARED, episodes, rollouts
    from genera.measures.estimate import mean_estimate
    from genera.measures.navigation import score
    from genera.navigation.walkers import AGENTS

    rollouts(evaluation, options, evaluation.split)  # a run without an agent has nothing to compare
    for split in evaluation.splits:
        table = episodes(evaluation, options, split)
        per_episode = score(evaluation.data.source.task, table, AGENTS["random"](table, evaluation.seed))
        for name in COMPARED:
            if name in per_episode:
                evaluation.record(f"{name}_random", mean_estimate(per_episode[name]), split=split)


def no_better_than_chance(figures: Figures) -> Iterator[Finding]:
    there = judged(figures, "SR")
    success, chance = there.get("SR"), there.get("SR_random")
    if success is None or chance is None or success > chance + CHANCE:
        return
    yield Finding(
        "warning",
        f"The agent is no better than chance: its success rate is {success:.1%}, that of a random agent {chance:.1%}.",
        evidence(there, "SR", "SR_random", "SPL"),
        "Train longer, or check whether the fine-tuning loss falls at all; with a frozen encoder, the agent can take a "
        "higher learning rate.",
    )


EVALUATOR = Evaluator(
    name="random",
    question="Does the agent do better than a random one?",
    measure=measure,
    measures=MEASURES,
    needs=(Navigates,),
    items=("navigation",),
    options_of="navigation",
    rules=(no_better_than_chance,),
    splits=SPLITS,
)
