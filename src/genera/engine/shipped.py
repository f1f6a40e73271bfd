"""Trained runs that ship with the package. Their names are accepted wherever a run folder is expected."""

import hashlib
import shutil
from pathlib import Path

from genera.data.cache import build_once, cache_folder

SHIPPED = {
    "optimus-mini": "Optimus with 0.6 M weights, trained on the text worlds captions, captions-small and houses",
}
"""name → summary; the run is the package's folder of that name"""

FOLDER = Path(__file__).parents[1] / "shipped"


def unpacked(name: str) -> Path:
    """A copy in the cache, made once per state of the package: uses write to a run's folder (guides, probes, reports),
    and installed files may be read-only."""
    files = sorted(path for path in (FOLDER / name).rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = cache_folder() / "shipped" / digest / name

    def copy(temporary: Path) -> None:
        for path in files:
            target = temporary / path.relative_to(FOLDER / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)  # without its permissions

    build_once(folder, copy, checked=False)
    return folder
