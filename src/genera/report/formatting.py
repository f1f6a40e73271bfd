"""Formatting of figures and sentences: the filters of the page templates."""

import math
from difflib import SequenceMatcher
from typing import Any


def figure(value: Any, unit: str = "") -> str:
    """A number with few significant digits, a share as a percentage; a dash for None; NaN and ∞ by name."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit == "share":
        return f"{100 * value:.1f} %"
    if isinstance(value, int) or unit == "dimensions":
        text = f"{value:,.0f}"
    elif abs(value) >= 1e6 or 0 < abs(value) < 1e-3:
        text = f"{value:.2e}"
    else:
        text = f"{value:,.{3 - sum(abs(value) >= size for size in (1, 100, 1000))}f}"
    return text.replace("-", "−")


def duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds) % 60} s"


def changed(sentence: str, other: str | None) -> list[tuple[str, bool]]:
    """The words of `sentence`, each with whether it differs from `other` at its place. False without `other`."""
    words = sentence.split()
    if other is None:
        return [(word, False) for word in words]
    matcher = SequenceMatcher(None, other.split(), words, autojunk=False)
    return [
        (word, operation != "equal")
        for operation, _, _, start, end in matcher.get_opcodes()
        for word in words[start:end]
    ]


def fold(items: list[Any] | None, first: int) -> list[list[Any]]:
    """The first few items, which the page shows, and the rest (if any), which it folds."""
    return [part for part in ((items or [])[:first], (items or [])[first:]) if part]
