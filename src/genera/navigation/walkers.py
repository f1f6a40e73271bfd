"""Baseline agents without learning: lower and upper bounds for learned agents."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError
from genera.navigation.episodes import EpisodeTable, nearest
from genera.navigation.simulator import ahead, look, panoramic_move, view_of

Paths = NDArray[np.int64]  # (E, T) nodes from the start on, -1 after the last


def stop(table: EpisodeTable, seed: int = 0) -> Paths:
    """Stops where it starts."""
    return table.start[:, None]


def shortest(table: EpisodeTable, seed: int = 0) -> Paths:
    """Follows the shortest path to the goal. Raises GeneraError when a goal is unknown or cannot be reached."""
    if (table.goals[:, 0] < 0).any():
        raise GeneraError("the goals of this split are not public, so there is no shortest path; use another agent.")
    table.check_reachable()
    column = nearest(table.graphs, table.start, table.goals)[1]
    goal = np.take_along_axis(table.goals, column[:, None], axis=1)[:, 0]
    path = [table.start]
    while not np.array_equal(following := table.graphs.next_hop(path[-1], goal), path[-1]):
        path.append(following)
    return without_repeats(np.stack(path, axis=1))


def straightest(table: EpisodeTable, seed: int = 0, moves: int = 5) -> Paths:
    """Moves `moves` times to the neighbour with the smallest |relative heading|."""
    node, view = table.start, view_of(table.heading)
    path = [node]
    for _ in range(moves):
        node, view = panoramic_move(table.graphs, node, view, np.ones_like(node))
        path.append(node)
    return without_repeats(np.stack(path, axis=1))


def random(table: EpisodeTable, seed: int = 0) -> Paths:
    """The random agent of Anderson et al. 2018: turns right 0 … 11 times, then moves forward five times, turning right
    if nothing is navigable; at most 30 low-level actions."""
    turns = np.random.default_rng(seed).integers(0, 12, len(table))
    node, view, moves = table.start, view_of(table.heading), np.zeros(len(table), np.int64)
    forward = ahead(table.graphs)
    path = [node]
    for _ in range(30):
        there = forward[node, view]
        walks = moves < 5
        goes = walks & (turns == 0) & (there >= 0)
        view = np.where(walks & ~goes, look(view, np.ones_like(view), np.zeros_like(view)), view)
        turns = np.maximum(turns - 1, 0)
        node = np.where(goes, there, node)
        moves += goes
        path.append(node)
    return without_repeats(np.stack(path, axis=1))


AGENTS: dict[str, Callable[[EpisodeTable, int], Paths]] = {
    "stop": stop,
    "random": random,
    "shortest": shortest,
    "straightest": straightest,
}


def without_repeats(paths: Paths) -> Paths:
    """The same paths without repeated nodes: (E, T) nodes, -1 after the last."""
    fresh = np.pad(paths[:, 1:] != paths[:, :-1], ((0, 0), (1, 0)), constant_values=True) & (paths >= 0)
    order = np.argsort(~fresh, axis=1, kind="stable")
    moved = np.where(np.take_along_axis(fresh, order, axis=1), np.take_along_axis(paths, order, axis=1), -1)
    return moved[:, : fresh.sum(axis=1).max()]
