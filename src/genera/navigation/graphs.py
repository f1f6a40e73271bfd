"""Navigation graphs of all scans in flat arrays: nodes, neighbours, distances and shortest paths.

The N nodes are the included viewpoints of all scans, scan by scan, in file order, including isolated ones.
Headings are radians from +y, clockwise, in [0, 2π); elevations radians, up positive. A panorama is 36 views, view
12·level + k: level 0 looks 30° down, 1 ahead, 2 up, and k is the heading in steps of 30°.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genera.data.cache import build_once, cache_folder
from genera.errors import GeneraError, unknown
from genera.files import read_json, write_json
from genera.navigation import connectivity
from genera.navigation.connectivity import Scan

Nodes: TypeAlias = NDArray[np.integer] | list[int] | int

HEADINGS, VIEWS = 12, 36
STEP = np.pi / 6
MOST_NEIGHBOURS = 13  # of any Matterport3D viewpoint; the action space has one more action, STOP

_FORMAT = "1"  # of the cached arrays; increase it to invalidate older folders


def canonical(angle: ArrayLike) -> NDArray[np.float64]:
    """The same angle in (-π, π]."""
    return np.pi - (np.pi - np.asarray(angle, np.float64)) % (2 * np.pi)


def heading_step(heading: ArrayLike) -> NDArray[np.int64]:
    """The nearest of the 12 headings, halves away from zero."""
    return np.floor(np.asarray(heading, np.float64) / STEP + 0.5).astype(np.int64) % HEADINGS


def elevation_level(elevation: ArrayLike) -> NDArray[np.int64]:
    """The nearest level, 0 down, 1 ahead, 2 up."""
    return np.clip(np.floor(np.asarray(elevation, np.float64) / STEP + 0.5), -1, 1).astype(np.int64) + 1


@dataclass(frozen=True, eq=False)
class Graphs:
    """S scans and their N viewpoints, with K ≥ 13 neighbour columns. Immutable, hashed by identity."""

    scans: tuple[str, ...]
    names: tuple[str, ...]
    """viewpoint ids of the nodes"""
    excluded: tuple[tuple[str, ...], ...]
    """for each scan, the viewpoints in its file that are not nodes"""
    first: NDArray[np.int64]
    """(S + 1,): the nodes of scan s are first[s] … first[s + 1] - 1"""
    positions: NDArray[np.float64]
    """(N, 3) metres"""
    candidates: NDArray[np.int64]
    """(N, K) neighbours in index order, -1 after the last"""
    candidate_view: NDArray[np.int64]
    """(N, K) the view whose direction is closest to each neighbour"""
    candidate_heading: NDArray[np.float64]
    """(N, K)"""
    candidate_elevation: NDArray[np.float64]
    """(N, K)"""
    ranked: NDArray[np.int8]
    """(N, 12, K) columns of `candidates` by |relative heading| to each of 12 headings, ties by index, padding last"""
    distances: NDArray[np.float64]
    """distances in metres of all pairs of each scan, flat; inf if there is no path"""
    hops: NDArray[np.int16]
    """aligned with `distances`: the next node on the shortest path, as an index in the scan; the node itself if none"""

    # -- names --------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.names)

    def node(self, scan: str, viewpoint: str) -> int:
        """Raises GeneraError when the scan or viewpoint is unknown, or the viewpoint is excluded."""
        node = self.nodes_of(scan).get(viewpoint)
        if node is not None:
            return node
        if viewpoint in self.excluded[self.scans.index(scan)]:
            raise GeneraError(
                f"viewpoint {viewpoint} of scan {scan} is excluded from its graph, so agents cannot visit it."
            )
        raise unknown(f"viewpoint of scan {scan}:", viewpoint, self.nodes_of(scan))

    def nodes_of(self, scan: str) -> dict[str, int]:
        """viewpoint id → node. Raises GeneraError for an unknown scan."""
        if scan not in self._nodes:
            raise unknown("scan", scan, self.scans)
        return self._nodes[scan]

    @cached_property
    def _nodes(self) -> dict[str, dict[str, int]]:
        spans = zip(self.scans, self.first, self.first[1:], strict=False)
        return {scan: dict(zip(self.names[a:b], range(a, b), strict=True)) for scan, a, b in spans}

    @cached_property
    def scan_of(self) -> NDArray[np.int64]:
        """(N,) the scan of each node."""
        return np.repeat(np.arange(len(self.scans)), np.diff(self.first))

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """(N,) number of neighbours."""
        return (self.candidates >= 0).sum(axis=1)

    # -- ways ---------------------------------------------------------------------------------------------------------

    @cached_property
    def pair_offset(self) -> NDArray[np.int64]:
        """(N,): the pair (a, b) of one scan is entry pair_offset[a] + b of `distances` and `hops`."""
        sizes = np.diff(self.first)
        start = np.concatenate([[0], np.cumsum(sizes**2)])[self.scan_of]
        first = self.first[self.scan_of]
        return start + (np.arange(len(self)) - first) * sizes[self.scan_of] - first

    def distance(self, a: Nodes, b: Nodes) -> NDArray[np.float64]:
        """Geodesic distances in metres between nodes of the same scan, elementwise; inf if there is no path."""
        return self.distances[self.pair_offset[a] + b]

    def next_hop(self, a: Nodes, b: Nodes) -> NDArray[np.int64]:
        """The node after a on the shortest path to b in the same scan, elementwise; a itself if there is none."""
        return self.hops[self.pair_offset[a] + b] + self.first[self.scan_of[a]]

    def shortest_path(self, a: int, b: int) -> list[int]:
        """The nodes from a to b, inclusive. Raises GeneraError when there is no path."""
        if self.scan_of[a] != self.scan_of[b] or not np.isfinite(self.distance(a, b)):
            raise GeneraError(f"there is no path from viewpoint {self.names[a]} to {self.names[b]}.")
        path = [a]
        while path[-1] != b:
            path.append(int(self.next_hop(path[-1], b)))
        return path

    def is_edge(self, a: Nodes, b: Nodes) -> NDArray[np.bool_]:
        """Whether a and b are neighbours, elementwise."""
        return (self.candidates[a] == np.asarray(b)[..., None]).any(axis=-1)

    def edges(self) -> int:
        """Number of undirected edges of all scans."""
        return int(self.degrees.sum()) // 2

    # -- making -------------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path, strict: bool = True) -> Self:
        """The graphs of a folder or archive of connectivity files, cached under a hash of their content.

        Raises GeneraError when a file is malformed; strict=False skips malformed viewpoints, with a warning.
        """
        mode = "" if strict else "-lenient"
        folder = cache_folder() / f"graphs-{_FORMAT}-{connectivity.content_hash(path)[:32]}{mode}"
        build_once(folder, lambda temporary: cls.build(connectivity.read(path, strict)).save(temporary))
        return cls.load(folder)

    def save(self, folder: Path) -> None:
        write_json(folder / "names.json", {name: getattr(self, name) for name in ("scans", "names", "excluded")})
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        names = read_json(folder / "names.json")
        names = {"excluded": tuple(map(tuple, names.pop("excluded"))), **{key: tuple(names[key]) for key in names}}
        try:
            arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _ARRAYS}
        except (OSError, ValueError) as error:
            raise GeneraError(f"{folder} is damaged ({error}); delete it, and it will be rebuilt.") from None
        return cls(**names, **arrays)

    @classmethod
    def build(cls, scans: Sequence[Scan]) -> Self:
        """Graphs of checked scans."""
        first = np.cumsum([0, *(int(scan.included.sum()) for scan in scans)])
        positions = np.concatenate([scan.positions[scan.included] for scan in scans])
        adjacent = [scan.unobstructed[np.ix_(scan.included, scan.included)] for scan in scans]
        pairs = [np.argwhere(matrix) + start for matrix, start in zip(adjacent, first, strict=False)]
        here, there = np.concatenate(pairs).T
        degrees = np.bincount(here, minlength=len(positions))
        column = np.arange(len(here)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
        shape = len(positions), max(MOST_NEIGHBOURS, degrees.max())

        def table(values: NDArray, padding: float) -> NDArray:
            filled = np.full(shape, padding, values.dtype)
            filled[here, column] = values
            return filled

        # The official simulator stores positions in single precision; compute angles from them to match it exactly.
        dx, dy, dz = (positions.astype(np.float32)[there] - positions.astype(np.float32)[here]).astype(np.float64).T
        heading, elevation = np.arctan2(dx, dy) % (2 * np.pi), np.arctan2(dz, np.hypot(dx, dy))
        candidates, headings = table(there, -1), table(heading, 0.0)
        turn = np.abs(canonical(headings[:, None] - STEP * np.arange(HEADINGS)[None, :, None]))
        turn[np.broadcast_to(candidates[:, None] < 0, turn.shape)] = np.inf
        ways = [_all_pairs(scan.positions[scan.included], matrix) for scan, matrix in zip(scans, adjacent, strict=True)]
        return cls(
            scans=tuple(scan.name for scan in scans),
            names=tuple(name for scan in scans for name, kept in _flagged(scan) if kept),
            excluded=tuple(tuple(name for name, kept in _flagged(scan) if not kept) for scan in scans),
            first=first,
            positions=positions,
            candidates=candidates,
            candidate_view=table(HEADINGS * elevation_level(elevation) + heading_step(heading), 0),
            candidate_heading=headings,
            candidate_elevation=table(elevation, 0.0),
            ranked=np.argsort(turn, axis=-1, kind="stable").astype(np.int8),
            distances=np.concatenate([distances.ravel() for distances, _ in ways]),
            hops=np.concatenate([hops.ravel() for _, hops in ways]),
        )


_ARRAYS = [field.name for field in fields(Graphs) if field.name not in ("scans", "names", "excluded")]


def _flagged(scan: Scan) -> Iterator[tuple[str, bool]]:
    return zip(scan.viewpoints, scan.included.tolist(), strict=True)


def _all_pairs(
    positions: NDArray[np.float64], adjacent: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """(n, n) distances of one scan and, at [a, b], the node after a on the path to b (a if there is none)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    here, there = np.nonzero(adjacent)
    lengths = np.linalg.norm(positions[here] - positions[there], axis=1)
    graph = csr_array((lengths, (here, there)), shape=adjacent.shape)
    distances, before = dijkstra(graph, return_predecessors=True)
    hops = before.T  # undirected: the predecessor of a on the path from b is the successor of a on the path to b
    return distances, np.where(hops < 0, np.arange(len(positions))[:, None], hops).astype(np.int16)


