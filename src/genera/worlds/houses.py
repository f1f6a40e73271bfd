"""Worlds of procedural houses, written in the file formats of the real tasks, so the same readers apply."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from genera.data.cache import build_once, cache_folder
from genera.files import write_json
from genera.navigation import connectivity
from genera.navigation.graphs import Graphs
from genera.navigation.scenery import SCENERY
from genera.worlds.house_episodes import (
    Neighbourhood,
    hanna_entries,
    help_routes,
    ndh_entries,
    paths_of,
    r2r_entries,
)
from genera.worlds.house_plans import Dice, build_house

_FORMAT = "1"  # of the written files; increase it to invalidate older folders
_UNSEEN_FROM = 1000  # number of the first unseen house


@dataclass(frozen=True)
class Houses:
    """Houses and the episodes of one task in them. `train` and `val_seen` use the training houses, `val_unseen` uses
    other houses; no two splits share a path. Immutable; a pure function of its fields."""

    name: str
    task: str
    """"r2r", "ndh" or "hanna\""""
    train_houses: int = 30
    unseen_houses: int = 8
    train_paths: int = 1200
    seen_paths: int = 150
    unseen_paths: int = 150
    routes: int = 40
    """helper routes per house"""

    def folder(self) -> Path:
        """The folder with the files of the world, written once into the cache."""
        key = hashlib.sha256(repr((_FORMAT, self)).encode()).hexdigest()[:16]
        folder = cache_folder() / f"{self.name}-{key}"
        build_once(folder, self.write)
        return folder

    def write(self, folder: Path) -> None:
        """Write connectivity/, the splits of the task, and scenery.json: scan → viewpoint → [room number, kind of room,
        landmark]."""
        numbers = [*range(self.train_houses), *range(_UNSEEN_FROM, _UNSEEN_FROM + self.unseen_houses)]
        houses = [build_house(number) for number in numbers]
        for house in houses:
            write_json(folder / "connectivity" / f"{house.scan}{connectivity.SUFFIX}", house.connectivity)
        write_json(folder / SCENERY, {house.scan: house.places for house in houses})

        graphs = Graphs.build([connectivity.parse(h.scan, h.connectivity, h.scan) for h in houses])
        town = Neighbourhood(graphs, [place for house in houses for place in house.places.values()])
        scans = [house.scan for house in houses]
        known, unseen = scans[: self.train_houses], scans[self.train_houses :]
        dice = Dice(0x707)
        known_paths, unseen_paths = paths_of(town, known, dice), paths_of(town, unseen, dice)
        seen_until = self.train_paths + self.seen_paths
        splits = {
            "train": known_paths[: self.train_paths],
            "val_seen": known_paths[self.train_paths : seen_until],
            "val_unseen": unseen_paths[: self.unseen_paths],
        }
        make, prefix = {
            "r2r": (r2r_entries, "R2R_"),
            "ndh": (ndh_entries, ""),
            "hanna": (hanna_entries, "hanna_"),
        }[self.task]
        for i, (split, paths) in enumerate(splits.items()):
            write_json(folder / f"{prefix}{split}.json", make(town, paths, 100_000 * i, dice))
        if self.task == "hanna":
            routes = help_routes(town, known, "train", self.routes, dice)
            write_json(
                folder / "hanna_routes.json", routes | help_routes(town, unseen, "val_unseen", self.routes, dice)
            )


HOUSES = Houses("houses", "r2r")
HOUSES_NDH = Houses("houses-ndh", "ndh")
HOUSES_HANNA = Houses("houses-hanna", "hanna")
