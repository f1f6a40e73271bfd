"""Where prepared data is kept between runs, how it is made once, and how damage to it is noticed.

Every folder that is made here has a file `checksums`. When it is opened, files up to 4 MB are read whole, and of
larger ones 64 blocks; a change elsewhere in a large file is noticed by `verify` alone, which reads everything. A
damaged folder is made again, for nothing in it is anybody's work.
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
from genera.files import atomic, checksum, read_json, write_json, write_text

CHECKSUMS = "checksums"
SMALL = 1 << 22
"""bytes of a file up to which it is read whole when its folder is opened"""
BLOCKS, BLOCK = 64, 1 << 12
"""of a larger file: how many blocks are read, and the bytes of each"""
REMEMBERED_FROM = 1 << 20
"""bytes of a file whose hash is kept; smaller ones are read as fast as looked up"""
SETTLED = 2.0
"""seconds since the last change, after which another one cannot bear the same time"""


def cache_folder() -> Path:
    """$GENERA_CACHE, or genera/ in the user's cache folder ($XDG_CACHE_HOME, ~/.cache)."""
    if own := os.environ.get("GENERA_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genera"


def build_once(folder: Path, build: Callable[[Path], None], *, checked: bool = True) -> None:
    """Make `folder` with build(temporary folder) unless it is there. Of several processes the first to end wins.

    checked: make it again when it is damaged; False for folders in which people work on.
    """
    if folder.exists():
        problem = damage(folder) if checked else None
        if problem is None:
            return
        say(f"the cached {problem}; it is made again.")
        _discard(folder)
    try:
        with atomic(folder) as temporary:
            temporary.mkdir()
            build(temporary)
            if checked:
                write_json(temporary / CHECKSUMS, _checksums(temporary))
    except GeneraError:
        if not folder.exists():  # else another process was faster, and its folder is as good
            raise


def _discard(folder: Path) -> None:
    """Unname first: another process may have the files open, or be about to make the folder again."""
    hidden = folder.with_name(f".{folder.name}.{os.getpid()}.gone.tmp")
    with suppress(OSError):
        folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


# -- damage -----------------------------------------------------------------------------------------------------------


def damage(folder: Path, *, full: bool = False) -> str | None:
    """What is wrong with a folder of the cache, in words that begin with the file; None when it is as it was written.

    full: read every byte; otherwise of large files a sample.
    """
    try:
        written = read_json(folder / CHECKSUMS)
        for name, expected in written.items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != expected["bytes"]:
                found = "missing" if size is None else f"{size} bytes where {expected['bytes']} were written"
                return f"{path} is damaged ({found})"
            if _sample(path) != expected["sample"] or (full and checksum(path)["crc32"] != expected["crc32"]):
                return f"{path} is damaged (its checksum is not the one written)"
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
    """CRC-32 of a file, or of evenly spaced blocks of a large one, the first and the last among them."""
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
    """What reading a whole cache showed."""

    folders: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    """a sentence each"""
    unchecked: list[str] = field(default_factory=list)
    """folders without checksums, such as copies of shipped runs"""


def verify(cache: Path) -> Verified:
    """Read every byte of a cache, or of one folder of it, and compare it with what was written. Raises GeneraError when
    there is nothing there."""
    if not cache.is_dir():
        raise GeneraError(f"{cache} is not a folder; there is no cache to verify.")
    result = Verified()
    own = [cache] if (cache / CHECKSUMS).is_file() else []
    for folder in own or sorted(path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")):
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
    """SHA-256 of a file's content. That of a large file is kept in the cache under its path, size and time of change,
    so that resuming does not read a whole corpus first: content that changes under the same path, size and time is not
    noticed. Raises GeneraError when it cannot be read."""
    try:
        state = path.stat()
        key = hashlib.sha256(repr((str(path.resolve()), state.st_size, state.st_mtime_ns)).encode()).hexdigest()[:32]
        kept = cache_folder() / "hashes" / key
        large = state.st_size >= REMEMBERED_FROM
        if large and kept.is_file() and len(known := kept.read_text()) == 64:
            return known
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GeneraError(f"cannot read {path}: {error.strerror}.") from None
    if large and time.time() - state.st_mtime > SETTLED:
        with suppress(GeneraError):  # a cache that cannot be written costs time and nothing else
            write_text(kept, found)
    return found
