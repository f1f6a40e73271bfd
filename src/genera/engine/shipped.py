"""Trained runs that come with the package. Each is found by its name wherever a run folder is asked for."""

import hashlib
import shutil
from pathlib import Path

from genera.data.cache import build_once, cache_folder

SHIPPED = {
    "optimus-mini": "Optimus of 0.6 M weights, trained on the texts of the worlds captions, captions-small and houses",
}
"""name → one line for lists; the run is the folder of that name beside the package's modules"""

FOLDER = Path(__file__).parents[1] / "shipped"


def unpacked(name: str) -> Path:
    """A copy in the cache, made once for each state of the package: what a run leaves in its folder (guides, probes,
    reports) has no place among installed files, which may be read-only."""
    files = sorted(path for path in (FOLDER / name).rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = cache_folder() / "shipped" / digest / name

    def copy(temporary: Path) -> None:
        for path in files:
            target = temporary / path.relative_to(FOLDER / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)  # without its mode

    build_once(folder, copy, checked=False)
    return folder
