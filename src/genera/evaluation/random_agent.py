"""Does the agent do better than agents without learning?"""

from functools import partial

from genera.engine.capabilities import Navigates
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.navigation_measures import R2R
from genera.evaluation.navigation_splits import SPLITS, RolloutOptions
from genera.measures.schema import Definition

_define = partial(Definition, source=R2R, group="How it navigates")
AGENTS = {
    "random": (
        "the random agent",
        "an agent that turns to a random side and goes straight on five times: the level of chance",
    ),
    "stop": ("stopping at once", "an agent that stays where it starts"),
    "shortest": ("the shortest path", "an agent that knows the goal and takes the shortest path to it: the ceiling"),
}
"""Agent without learning → its name and what it does."""
TITLES = {"SR": ("Success rate", "share"), "SPL": ("SPL", "share"), "goal_progress": ("Goal progress", "m")}
MEASURES = tuple(
    _define(
        f"{name}_{agent}",
        f"{title} of {words}",
        unit,
        "neither",
        f"{title} of {does}.",
        headline=(name, agent) == ("SR", "random"),
    )
    for agent, (words, does) in AGENTS.items()
    for name, (title, unit) in TITLES.items()
)


def measure(evaluation: Evaluation, options: RolloutOptions) -> None:
    """The random agent, one that stops at once and one that knows the goal, on the same episodes."""
    from genera.evaluation.rollouts import COMPARED, episodes, rollouts
    from genera.measures.estimate import mean_estimate
    from genera.measures.navigation import score
    from genera.navigation import walkers

    rollouts(evaluation, options, evaluation.split)  # a run without an agent has nothing to compare
    for split in evaluation.splits:
        table = episodes(evaluation, options, split)
        for agent in AGENTS:
            per_episode = score(evaluation.data.source.task, table, walkers.AGENTS[agent](table, evaluation.seed))
            for name in COMPARED:
                if name in per_episode:
                    evaluation.record(f"{name}_{agent}", mean_estimate(per_episode[name]), split=split)


EVALUATOR = Evaluator(
    name="random",
    question="Does the agent do better than a random one, and how far is it from the shortest path?",
    measure=measure,
    measures=MEASURES,
    needs=(Navigates,),
    items=("navigation",),
    options_of="navigation",
    splits=SPLITS,
)
