"""What an evaluation says: definitions of measures, figures and findings. Imports no torch."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Definition:
    """What one measure means."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    text: str
    """One or two sentences for somebody who has not read the paper."""
    source: str = ""
    group: str = "Other"
    """Heading under which tables list it."""
    headline: bool = False
    """Whether it may stand among the few figures at the top of a report."""


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` items and its standard error, None where the spread is unknown."""

    value: float
    error: float | None
    n: int

    def __float__(self) -> float:
        return float(self.value)


@dataclass(frozen=True)
class Figure:
    """One measured value: an estimate of a measure, and what it is of where an evaluation holds several."""

    measure: str
    value: float | None
    """None where the value was not finite."""
    error: float | None
    n: int
    direction: str | None = None
    """Of a translation: a2b, de-en."""
    split: str | None = None
    """Part of the data, where one evaluation covers several: val_unseen."""
    samples: int | None = None
    """K of an importance-weighted bound."""

    @property
    def qualifiers(self) -> tuple[str, ...]:
        """What tells this figure from others of the same measure."""
        samples = None if self.samples is None else f"K={self.samples}"
        return tuple(word for word in (self.direction, self.split, samples) if word is not None)

    @property
    def key(self) -> str:
        """A unique name within an evaluation: `fid`, `fid/a2b`, `SR/val_unseen`, `iw_bound/K=10`."""
        return "/".join((self.measure, *self.qualifiers))


class Figures(Mapping[str, float]):
    """Finite values by key, as diagnosis rules read them. A figure without qualifiers has its measure as key."""

    def __init__(self, figures: Iterable[Figure], facts: Mapping[str, Any] | None = None) -> None:
        """facts: what evaluators noted besides figures, such as errors by length."""
        self._full: Mapping[str, str] = {}
        self.figures = [f for f in figures if f.value is not None and math.isfinite(f.value)]
        self.facts: Mapping[str, Any] = facts or {}
        self._values = {f.key: float(f.value) for f in self.figures if f.value is not None}

    def __getitem__(self, key: str) -> float:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def of(self, *, direction: str | None = None, split: str | None = None) -> "Figures":
        """The figures of one direction or split alone, keyed by their measures."""
        chosen = [f for f in self.figures if (f.direction, f.split) == (direction, split)]
        bare = [Figure(f.measure, f.value, f.error, f.n, samples=f.samples) for f in chosen]
        part = Figures(bare, self.facts)
        part._full = {one.key: self.full_key(whole.key) for one, whole in zip(bare, chosen, strict=True)}
        return part

    def full_key(self, key: str) -> str:
        """The key that a figure has in the whole evaluation, of which these figures may be one direction or split."""
        return self._full.get(key, key)

    def values_of(self, qualifier: Literal["direction", "split"]) -> list[str]:
        """The directions or splits that occur, in the order of the figures."""
        seen = (getattr(figure, qualifier) for figure in self.figures)
        return list(dict.fromkeys(value for value in seen if value is not None))

    def n(self, key: str) -> int:
        """How many items the figure `key` rests on."""
        return next(figure.n for figure in self.figures if figure.key == key)


@dataclass(frozen=True)
class Finding:
    """One statement of a diagnosis: what the figures say, in words, and what to try."""

    level: Literal["good", "note", "warning"]
    finding: str
    """What the figures say."""
    evidence: dict[str, float]
    """The figures it rests on, by key."""
    advice: str
    """What to try, or how to read the figures."""
    use: str = ""
    """What it judges: samples, reconstructions, …; empty: none in particular."""
    grade: Literal["", "good", "fair", "poor", "unknown"] = ""
    """Of a verdict on the use; empty for a finding about one aspect of it."""


def evidence(figures: Figures, *names: str) -> dict[str, float]:
    """Those of the named figures that were measured, by their keys in the whole evaluation."""
    return {figures.full_key(name): figures[name] for name in names if name in figures}
