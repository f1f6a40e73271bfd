"""The cache of prepared data: where it lives, how a folder is built once, and how damage is detected.

Every cached folder has a file `checksums`. Opening the folder checks whole files up to 4 MB and 64 blocks of each
larger file. Only `verify`, which reads every byte, detects a change elsewhere in a large file. A damaged folder is
rebuilt from its source.
"""

import hashlib
import os
import shutil
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genera.console import say
from genera.errors import GeneraError
from genera.files import atomic, checksum, open_file, read_json, reading, write_json, write_text

CHECKSUMS = "checksums"
SMALL = 1 << 22
"""largest file, in bytes, that is checked whole when its folder is opened"""
BLOCKS, BLOCK = 64, 1 << 12
"""blocks checked of a larger file, and the bytes of each"""
REMEMBERED_FROM = 1 << 20
"""smallest file, in bytes, whose hash is cached; hashing a smaller one is as fast as the lookup"""
SETTLED = 2.0
"""seconds after a change until the next one is sure to get another modification time"""


def cache_folder() -> Path:
    """$GENERA_CACHE, or genera/ in the user's cache folder ($XDG_CACHE_HOME, ~/.cache)."""
    if configured := os.environ.get("GENERA_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genera"


def build_once(folder: Path, build: Callable[[Path], None], *, checked: bool = True) -> None:
    """Build `folder` with build(temporary folder) unless it exists. Of several processes the first to finish wins.

    checked: write checksums and rebuild a damaged folder; False for folders that users edit.
    """
    if folder.exists():
        problem = damage(folder) if checked else None
        if problem is None:
            return
        say(f"the cached {problem}; rebuilding it.")
        _discard(folder)
    try:
        with atomic(folder) as temporary:
            temporary.mkdir()
            build(temporary)
            if checked:
                write_json(temporary / CHECKSUMS, _checksums(temporary))
    except GeneraError:
        if not folder.exists():  # otherwise another process has built the same folder
            raise


def _discard(folder: Path) -> None:
    """Rename first: another process may have the files open, or be about to rebuild the folder."""
    hidden = folder.with_name(f".{folder.name}.{os.getpid()}.gone.tmp")
    with suppress(OSError):
        folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


# -- damage -----------------------------------------------------------------------------------------------------------


def damage(folder: Path, *, full: bool = False) -> str | None:
    """A message that begins with the damaged file of a cached folder; None when the folder is intact.

    full: read every byte; otherwise sample large files.
    """
    try:
        written = read_json(folder / CHECKSUMS)
        for name, expected in written.items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != expected["bytes"]:
                problem = "missing" if size is None else f"{size} bytes where {expected['bytes']} were written"
                return f"{path} is damaged ({problem})"
            if _sample(path) != expected["sample"] or (full and checksum(path)["crc32"] != expected["crc32"]):
                return f"{path} is damaged (checksum mismatch)"
    except GeneraError:
        return f"{folder} has no readable {CHECKSUMS}"
    except (AttributeError, KeyError, TypeError):
        return f"{folder / CHECKSUMS} is damaged"
    except OSError as error:
        return f"{folder} cannot be read ({error.strerror})"
    return None


def _checksums(folder: Path) -> dict[str, Any]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): checksum(path) | {"sample": _sample(path)} for path in files}


def _sample(path: Path) -> int:
    """CRC-32 of a file; for a large one, of evenly spaced blocks that include the first and the last."""
    size, crc = path.stat().st_size, 0
    with open(path, "rb") as file:
        if size <= SMALL:
            return zlib.crc32(file.read())
        for i in range(BLOCKS):
            file.seek((size - BLOCK) * i // (BLOCKS - 1))
            crc = zlib.crc32(file.read(BLOCK), crc)
    return crc


@dataclass
class Verified:
    """The result of `verify`."""

    folders: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    """one message per damaged folder"""
    unchecked: list[str] = field(default_factory=list)
    """folders without checksums, such as copies of shipped runs"""


def verify(cache: Path) -> Verified:
    """Read every byte of a cache, or of one of its folders, and compare the checksums. Raises GeneraError when `cache`
    is not a folder."""
    if not cache.is_dir():
        raise GeneraError(f"{cache} is not a folder; there is no cache to verify.")
    result = Verified()
    single = [cache] if (cache / CHECKSUMS).is_file() else []
    for folder in single or sorted(path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if folder.name == "hashes":
            continue
        if not (folder / CHECKSUMS).is_file():
            result.unchecked.append(str(folder))
            continue
        result.folders += 1
        result.bytes += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if problem := damage(folder, full=True):
            result.damaged.append(problem)
    return result


# -- hashes of sources ------------------------------------------------------------------------------------------------


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content. The hash of a large file is cached under its `identity`, so that resuming does not
    read the whole corpus. Raises GeneraError when the file cannot be read."""
    with open_file(path) as file, reading(path):
        state = path.stat()
        large = state.st_size >= REMEMBERED_FROM
        kept = cache_folder() / "hashes" / identity(path) if large else None
        if kept and kept.is_file() and len(known := kept.read_text()) == 64:
            return known
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if kept and time.time() - max(state.st_mtime, state.st_ctime) > SETTLED:
        with suppress(GeneraError):  # without a writable cache, hashing only takes longer
            write_text(kept, digest)
    return digest


def identity(path: Path) -> str:
    """A key that changes with the content of a large file, without reading it whole: a hash of its path, size, times
    and sampled blocks.

    The system sets the change time (ctime) at every write, also where a tool restores the modification time. On
    Windows, where there is none, a change outside the sampled blocks that keeps size and modification time goes
    unnoticed.
    Raises OSError.
    """
    state = path.stat()
    changed = None if os.name == "nt" else state.st_ctime_ns  # on Windows it is the time of creation
    facts = (str(path.resolve()), state.st_size, state.st_mtime_ns, changed, _sample(path))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
