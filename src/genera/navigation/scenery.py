"""Synthetic view features: codes of the visible rooms and landmarks, plus noise.

They replace features of photographs in procedural houses, whose rooms and landmarks are known, and on real graphs for
users without the Matterport3D licence. There, rooms are spatial clusters and landmarks are random.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genera.files import read_json
from genera.navigation.features import ArrayViews
from genera.navigation.graphs import VIEWS, Graphs

SCENERY = "scenery.json"
"""File beside the episodes: scan → viewpoint → [room number, kind of room, landmark]."""
ROOMS = (
    "kitchen", "bedroom", "bathroom", "hallway", "office", "library", "gym", "garage", "nursery", "pantry", "lounge",
    "dining room",
)  # fmt: skip
LANDMARKS = (
    "sofa", "table", "lamp", "bookcase", "mirror", "piano", "clock", "plant", "painting", "fireplace", "desk",
    "armchair", "wardrobe", "rug", "vase", "statue", "television", "cabinet", "aquarium", "globe", "bench", "chest",
    "trophy", "candle",
)  # fmt: skip

NOISE = 0.35
_CLUSTER = np.array([5.0, 5.0, 2.5])  # metres: size of the grid cells that count as one room


@dataclass(frozen=True)
class Scenery:
    """Rooms and landmarks of the N nodes of a graph."""

    room: NDArray[np.int64]
    """(N,) kind of room, an index into ROOMS"""
    landmark: NDArray[np.int64]
    """(N,) an index into LANDMARKS"""


def read_scenery(path: Path, graphs: Graphs) -> Scenery:
    """The scenery of a world of houses, from its scenery.json."""
    known = read_json(path)
    scans = np.asarray(graphs.scans)[graphs.scan_of].tolist()
    places = [known[scan][name] for scan, name in zip(scans, graphs.names, strict=True)]
    return Scenery(
        room=np.array([ROOMS.index(kind) for _, kind, _ in places]),
        landmark=np.array([LANDMARKS.index(landmark) for _, _, landmark in places]),
    )


def imagined_scenery(graphs: Graphs, seed: int = 0) -> Scenery:
    """Random scenery for real graphs: viewpoints in the same cell of a 5 x 5 x 2.5 m grid share a room of random kind,
    and every viewpoint has a random landmark."""
    random = np.random.default_rng(seed)
    cells = np.concatenate([graphs.scan_of[:, None], np.floor(graphs.positions / _CLUSTER).astype(np.int64)], axis=1)
    _, cluster = np.unique(cells, axis=0, return_inverse=True)
    kinds = random.integers(0, len(ROOMS), cluster.max() + 1)
    return Scenery(kinds[cluster.ravel()], random.integers(0, len(LANDMARKS), len(graphs)))


def synthetic_views(
    graphs: Graphs, scenery: Scenery, size: int = 32, noise: float = NOISE, seed: int = 0
) -> ArrayViews:
    """(N, 36, size) features, the sum of: half the code of the node's room, in all views; the codes of a neighbour's
    room and landmark, in the view that shows it; the code of the node's landmark, in one view; Gaussian noise with
    standard deviation `noise`.

    The codes are the same for all graphs, so models generalise between houses.
    """
    codes = np.random.default_rng(0).standard_normal((len(ROOMS) + len(LANDMARKS), size)).astype(np.float32)
    rooms, landmarks = codes[: len(ROOMS)], codes[len(ROOMS) :]
    random = np.random.default_rng([1, seed])
    features = noise * random.standard_normal((len(graphs), VIEWS, size), np.float32)
    features += 0.5 * rooms[scenery.room][:, None]
    node, column = np.nonzero(graphs.candidates >= 0)
    seen = graphs.candidates[node, column]
    shown = rooms[scenery.room[seen]] + landmarks[scenery.landmark[seen]]
    np.add.at(features, (node, graphs.candidate_view[node, column]), shown)
    landmark_view = 12 + random.integers(0, 12, len(graphs))  # a level view that shows the node's landmark
    features[np.arange(len(graphs)), landmark_view] += landmarks[scenery.landmark]
    return ArrayViews(features.astype(np.float16))
