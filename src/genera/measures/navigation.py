"""How well trajectories follow instructions: TL, NE, SR, OSR, SPL, nDTW, SDTW, CLS, goal progress, HANNA's figures.

B trajectories are (B, T) nodes, -1 after the last; consecutive repeats are allowed. d is the geodesic distance in
metres. Every function returns one number a trajectory, so that spreads and breakdowns can be made of them.
"""

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError
from genera.measures.schema import Estimate
from genera.navigation.episodes import EpisodeTable, nearest
from genera.navigation.graphs import Graphs

Figures = dict[str, NDArray[np.float64]]

SUCCESS_RADIUS = 3.0  # metres, strictly inside
HANNA_RADIUS = 2.0  # metres, the border included
EARLY = 0.75
"""An episode that fails after less than this share of the shortest path has stopped early."""


def path_figures(graphs: Graphs, paths: NDArray[np.int64], references: NDArray[np.int64]) -> Figures:
    """R2R's figures of trajectories against references (B, R; -1 after the last), each (B,).

    TL, NE in metres, the others in 0..1. Anderson et al. 2018a (NE, SR, OSR), 2018b (SPL, whose L is the shortest way
    and not the annotated one), Ilharco et al. 2019 (nDTW, SDTW), Jain et al. 2019 (CLS). Where the goal cannot be
    reached NE is inf and SR, SPL are 0. A zero-length task has SPL 1 for staying, 0 for moving.
    """
    goal = last(references)
    length = path_length(graphs, paths)
    cost = pair_costs(graphs, paths, references)
    error = graphs.distance(last(paths), goal)
    success = (error < SUCCESS_RADIUS).astype(np.float64)
    to_goal = np.take_along_axis(cost, (_lengths(references) - 1)[:, None, None], axis=2)[..., 0]
    similarity = np.exp(-_dtw(cost, paths, references) / (_lengths(references) * SUCCESS_RADIUS))
    return {
        "TL": length,
        "NE": error,
        "SR": success,
        "OSR": (to_goal.min(axis=1) < SUCCESS_RADIUS).astype(np.float64),
        "SPL": success * efficiency(graphs.distance(paths[:, 0], goal), length),
        "nDTW": similarity,
        "SDTW": success * similarity,
        "CLS": _coverage(cost, references, length, path_length(graphs, references)),
    }


def goal_progress(graphs: Graphs, paths: NDArray[np.int64], end_panos: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B,) metres by which the goal region (B, P viewpoints) came nearer; negative for going away.

    Thomason et al. 2019. It is not measured to the end of the supervision path. 0 where no way leads to the region.
    """
    before, after = nearest(graphs, paths[:, 0], end_panos)[0], nearest(graphs, last(paths), end_panos)[0]
    return np.subtract(before, after, out=np.zeros_like(before), where=np.isfinite(before))


def hanna_figures(
    graphs: Graphs, paths: NDArray[np.int64], goals: NDArray[np.int64], requests: NDArray[np.int64]
) -> Figures:
    """SR, SPL and NE against the goal (B, G) that is nearest to the end, and the number of help requests (B,).

    Nguyen & Daumé 2019; success is 2 m or less.
    """
    end = last(paths)
    error, column = nearest(graphs, end, goals)
    success = (error <= HANNA_RADIUS).astype(np.float64)
    goal = np.maximum(np.take_along_axis(goals, column[:, None], axis=1)[:, 0], 0)
    spl = success * efficiency(graphs.distance(paths[:, 0], goal), path_length(graphs, paths))
    return {"SR": success, "SPL": spl, "NE": error, "requests": requests.astype(np.float64)}


def score(
    task: str, table: EpisodeTable, paths: NDArray[np.int64], requests: NDArray[np.int64] | None = None
) -> Figures:
    """The figures of a task, "r2r", "ndh" or "hanna", for one trajectory (E, T) of each episode of the table.

    requests: (E,) how often HANNA's agent asked for help; None for one that never asks.
    Raises GeneraError when the table keeps its goals back.
    """
    if (table.goals[:, 0] < 0).any():
        raise GeneraError("this split keeps its references back; only the benchmark's own server can score it.")
    if task == "hanna":
        asked = np.zeros(len(table), np.int64) if requests is None else requests
        return hanna_figures(table.graphs, paths, table.goals, asked)
    figures = path_figures(table.graphs, paths, table.reference)
    if task == "ndh":
        figures["goal_progress"] = goal_progress(table.graphs, paths, table.end_panos)
    return figures


def behaviour(table: EpisodeTable, paths: NDArray[np.int64], success: NDArray[np.float64], radius: float) -> Figures:
    """How episodes fail: (E,) whether each one stopped early, and whether it passed the goal and ended elsewhere.

    success: (E,) 1 where an episode succeeded. radius: of success, metres.
    """
    rows = np.arange(len(table))
    shortest = table.goal_distance(table.start, rows)
    metres = [np.where(at >= 0, table.goal_distance(np.maximum(at, 0), rows), np.inf) for at in paths.T]
    passed = (success == 0) & (np.min(metres, axis=0) <= radius)
    early = (success == 0) & ~passed & (path_length(table.graphs, paths) < EARLY * shortest)
    return {"stopped_early": early.astype(np.float64), "passed_by": passed.astype(np.float64)}


def revisits(paths: NDArray[np.int64]) -> Estimate:
    """Share of all moves that lead to a node where the trajectory has been before."""
    moves = again = 0
    for path in paths.tolist():
        nodes = [node for node in path if node >= 0]
        moves += len(nodes) - 1
        again += len(nodes) - len(set(nodes))
    return Estimate(again / max(1, moves), None, moves)


def summary(figures: Figures) -> dict[str, float]:
    """The means. NE is averaged over the goals that can be reached, and `unreachable` counts the others."""
    means = {name: float(values.mean()) for name, values in figures.items()}
    finite = np.isfinite(figures["NE"])
    means["NE"] = float(figures["NE"][finite].mean()) if finite.any() else float("inf")
    return {**means, "unreachable": int((~finite).sum())}


# -- parts ------------------------------------------------------------------------------------------------------------


def last(paths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(B,) the last node of each row."""
    return np.take_along_axis(paths, _lengths(paths)[:, None] - 1, axis=1)[:, 0]


