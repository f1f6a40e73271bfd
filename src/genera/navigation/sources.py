"""Sources of navigation data: `r2r:DIR`, `ndh:DIR`, `hanna:DIR`, and worlds of houses, which use the same files.

DIR contains the episode files of a task (R2R_SPLIT.json, SPLIT.json, hanna_SPLIT.json; plain or .gz) and the graphs, as
a folder connectivity/ or an archive connectivity.tar.xz; the graphs may also be beside DIR, or in r2r/ beside DIR.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from genera.data import registry
from genera.data.cache import file_hash
from genera.data.splits import in_order
from genera.data.text.items import Item
from genera.errors import GeneraError, unknown
from genera.navigation import connectivity
from genera.navigation.config import Supervision
from genera.navigation.episodes import READERS, EpisodeTable, Route, read_ndh, read_routes
from genera.navigation.graphs import Graphs

_ENDINGS = (".json", ".json.gz")


@dataclass(frozen=True)
class NavigationSource:
    """Graphs and episodes of one folder. As a text source its items are the instructions."""

    spec: str
    task: str
    """"r2r", "ndh" or "hanna\""""
    folder: Path
    graphs_at: Path
    strict: bool = True
    """False skips malformed viewpoints, with a warning"""

    @cached_property
    def graphs(self) -> Graphs:
        """The graphs of all scans of all splits. Raises GeneraError when a file is malformed."""
        return Graphs.open(self.graphs_at, self.strict)

    @cached_property
    def files(self) -> dict[str, Path]:
        """split → its file, train first, then by name. Raises GeneraError when there are none."""
        prefix, _ = READERS[self.task]
        files = {
            file.name.removesuffix(ending)[len(prefix) :]: file
            for ending in _ENDINGS
            for file in self.folder.glob(f"{prefix}*{ending}")
            if not ("routes" in file.name or "scenery" in file.name)
        }
        if not files:
            raise GeneraError(
                f"{self.folder} has no episodes; {self.task}: needs files {prefix}SPLIT.json or .json.gz."
            )
        return {split: files[split] for split in sorted(files, key=lambda split: (split != "train", split))}

    def table(self, split: str, supervision: Supervision = "trusted") -> EpisodeTable:
        """The episodes of a split on the graphs; `supervision` selects the reference path of NDH. Raises
        GeneraError."""
        if split not in self.files:
            raise unknown(f"split of {self.spec}:", split, self.files)
        if self.task == "ndh":
            return EpisodeTable(self.graphs, tuple(read_ndh(self.files[split], supervision)))
        return EpisodeTable(self.graphs, tuple(READERS[self.task][1](self.files[split])))

    def routes(self) -> list[Route]:
        """The routes of HANNA's helper, from the file with "routes" in its name. Raises GeneraError when there is
        none."""
        files = sorted(file for ending in _ENDINGS for file in self.folder.glob(f"*routes*{ending}"))
        if not files:
            raise GeneraError(f"{self.folder} has no file with 'routes' in its name, which the helper needs.")
        return read_routes(files[0])

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the instructions as texts."""
        return in_order(map(_text_split, self.files))

    def items(self) -> Iterator[Item]:
        for split, path in self.files.items():
            for episode in READERS[self.task][1](path):
                yield Item(_text_split(split), episode.instruction.strip(), None)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.task.encode())
        for split, path in self.files.items():
            digest.update(split.encode() + file_hash(path).encode())
        return digest.hexdigest()


def _text_split(split: str) -> str:
    return "valid" if split.startswith("val") else "test" if split.startswith("test") else "train"


def open_folder(
    task: str, spec: str, folder: Path, graphs: Path | None = None, strict: bool = True
) -> NavigationSource:
    """The source of a folder. Raises GeneraError when the folder or its graphs do not exist."""
    if not folder.is_dir():
        raise GeneraError(f"{folder} is not a folder; {task}: needs the folder with the episodes and connectivity/.")
    return NavigationSource(spec, task, folder, graphs or _graphs_of(folder), strict)


def _graphs_of(folder: Path) -> Path:
    for place in (folder, folder.resolve().parent, folder.resolve().parent / "r2r"):
        try:
            return connectivity.find(place)
        except GeneraError:
            continue
    return connectivity.find(folder)  # raises an error with the folder that the user gave


def open_navigation(spec: str, graphs: Path | None = None, strict: bool = True) -> NavigationSource:
    """The navigation data named by `spec` ("r2r:DIR", "world:houses", …).

    graphs: location of the connectivity files, if not with the episodes. Raises GeneraError when there are no episodes.
    """
    scheme, rest = registry.split_spec(spec, "navigation")
    source: NavigationSource = registry.opener(scheme, "navigation")(spec, rest, graphs, strict)
    return source


# -- openers in the registry ------------------------------------------------------------------------------------------


def _open(task: str, spec: str, rest: str, graphs: Path | None, strict: bool) -> NavigationSource:
    return open_folder(task, spec, Path(rest).expanduser(), graphs, strict)


def _open_text(task: str, spec: str, rest: str, text_column: str | None, label_column: str | None) -> NavigationSource:
    if text_column is not None or label_column is not None:
        raise GeneraError(f"a {task}: source has no columns and no labels; its texts are the instructions.")
    return open_folder(task, spec, Path(rest).expanduser())


open_r2r, open_ndh, open_hanna = (partial(_open, task) for task in READERS)
open_r2r_text, open_ndh_text, open_hanna_text = (partial(_open_text, task) for task in READERS)


def open_world(spec: str, rest: str, graphs: Path | None, strict: bool) -> NavigationSource:
    """A world of houses, whose files are in a cache folder."""
    if graphs is not None:
        raise GeneraError(f"{spec} has its own graphs; omit --graphs {graphs}.")
    world = registry.load_world(rest)
    return open_folder(world.task, spec, world.folder(), None, strict)
