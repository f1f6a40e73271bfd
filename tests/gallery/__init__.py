"""A gallery of models whose worth is known by construction, broken and sound: what the diagnosis must make of them.

`python -m benchmarks diagnosis` prints what it makes of each, as docs/diagnosis.md shows it. Each module of this
package has its `SPECIMENS`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genera.evaluation.storage import Stored

Truth = Literal["broken", "sound", "undecidable"]
ALLOWED: Mapping[Truth, tuple[str, ...]] = {
    "broken": ("poor", "fair", "unknown"),
    "sound": ("good", "fair", "unknown"),
    "undecidable": ("unknown",),
}
"""Grades that are no error: no broken model is called good, and no sound one poor."""


@dataclass(frozen=True)
class Specimen:
    kind: str
    """Heading under which the table lists it."""
    name: str
    uses: Mapping[str, Truth]
    """Use → what is known of the model in it. Undecidable: too few items to tell."""
    evaluate: Callable[[Path], Stored]
    """Evaluates the model, in this empty folder."""
    poor: bool = True
    """Whether a broken one must be called poor; False for models on the way, which may be fair."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def specimens() -> list[Specimen]:
    """Those of every module."""
    modules = [name for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("test_")]
    return [one for name in modules for one in importlib.import_module(f"gallery.{name}").SPECIMENS]
