"""One finding of a diagnosis: what the figures say, in words, and what to try. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Finding:
    level: Literal["good", "note", "warning"]
    finding: str
    """what the figures say"""
    evidence: dict[str, float]
    """the figures, by catalogue name"""
    advice: str
    """what to try, or how to read the figures"""


def evidence(figures: Figures, *names: str) -> dict[str, float]:
    """Those of the named figures that were measured."""
    return {name: figures[name] for name in names if name in figures}
