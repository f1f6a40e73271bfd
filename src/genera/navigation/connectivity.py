"""Reads and checks Matterport3D connectivity files: `SCAN_connectivity.json` in a folder, or in a .tar or .tar.xz.

A file is a list of viewpoints, indexed by their order: `image_id`, `pose` (16 floats, row-major 4 x 4, metres, z up),
`included`, `unobstructed` (flags for all viewpoints of the file), and `visible` and `height`, which the simulator does
not use. Flags are true and false, or 1 and 0.
"""

import hashlib
import json
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genera.console import say
from genera.data.cache import file_hash
from genera.errors import GeneraError, reason
from genera.files import open_file, parse_json, read_bytes

SUFFIX = "_connectivity.json"
_ARCHIVES = ("connectivity.tar.xz", "connectivity.tar.gz", "connectivity.tar")
_FARTHEST = 1e38  # largest float32
_LARGEST = 1 << 28  # bytes of the file of one house; the largest of Matterport3D has 1.3 MB
_KEYS = ("image_id", "pose", "included", "visible", "unobstructed", "height")


@dataclass(frozen=True)
class Scan:
    """One house: its n viewpoints in file order."""

    name: str
    viewpoints: tuple[str, ...]
    positions: NDArray[np.float64]
    """(n, 3) metres"""
    included: NDArray[np.bool_]
    """(n,)"""
    unobstructed: NDArray[np.bool_]
    """(n, n), symmetric, with a False diagonal"""


def find(folder: Path) -> Path:
    """The folder or archive with the connectivity files of the data in `folder`. Raises GeneraError when there is
    none."""
    for candidate in (folder / "connectivity", *(folder / name for name in _ARCHIVES)):
        if candidate.exists():
            return candidate
    if any(folder.glob(f"*{SUFFIX}")):
        return folder
    raise GeneraError(f"{folder} has no graphs; add a folder connectivity/ with SCAN{SUFFIX} files, or {_ARCHIVES[0]}.")


def content_hash(path: Path) -> str:
    """A hash of all connectivity files of a folder, or of the archive."""
    digest = hashlib.sha256()
    for file in sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]:
        digest.update(file.name.encode())
        digest.update(file_hash(file).encode())
    return digest.hexdigest()


def read(path: Path, strict: bool = True) -> list[Scan]:
    """All scans of a folder or an archive, by name. Raises GeneraError when there are none or one is malformed.

    strict: False skips malformed viewpoints and one-sided edges, with a warning.
    """
    scans = [
        parse(name.removesuffix(SUFFIX), _json(content, f"{path}: {name}"), f"{path}: {name}", strict)
        for name, content in sorted(_folder(path) if path.is_dir() else _archive(path))
    ]
    if not scans:
        raise GeneraError(f"{path} has no SCAN{SUFFIX} files; one per house was expected.")
    return scans


def _folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in path.glob(f"*{SUFFIX}"):
        yield file.name, read_bytes(file)


def _archive(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with open_file(path) as opened, tarfile.open(fileobj=opened) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if not name.endswith(SUFFIX) or name.startswith("."):  # macOS adds a "._NAME" for each file
                    continue
                if not member.isreg():
                    raise GeneraError(
                        f"{path}: {name} is not a file but a link or a folder; archive the files themselves."
                    )
                if member.size > _LARGEST:
                    raise GeneraError(f"{path}: {name} has {member.size:,} bytes, which is too large for one house.")
                file = archive.extractfile(member)
                assert file
                yield name, file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise GeneraError(
            f"{path} is damaged or not a tar archive ({reason(error).rstrip(':')}); fetch it again."
        ) from None


def _json(content: bytes, where: str) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        raise GeneraError(f"{where} is not JSON ({error}); fetch it again.") from None


# -- checks -----------------------------------------------------------------------------------------------------------


def parse(name: str, entries: Any, where: str, strict: bool = True) -> Scan:
    """One scan from the content of its JSON file. Raises GeneraError with the file, index and field."""
    if not isinstance(entries, list) or not entries:
        raise GeneraError(f"{where} is not a list of viewpoints.")

    def complain(problem: str) -> None:
        if strict:
            raise GeneraError(f"{where}: {problem}.")
        say(f"warning: {where}: {problem}; skipped.")

    n = len(entries)
    viewpoints: dict[str, int] = {}
    positions = np.zeros((n, 3))
    included = np.zeros(n, bool)
    unobstructed = np.zeros((n, n), bool)
    for i, entry in enumerate(entries):
        if problem := _problem(entry, n) or _repeated(entry["image_id"], viewpoints):
            complain(f"viewpoint {i} {problem}")
            viewpoints[f"left out {i}"] = i
            continue
        viewpoints[entry["image_id"]] = i
        positions[i] = entry["pose"][3:12:4]
        included[i] = entry["included"]
        unobstructed[i] = entry["unobstructed"]
    np.fill_diagonal(unobstructed, False)
    usable = included[:, None] & included
    one_sided = np.argwhere(unobstructed & ~unobstructed.T & usable)
    if len(one_sided):
        i, j = one_sided[0]
        complain(
            f"viewpoint {i} field 'unobstructed' leads to viewpoint {j} but not back "
            f"({len(one_sided)} one-sided flags; edges must be symmetric)"
        )
    if not included.any():
        raise GeneraError(f"{where} has no included viewpoint; at least one is needed.")
    return Scan(name, tuple(viewpoints), positions, included, unobstructed & unobstructed.T)


def _problem(entry: Any, n: int) -> str | None:
    """The problem with one viewpoint, as a phrase that follows its index; None if there is none."""
    if not isinstance(entry, dict):
        return f"is {json.dumps(entry)[:40]} instead of an object with {', '.join(_KEYS)}"
    if missing := [key for key in _KEYS if key not in entry]:
        return f"lacks the key {missing[0]!r}"
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "image_id": (lambda value: isinstance(value, str) and value != "", "a viewpoint id"),
        "pose": (lambda value: _finite(value) and len(value) == 16, "16 finite numbers"),
        "included": (_flag, "true or false"),
        "unobstructed": (lambda value: _flags(value) and len(value) == n, f"{n} times true or false"),
        "visible": (lambda value: _flags(value) and len(value) == n, f"{n} times true or false"),
    }
    for key, (holds, expected) in checks.items():
        if not holds(entry[key]):
            length = f" (it has {len(entry[key])} entries)" if isinstance(entry[key], list) else ""
            return f"field {key!r} is not {expected}{length}"
    return None


def _finite(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(x, int | float) and abs(x) < _FARTHEST for x in value)


def _flags(value: Any) -> bool:
    return isinstance(value, list) and all(map(_flag, value))


def _flag(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, int) and value in (0, 1))


def _repeated(viewpoint: str, earlier: dict[str, int]) -> str | None:
    if viewpoint not in earlier:
        return None
    return f"field 'image_id' repeats {viewpoint!r} of viewpoint {earlier[viewpoint]}"
