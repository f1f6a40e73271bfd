"""A procedural house: rooms on a grid, doors between them, viewpoints with landmarks, as a connectivity file."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from genera.navigation.scenery import LANDMARKS, ROOMS

T = TypeVar("T")

_ROWS, _COLUMNS = 4, 4
_CELL = 4.0  # metres, the side of a room
_STOREY = 3.0  # metres
_EYES = 1.5  # metres above the floor
_TWO_STOREYS = 0.3  # share of the houses
_SECOND_VIEWPOINT = 0.5  # share of the rooms
_EXTRA_DOORS = 0.3  # share of the remaining walls that get a door


class Dice:
    """Draws from the raw bit stream of PCG64, which, unlike Generator, is stable across NumPy versions."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(list(seed))

    def below(self, size: int) -> int:
        return int(self._bits.random_raw()) % size

    def unit(self) -> float:
        """In [0, 1)."""
        return (int(self._bits.random_raw()) >> 11) / 2**53

    def choice(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        keyed = sorted((int(self._bits.random_raw()), i) for i in range(len(items)))
        return [items[i] for _, i in keyed]


class Place(NamedTuple):
    """The room and landmark of a viewpoint."""

    room: int
    """room number within the house"""
    kind: str
    """one of ROOMS"""
    landmark: str
    """one of LANDMARKS"""


@dataclass(frozen=True)
class House:
    scan: str
    connectivity: list[dict[str, Any]]
    """the content of its connectivity file"""
    places: dict[str, Place]
    """viewpoint → its place"""


def build_house(number: int) -> House:
    """House `number`, a pure function of it: one or two storeys of 16 rooms with 1-2 viewpoints each, connected."""
    dice = Dice(0x485, number)
    scan = f"house{number:06d}"
    storeys = 1 + (dice.unit() < _TWO_STOREYS)
    cells = [(s, r, c) for s in range(storeys) for r in range(_ROWS) for c in range(_COLUMNS)]
    positions: list[tuple[float, float, float]] = []
    room_of: list[int] = []
    places: list[Place] = []
    for room, (storey, row, column) in enumerate(cells):
        kind = dice.choice(ROOMS)
        count = 1 + (dice.unit() < _SECOND_VIEWPOINT)
        for k in range(count):  # side by side, each at a random position in its half of the room
            x = (column + (k + 0.2 + 0.6 * dice.unit()) / count) * _CELL
            y = (row + 0.2 + 0.6 * dice.unit()) * _CELL
            positions.append((x, y, storey * _STOREY + _EYES))
            room_of.append(room)
            places.append(Place(room, kind, dice.choice(LANDMARKS)))

    rooms = np.array(room_of)
    unobstructed = (rooms[:, None] == rooms) & ~np.eye(len(rooms), dtype=bool)
    for one, other in _doors(cells, dice):
        through = (rooms[:, None] == one) & (rooms == other)
        unobstructed |= through | through.T

    names = [hashlib.blake2b(f"{scan} {i}".encode(), digest_size=16).hexdigest() for i in range(len(rooms))]
    entries = [
        {
            "image_id": name,
            "pose": [1.0, 0.0, 0.0, x, 0.0, 1.0, 0.0, y, 0.0, 0.0, 1.0, z, 0.0, 0.0, 0.0, 1.0],
            "included": True,
            "visible": flags.tolist(),
            "unobstructed": flags.tolist(),
            "height": _EYES,
        }
        for name, (x, y, z), flags in zip(names, positions, unobstructed, strict=True)
    ]
    return House(scan, entries, dict(zip(names, places, strict=True)))


def _doors(cells: list[tuple[int, int, int]], dice: Dice) -> list[tuple[int, int]]:
    """Pairs of rooms with a door: a random spanning tree of each storey, some extra doors, and one staircase."""
    number = {cell: room for room, cell in enumerate(cells)}
    walls = [
        (number[cell], number[next_cell])
        for cell in cells
        for next_cell in ((cell[0], cell[1] + 1, cell[2]), (cell[0], cell[1], cell[2] + 1))
        if next_cell in number
    ]
    group = list(range(len(cells)))
    doors = []
    for one, other in dice.shuffled(walls):
        if group[one] != group[other]:  # Kruskal's algorithm over walls in random order
            old, new = group[one], group[other]
            group = [new if g == old else g for g in group]
            doors.append((one, other))
        elif dice.unit() < _EXTRA_DOORS:
            doors.append((one, other))
    if cells[-1][0]:
        foot = dice.below(_ROWS * _COLUMNS)
        beside = foot + 1 if foot % _COLUMNS < _COLUMNS - 1 else foot - 1
        doors.append((foot, _ROWS * _COLUMNS + beside))  # the stairs end in the adjacent cell
    return doors