def path_length(graphs: Graphs, paths: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B,) metres."""
    here, there = paths[:, :-1], paths[:, 1:]
    return np.where(there >= 0, graphs.distance(here, there), 0.0).sum(axis=1)


def efficiency(shortest: NDArray[np.float64], length: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,) L / max(L, TL), the second factor of SPL; 0 where L is infinite."""
    longest = np.maximum(shortest, length)
    reachable = np.isfinite(longest)
    ratio = np.divide(shortest, longest, out=np.ones_like(longest), where=reachable & (longest > 0))
    return np.where(reachable, ratio, 0.0)


def pair_costs(graphs: Graphs, paths: NDArray[np.int64], references: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B, T, R) d between every node of a path and of its reference; inf beyond the ends."""
    p, r = paths[:, :, None], references[:, None, :]
    inside = (p >= 0) & (r >= 0)
    here = np.where(inside, p, paths[:, :1, None])
    return np.where(inside, graphs.distance(here, np.where(inside, r, here)), np.inf)


def _lengths(paths: NDArray[np.int64]) -> NDArray[np.int64]:
    return (paths >= 0).sum(axis=1)


def _dtw(cost: NDArray[np.float64], paths: NDArray[np.int64], references: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B,) dynamic time warping, three ways into each cell; one row of the table at a time."""
    batch, steps, width = cost.shape
    before = np.full((width + 1, batch), np.inf)
    before[0] = 0.0
    ends, columns, total = _lengths(paths), _lengths(references), np.zeros(batch)
    for t in range(steps):
        row = np.full_like(before, np.inf)
        for j in range(width):
            row[j + 1] = cost[:, t, j] + np.minimum(np.minimum(before[j], before[j + 1]), row[j])
        total = np.where(ends == t + 1, row[columns, np.arange(batch)], total)
        before = row
    return total


def _coverage(
    cost: NDArray[np.float64],
    references: NDArray[np.int64],
    length: NDArray[np.float64],
    reference_length: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(B,) coverage weighted by length score."""
    near = np.where(references >= 0, np.exp(-cost.min(axis=1) / SUCCESS_RADIUS), 0.0)
    coverage = near.sum(axis=1) / _lengths(references)
    known = np.isfinite(reference_length)  # a reference that leaves the edges may have no length
    expected = coverage * np.where(known, reference_length, 0.0)
    off = expected + np.abs(expected - length)
    return coverage * known * np.divide(expected, off, out=np.ones_like(off), where=off > 0)
