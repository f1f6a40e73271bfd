"""Where prepared data is kept between runs, and how it is made once."""

import os
from collections.abc import Callable
from pathlib import Path

from genera.errors import GeneraError
from genera.files import atomic


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
