"""The rules of the Matterport3D simulator with discrete viewing angles, for B agents at once: navigable neighbours,
moves and experts. Pure functions of nodes and view indices; `environments` adds steps and rewards.

Two action spaces (Anderson et al. 2018; Fried et al. 2018):
- low level: turn in steps of 30° and go to an entry of the navigable list, whose entry 0 is the current viewpoint;
- panoramic: STOP, then all neighbours by |relative heading|, ties by viewpoint index.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genera.errors import GeneraError
from genera.navigation.graphs import HEADINGS, STEP, VIEWS, Graphs, canonical, heading_step

HALF_WIDTH = np.radians(40)  # horizontal half field of view of the simulator: vertical 60° · 640 / 480 / 2

Nodes = NDArray[np.int64]


def view_of(heading: ArrayLike) -> NDArray[np.int64]:
    """The level view of an agent with this heading (radians)."""
    return HEADINGS + heading_step(heading)


def pose_of(view: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heading and elevation of the centre of a view, in radians."""
    level, step = np.divmod(np.asarray(view), HEADINGS)
    return STEP * step, STEP * (level - 1)


# -- panoramic --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slots:
    """The panoramic actions of every node (N) and heading step (12) of a graph; A = 1 + K slots, STOP first."""

    node: NDArray[np.int32]
    """(N · 12, A): the node that a slot leads to; the node itself for STOP and padding"""
    view: NDArray[np.int8]
    """(N · 12, A): the view towards that node, which is also the view after the move; 0 for STOP and padding"""
    valid: NDArray[np.int8]
    """(N · 12, A): 1 for STOP and neighbours, 0 for padding"""


@lru_cache(maxsize=4)
def slots(graphs: Graphs) -> Slots:
    here = np.arange(len(graphs))[:, None, None]
    node, view = graphs.candidates[here, graphs.ranked], graphs.candidate_view[here, graphs.ranked]
    valid = node >= 0

    def table(stop: ArrayLike, values: NDArray, dtype: type) -> NDArray:
        first = np.broadcast_to(stop, (*values.shape[:2], 1))
        return np.concatenate([first, values], axis=2).astype(dtype).reshape(-1, values.shape[2] + 1)

    return Slots(table(here, np.where(valid, node, here), np.int32), table(0, view, np.int8), table(1, valid, np.int8))


def panoramic_move(graphs: Graphs, node: Nodes, view: Nodes, action: Nodes) -> tuple[Nodes, Nodes]:
    """Nodes and views (B,) after panoramic actions. STOP and padding slots have no effect."""
    table = slots(graphs)
    row = node * HEADINGS + view % HEADINGS
    moves = (action > 0) & (table.valid[row, action] > 0)
    return table.node[row, action].astype(np.int64), np.where(moves, table.view[row, action], view)


def panoramic_expert(graphs: Graphs, node: Nodes, view: Nodes, goal: Nodes) -> NDArray[np.int64]:
    """(B,) the action along the shortest path to the goal; 0 at the goal and if there is no path."""
    following = graphs.next_hop(node, goal)
    leads = slots(graphs).node[node * HEADINGS + view % HEADINGS] == following[:, None]
    return np.where(following == node, 0, leads[:, 1:].argmax(axis=1) + 1)


def views_along(graphs: Graphs, paths: Nodes, heading: NDArray[np.float64]) -> Nodes:
    """(B, T) the view of a panoramic agent at each node of its path (B, T; -1 after the last), starting with `heading`.

    A move changes the view to the one that showed the chosen neighbour; staying keeps the view.
    """
    views = [view_of(heading)]
    for here, there in zip(paths[:, :-1].T, paths[:, 1:].T, strict=True):
        match = graphs.candidates[here] == there[:, None]
        seen = np.take_along_axis(graphs.candidate_view[here], match.argmax(axis=1)[:, None], axis=1)[:, 0]
        views.append(np.where(match.any(axis=1) & (there >= 0), seen, views[-1]))
    return np.stack(views, axis=1)


# -- low level --------------------------------------------------------------------------------------------------------


def navigable(graphs: Graphs, node: Nodes, view: Nodes) -> NDArray[np.int64]:
    """(B, K) the navigable list without its entry 0: columns of `graphs.candidates`, -1 after the last.

    Neighbours within 40° to either side, at any elevation, sorted by distance from the centre of the view.
    """
    heading, elevation = pose_of(view)
    aside = canonical(graphs.candidate_heading[node] - heading[:, None])
    above = graphs.candidate_elevation[node] - elevation[:, None]
    seen = (graphs.candidates[node] >= 0) & (np.abs(aside) <= HALF_WIDTH)
    order = np.argsort(np.where(seen, np.hypot(aside, above), np.inf), axis=1, kind="stable")
    return np.where(np.take_along_axis(seen, order, axis=1), order, -1)


