"""Shared by the evaluators of navigation: episodes of a split, the agent's rollouts, and their figures."""

from genera.engine.capabilities import Walk
from genera.evaluation.evaluator import Evaluation
from genera.evaluation.navigation_splits import RolloutOptions
from genera.measures.navigation import Figures, score
from genera.navigation.episodes import EpisodeTable

SHOWN = 6
"""Episodes, or paths, of each split that are shown."""
COMPARED = ("SR", "SPL", "goal_progress")
"""Figures that seen and unseen houses, and the random agent, are compared by; the last is NDH's alone."""


def episodes(evaluation: Evaluation, options: RolloutOptions, split: str) -> EpisodeTable:
    """The first episodes of a split."""

    def cut() -> EpisodeTable:
        table: EpisodeTable = evaluation.data.table(split)
        return EpisodeTable(table.graphs, table.episodes[: options.episodes])

    return evaluation.once(("episodes", options, split), cut)


def rollouts(evaluation: Evaluation, options: RolloutOptions, split: str) -> Walk:
    """The agent's rollouts of these episodes, computed once. Raises Lacks for a run without an agent."""

    def walk() -> Walk:
        return evaluation.model.navigate(episodes(evaluation, options, split), evaluation.data)

    return evaluation.once(("rollouts", options, split), walk)


def scores(evaluation: Evaluation, options: RolloutOptions, split: str) -> Figures:
    """The task's figures of these rollouts, each (E,)."""

    def measure() -> Figures:
        walk = rollouts(evaluation, options, split)
        return score(evaluation.data.source.task, episodes(evaluation, options, split), walk.paths, walk.requests)

    return evaluation.once(("scores", options, split), measure)


def spread(count: int) -> list[int]:
    """Up to SHOWN rows, evenly over the whole range."""
    shown = min(SHOWN, count)
    return [i * count // shown for i in range(shown)]
