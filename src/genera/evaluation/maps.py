"""What do rollouts look like on a floor plan?"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genera.engine.capabilities import Navigates
from genera.evaluation.blocks import FloorPlans
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.navigation_splits import SPLITS, RolloutOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genera.navigation.episodes import EpisodeTable


def measure(evaluation: Evaluation, options: RolloutOptions) -> None:
    """A few episodes of each split: the house, the path, the reference, and the words attended to."""
    import numpy as np

    from genera.evaluation.rollouts import episodes, rollouts, scores, spread

    shown = []
    for split in evaluation.splits:
        walk = rollouts(evaluation, options, split)
        table, per_episode = episodes(evaluation, options, split), scores(evaluation, options, split)
        for row in spread(len(table)):
            episode = table.episodes[row]
            shown.append(
                {
                    "id": episode.id,
                    "split": split,
                    "scan": episode.scan,
                    "instruction": episode.instruction,
                    **_house(table, episode.scan),
                    "path": _within(table, row, walk.paths),
                    "reference": _within(table, row, table.reference),
                    "goals": _within(table, row, table.goals),
                    "words": walk.words[row] if walk.words else [],
                    "attention": np.round(walk.attention[row], 3).tolist() if walk.attention else [],
                    "figures": {name: float(values[row]) for name, values in per_episode.items()},
                }
            )
    evaluation.show(floor_plans(shown))


def floor_plans(walks: Sequence[Mapping[str, Any]]) -> FloorPlans:
    return FloorPlans(
        section="Rollouts",
        lead="Houses from above, north up. The line with numbered steps is the agent's path, the broad line the "
        "reference, the ring the goal. Below each plan: the words that the agent attended to at each step, shaded "
        "where they get more than an even share.",
        walks=[dict(walk) for walk in walks],
    )


def _house(table: "EpisodeTable", scan: str) -> dict[str, Any]:
    """Positions (n, 3) in metres and edges of a scan."""
    import numpy as np

    graphs = table.graphs
    number = graphs.scans.index(scan)
    first, end = graphs.first[number], graphs.first[number + 1]
    here, column = np.nonzero(graphs.candidates[first:end] >= 0)
    there = graphs.candidates[first + here, column] - first
    edges = np.stack([here, there], axis=1)[here < there]
    return {"positions": graphs.positions[first:end].round(2).tolist(), "edges": edges.tolist()}


def _within(table: "EpisodeTable", row: int, nodes: "NDArray[np.int64]") -> list[int]:
    """The nodes of a row, counted within its scan."""
    first = table.graphs.first[table.graphs.scan_of[table.start[row]]]
    return [int(node - first) for node in nodes[row] if node >= 0]


EVALUATOR = Evaluator(
    name="maps",
    question="What do rollouts look like on a floor plan?",
    measure=measure,
    measures=(),
    needs=(Navigates,),
    items=("navigation",),
    options_of="navigation",
    splits=SPLITS,
)