@lru_cache(maxsize=4)
def ahead(graphs: Graphs) -> NDArray[np.int64]:
    """(N, 36) the node that "forward" leads to from each view, entry 1 of the navigable list; -1 if there is none."""
    nodes, views = np.repeat(np.arange(len(graphs)), VIEWS), np.tile(np.arange(VIEWS), len(graphs))
    column = navigable(graphs, nodes, views)[:, 0]
    return np.where(column >= 0, graphs.candidates[nodes, column], -1).reshape(-1, VIEWS)


def make_action(
    graphs: Graphs, node: Nodes, view: Nodes, index: Nodes, turn: Nodes, tilt: Nodes
) -> tuple[Nodes, Nodes]:
    """Nodes and views (B,) after a simulator action: go to entry `index` of the navigable list, then turn and tilt by
    one step of 30° in the direction of the sign. Raises GeneraError when a list has no such entry."""
    columns = np.pad(navigable(graphs, node, view), ((0, 0), (1, 0)))
    chosen = np.take_along_axis(columns, np.clip(index, 0, columns.shape[1] - 1)[:, None], axis=1)[:, 0]
    for agent in np.flatnonzero((chosen < 0) | (index < 0) | (index >= columns.shape[1]))[:1]:
        entries = (columns[agent] >= 0).sum()
        raise GeneraError(
            f"agent {agent} chose entry {index[agent]} of a navigable list of {entries}; entries are 0 … {entries - 1}."
        )
    return np.where(index > 0, graphs.candidates[node, chosen], node), look(view, turn, tilt)


def look(view: Nodes, turn: Nodes, tilt: Nodes) -> Nodes:
    """Views after one step of 30° to the right (turn > 0) or left, up (tilt > 0) or down, within the three levels."""
    level, step = np.divmod(view, HEADINGS)
    return HEADINGS * np.clip(level + np.sign(tilt), 0, 2) + (step + np.sign(turn)) % HEADINGS


def low_level_expert(graphs: Graphs, node: Nodes, view: Nodes, goal: Nodes) -> tuple[Nodes, Nodes, Nodes]:
    """Index, turn and tilt (B,) of the shortest-path expert; all 0 at the goal.

    If the next node is navigable, the expert turns and then tilts towards it until it is within 30°, and moves.
    Otherwise it levels the gaze and turns in the shorter direction.
    """
    following = graphs.next_hop(node, goal)
    columns = navigable(graphs, node, view)
    shown = (graphs.candidates[node[:, None], columns] == following[:, None]) & (columns >= 0)
    seen, index = shown.any(axis=1), shown.argmax(axis=1) + 1
    column = (graphs.candidates[node] == following[:, None]).argmax(axis=1)
    heading, elevation = pose_of(view)
    aside = canonical(graphs.candidate_heading[node, column] - heading)
    above = graphs.candidate_elevation[node, column] - elevation
    level = view // HEADINGS

    turn = np.sign(aside) * (np.abs(aside) > STEP)
    tilt = np.sign(above) * (np.abs(above) > STEP) * ((above > 0) & (level < 2) | (above < 0) & (level > 0))
    search_tilt = np.sign(1 - level)
    search_turn = np.where(aside < 0, -1, 1)
    turn = np.where(seen, turn, search_turn * (search_tilt == 0))
    tilt = np.where(seen, tilt * (turn == 0), search_tilt)
    going = node != following
    move = seen & (turn == 0) & (tilt == 0)
    return index * (move & going), (turn * going).astype(np.int64), (tilt * going).astype(np.int64)


def low_level_trace(graphs: Graphs, path: list[int], heading: float) -> list[tuple[str, float, float]]:
    """The (viewpoint, heading, elevation) states of a low-level agent that follows a path of nodes, as in leaderboard
    files. For each move it tilts to the level of the neighbour's view, turns right until it faces that view, then
    moves."""
    view = view_of([heading])
    trace = [(path[0], view)]
    for here, there in pairwise(path):
        if here == there:
            continue
        target = graphs.candidate_view[here][graphs.candidates[here] == there]
        while view != target:
            tilt = np.sign(target // HEADINGS - view // HEADINGS)
            view = look(view, (tilt == 0).astype(np.int64), tilt)
            trace.append((here, view))
        trace.append((there, view))
    poses = [(graphs.names[node], *pose_of(view)) for node, view in trace]
    return [(name, float(heading[0]), float(elevation[0])) for name, heading, elevation in poses]
