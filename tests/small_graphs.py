"""Graphs small enough to know everything about."""

from genera.navigation import connectivity
from genera.navigation.episodes import Episode, EpisodeTable
from genera.navigation.graphs import Graphs


def entries(positions, edges, excluded=()):
    """The value of a connectivity file; viewpoint i is called "v{i}"."""
    n = len(positions)
    linked = {frozenset(edge) for edge in edges}
    return [
        {
            "image_id": f"v{i}",
            "pose": [1, 0, 0, x, 0, 1, 0, y, 0, 0, 1, z, 0, 0, 0, 1],
            "included": i not in excluded,
            "visible": [False] * n,
            "unobstructed": [frozenset((i, j)) in linked and i != j for j in range(n)],
            "height": 1.5,
        }
        for i, (x, y, z) in enumerate(positions)
    ]


def graphs_of(**scans):
    """Graphs of scans given as name=entries(...)."""
    return Graphs.build([connectivity.parse(name, value, name) for name, value in scans.items()])


# A line along +y, 4 m apart, with a branch to the right of v1 and one stair up; v5 and v6 are a part of their own.
#
#   v0 - v1 - v2 - v3 (3 m higher)      v5 - v6
#         \ v4 (to the right)
POSITIONS = [(0, 0, 0), (0, 4, 0), (0, 8, 0), (0, 12, 3), (4, 4, 0), (50, 0, 0), (50, 2, 0), (9, 9, 9)]
EDGES = [(0, 1), (1, 2), (2, 3), (1, 4), (5, 6), (6, 7)]


def street():
    """One scan "street" of 8 viewpoints, of which v7 is excluded."""
    return graphs_of(street=entries(POSITIONS, EDGES, excluded={7}))


def table_of(graphs, *paths, heading=0.0, goals=None, scan=None):
    """Episodes "0", "1", … with these paths of viewpoint names."""
    scan = scan or graphs.scans[0]
    return EpisodeTable(
        graphs,
        tuple(
            Episode(str(i), scan, tuple(path), heading, "go there", tuple(goals[i]) if goals else tuple(path[-1:]))
            for i, path in enumerate(paths)
        ),
    )
