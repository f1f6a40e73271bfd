"""Where prepared data is kept between runs, and how it is made once."""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from genera.errors import GeneraError
from genera.files import atomic, write_text

REMEMBERED_FROM = 1 << 20
"""bytes of a file whose hash is kept; smaller ones are read as fast as looked up"""
SETTLED = 2.0
"""seconds since the last change, after which another one cannot bear the same time"""


def cache_folder() -> Path:
    """$GENERA_CACHE, or genera/ in the user's cache folder ($XDG_CACHE_HOME, ~/.cache)."""
    if own := os.environ.get("GENERA_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genera"


def build_once(folder: Path, build: Callable[[Path], None]) -> None:
    """Make `folder` with build(temporary folder) unless it is there. Of several processes the first to end wins."""
    if folder.exists():
        return
    try:
        with atomic(folder) as temporary:
            temporary.mkdir()
            build(temporary)
    except GeneraError:
        if not folder.exists():  # else another process was faster, and its folder is as good
            raise


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content. That of a large file is kept in the cache under its path, size and time of change,
    so that a run that goes on does not read a whole corpus first. Raises GeneraError when it cannot be read."""
    try:
        state = path.stat()
        key = hashlib.sha256(repr((str(path.resolve()), state.st_size, state.st_mtime_ns)).encode()).hexdigest()[:32]
        kept = cache_folder() / "hashes" / key
        large = state.st_size >= REMEMBERED_FROM
        if large and kept.is_file():
            return kept.read_text()
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GeneraError(f"cannot read {path}: {error.strerror}.") from None
    if large and time.time() - state.st_mtime > SETTLED:
        with suppress(GeneraError):  # a cache that cannot be written costs time and nothing else
            write_text(kept, found)
    return found
