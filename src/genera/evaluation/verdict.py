"""Verdicts: is a model good enough for a use? Its figures against those of a trivial baseline and of real data.

"Good" needs evidence: every check at hand must come close to what real data reaches, on enough items, and each question
of the use must have a check. A single check near the baseline makes the verdict poor. What was not measured stays
unknown, and the finding says so. Imports no torch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from genera.evaluation.evaluator import Rule
from genera.measures.schema import Figures, Finding

Grade = Literal["good", "fair", "poor"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure and the references that it is judged by."""

    measure: str
    """Key of the figure."""
    question: str
    """What it says about the use: quality, variety, novelty, …"""
    worst: str | float
    """What a useless model reaches: the key of a measured baseline, or a constant."""
    best: str | float
    """What real data or a perfect model reaches: the key of a measured figure, or a constant."""
    worst_is: str
    """In words, for the finding: `an unrelated sentence`."""
    best_is: str
    """In words, for the finding: `held-out images`."""
    scale: Literal["linear", "log"] = "linear"
    """Log for figures that are compared by their ratios, such as perplexities and FID."""
    good: float = 0.8
    """Least share of the way from worst to best of a good model."""
    poor: float = 0.4
    """A smaller share than this is poor."""
    least: int = 100
    """Least number of items under each of the figures; with fewer, the check says nothing."""

    def position(self, figures: Figures) -> float | None:
        """Share of the way from worst (0) to best (1), None where a figure is missing or rests on too few items."""
        numbers = [_number(figures, entry) for entry in (self.measure, self.worst, self.best)]
        if any(number is None for number in numbers) or self.too_few(figures):
            return None
        if self.scale == "log":
            numbers = [math.log(max(number, 1e-9)) for number in numbers if number is not None]
        value, worst, best = (float(number) for number in numbers if number is not None)
        return (value - worst) / (best - worst) if abs(best - worst) > 1e-9 else None

    def grade(self, figures: Figures) -> Grade | None:
        position = self.position(figures)
        if position is None:
            return None
        return "good" if position >= self.good else "poor" if position < self.poor else "fair"

    def too_few(self, figures: Figures) -> dict[str, int]:
        """The figures among measure and references that rest on fewer than `least` items: key → items."""
        keys = [entry for entry in (self.measure, self.worst, self.best) if entry in figures]
        return {str(key): figures.n(str(key)) for key in keys if figures.n(str(key)) < self.least}

    def words(self, figures: Figures, names: dict[str, str]) -> str:
        """`BLEU of reconstructions 1.1 (an unrelated sentence: 0.9, a perfect model: 100)`"""
        value, worst, best = (_number(figures, entry) for entry in (self.measure, self.worst, self.best))
        name = names.get(self.measure, self.measure)
        return f"{name} {value:.3g} ({self.worst_is}: {worst:.3g}, {self.best_is}: {best:.3g})"


@dataclass(frozen=True, kw_only=True)
class Use:
    """Something that a model is used for, and the checks that say whether it may be."""

    name: str
    """Its noun, plural: `reconstructions`, `samples`."""
    checks: tuple[Check, ...]
    questions: tuple[str, ...]
    """What must have been checked before the use may be called good."""
    advice: dict[str, str]
    """Grade or `unknown` → what to try, or how to read the figures."""
    names: dict[str, str]
    """Measure → its name within a sentence."""


def verdict(use: Use) -> Rule:
    """A diagnosis rule that judges one use."""

    def rule(figures: Figures) -> Iterator[Finding]:
        grades = {check: grade for check in use.checks if (grade := check.grade(figures)) is not None}
        answered = {check.question for check in grades}
        missing = [question for question in use.questions if question not in answered]
        few = {key: n for check in use.checks for key, n in check.too_few(figures).items()}
        told = {check: check.words(figures, use.names) for check in grades}
        used = {figures.full_key(key): figures[key] for check in grades for key in _keys(check) if key in figures}
        poor = [told[check] for check, grade in grades.items() if grade == "poor"]
        fair = [told[check] for check, grade in grades.items() if grade == "fair"]
        rest = "" if not missing else f" Not known: {', '.join(missing)}{_because(few)}."
        name = use.name[0].upper() + use.name[1:]
        if poor:
            yield Finding("warning", f"{name} are poor: {'; '.join(poor)}.", used, use.advice["poor"], use.name)
        elif fair:
            yield Finding("note", f"{name} are fair: {'; '.join(fair)}.{rest}", used, use.advice["fair"], use.name)
        elif grades and not missing:
            yield Finding("good", f"{name} are good: {'; '.join(told.values())}.", used, use.advice["good"], use.name)
        elif grades or few:
            seen = f" What was measured is good: {'; '.join(told.values())}." if grades else ""
            text = f"Whether {use.name} are good is unknown.{seen}{rest}"
            yield Finding("note", text, used, use.advice["unknown"], use.name)

    return rule


def _because(few: dict[str, int]) -> str:
    return f" (too few items: {', '.join(f'{key} rests on {n}' for key, n in few.items())})" if few else ""


def _keys(check: Check) -> list[str]:
    return [entry for entry in (check.measure, check.worst, check.best) if isinstance(entry, str)]


def _number(figures: Figures, entry: str | float) -> float | None:
    return figures.get(entry) if isinstance(entry, str) else float(entry)