def enumerate_paths(
    graphs: Graphs, scans: Sequence[str], fewest: int = 4, most: int = 6, shortest: float = 5.0
) -> NDArray[np.int64]:
    """All shortest paths of `fewest` to `most` edges and at least `shortest` metres, one per ordered pair of endpoints.

    Returns (M, most + 1) nodes, ordered by start and then goal, -1 after the goal. The defaults are the rule for R2R
    paths and for the published synthetic set. Raises GeneraError for an unknown scan.
    """
    parts = [np.empty((0, most + 1), np.int64)]
    for scan in scans:
        nodes = np.fromiter(graphs.nodes_of(scan).values(), np.int64)
        here, goal = (side.ravel() for side in np.meshgrid(nodes, nodes, indexing="ij"))
        distance = graphs.distance(here, goal)
        far = np.isfinite(distance) & (distance >= shortest)
        here, goal = here[far], goal[far]
        path = [here]
        for _ in range(most):
            path.append(graphs.next_hop(path[-1], goal))
        paths = np.stack(path, axis=1)
        edges = (paths != goal[:, None]).sum(axis=1)
        kept = (edges >= fewest) & (paths[:, -1] == goal)
        parts.append(np.where(np.arange(most + 1) <= edges[kept, None], paths[kept], -1))
    return np.concatenate(parts)
