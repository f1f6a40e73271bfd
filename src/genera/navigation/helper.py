"""HANNA's simulated helper: it answers requests with the route that leads nearest to a goal (Nguyen & Daumé 2019).

Help is available at the start of a route and at neighbours within 2 m of it. Of the routes available at a node, the
helper chooses one with the smallest distance from any of its nodes to any goal; the agent should leave the route at
that node.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError
from genera.navigation.episodes import Route
from genera.navigation.graphs import Graphs

RADIUS = 2.0  # metres
_TIE = 1e-6  # metres


class Help(NamedTuple):
    """Answers to B agents."""

    route: NDArray[np.int64]
    """(B,) index into `Helper.routes`"""
    start: NDArray[np.int64]
    """(B,) node where the route starts; the agent is moved there"""
    depart: NDArray[np.int64]
    """(B,) node of the route where the agent should leave it"""


class Helper:
    """The helper of one split, for all scans at once."""

    def __init__(self, graphs: Graphs, routes: Sequence[Route], split: str | None = None) -> None:
        """split: only the routes of this split; None uses all. Raises GeneraError for a route that leaves the graph."""
        self.graphs = graphs
        self.routes = tuple(route for route in routes if split in (None, route.split))
        if not self.routes:
            raise GeneraError(
                f"there are no help routes of split {split!r}; known: {sorted({r.split for r in routes})}."
            )
        self.paths = np.full((len(self.routes), max(len(route.path) for route in self.routes)), -1)
        """(R, L) nodes, -1 after the last"""
        for row, route in zip(self.paths, self.routes, strict=True):
            row[: len(route.path)] = [graphs.node(route.scan, viewpoint) for viewpoint in route.path]
            if not graphs.is_edge(row[: len(route.path) - 1], row[1 : len(route.path)]).all():
                raise GeneraError(f"help route {route.id} of scan {route.scan} has a move that is not an edge.")
        self._offered = self._offers()
        self.can_request = self._offered[:, 0] >= 0
        """(N,) whether help is available at a node"""

    def _offers(self) -> NDArray[np.int64]:
        """(N, M) routes available at each node, -1 after the last: routes from the node, then from near neighbours."""
        near = self.graphs.candidates.copy()
        here = np.arange(len(near))[:, None]
        near[self.graphs.distance(here, np.where(near >= 0, near, here)) > RADIUS] = -1
        places = np.concatenate([here, near], axis=1)  # starts of the routes available at each node
        order = np.argsort(self.paths[:, 0], kind="stable")
        starts = self.paths[order, 0]
        low, high = np.searchsorted(starts, places, "left"), np.searchsorted(starts, places, "right")
        count = np.where(places >= 0, high - low, 0)
        table = np.full((len(near), max(1, count.sum(axis=1).max())), -1)
        node, column = np.nonzero(count)
        sizes = count[node, column]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        before = (np.cumsum(count, axis=1) - count)[node, column]
        table[np.repeat(node, sizes), np.repeat(before, sizes) + within] = order[
            np.repeat(low[node, column], sizes) + within
        ]
        return table

    def answer(
        self, node: NDArray[np.int64], goals: NDArray[np.int64], uniform: NDArray[np.floating] | None = None
    ) -> Help:
        """The help for agents at `node` (B,) with goals (B, G; -1 after the last).

        uniform: (B,) in [0, 1) chooses among equally good routes, as in training; None takes the first, as in
        evaluation. Raises GeneraError for an agent at a node without help.
        """
        for agent in np.flatnonzero(~self.can_request[node])[:1]:
            raise GeneraError(
                f"agent {agent} asks at viewpoint {self.graphs.names[node[agent]]}, but no route starts nearby."
            )
        offered = self._offered[node]
        nodes = np.where(offered[..., None] >= 0, self.paths[offered], -1)  # (B, M, L)
        usable = (nodes[..., None] >= 0) & (goals[:, None, None] >= 0)
        here = np.where(usable, nodes[..., None], node[:, None, None, None])
        there = np.where(usable, goals[:, None, None], here)
        metres = np.where(usable, self.graphs.distance(here, there), np.inf).min(axis=3)
        best = metres.min(axis=2)
        ties = (best <= best.min(axis=1, keepdims=True) + _TIE) & (offered >= 0)
        drawn = 0 if uniform is None else np.floor(uniform * ties.sum(axis=1))[:, None]
        column, agent = (ties & (np.cumsum(ties, axis=1) - 1 == drawn)).argmax(axis=1), np.arange(len(node))
        route = offered[agent, column]
        return Help(route, self.paths[route, 0], self.paths[route, metres[agent, column].argmin(axis=1)])
