"""Verdicts: is a model good enough for a use? Its figures against those of a trivial baseline and of real data.

"Good" needs evidence: every check at hand must come close to what real data reaches, on enough items, and each question
of the use must have a check. A single check near the baseline makes the verdict poor. What was not measured stays
unknown, and the finding says so. Imports no torch.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from genera.evaluation.evaluator import Rule
from genera.measures.schema import Figures, Finding, evidence

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
    also: tuple[tuple[str, str], ...] = ()
    """Further baselines, used where measured: (in words, key). The one that comes nearest to the best counts."""
    scale: Literal["linear", "log"] = "linear"
    """Log for figures that are compared by their ratios, such as perplexities and FID."""
    good: float = 0.8
    """Least share of the way from worst to best of a good model."""
    poor: float = 0.4
    """A smaller share than this is poor."""
    least: int = 100
    """Least number of items under each of the figures; with fewer, the check says nothing."""
    span: float = 1e-9
    """Least distance of worst and best (of their logarithms, on a log scale); nearer ones tell nothing apart."""

    def position(self, figures: Figures) -> float | None:
        """Share of the way from worst (0) to best (1), None where a figure is missing or rests on too few items."""
        numbers = [_number(figures, entry) for entry in (self.measure, self.best, self.worst)]
        if any(number is None for number in numbers) or self.too_few(figures):
            return None
        numbers += [figures[key] for _, key in self.also if key in figures]
        if self.scale == "log":
            numbers = [math.log(max(number, 1e-9)) for number in numbers if number is not None]
        value, best, *baselines = (float(number) for number in numbers if number is not None)
        if any(abs(best - worst) < self.span for worst in baselines):
            return None
        return min((value - worst) / (best - worst) for worst in baselines)

    def grade(self, figures: Figures) -> Grade | None:
        position = self.position(figures)
        if position is None:
            return None
        return "good" if position >= self.good else "poor" if position < self.poor else "fair"

    def too_few(self, figures: Figures) -> dict[str, int]:
        """The figures among measure and references that rest on fewer than `least` items: key → items."""
        return {key: n for key in self.keys if key in figures and (n := figures.n(key)) < self.least}

    @property
    def keys(self) -> list[str]:
        """The keys among measure and references."""
        every = (self.measure, self.worst, *(key for _, key in self.also), self.best)
        return [entry for entry in every if isinstance(entry, str)]

    def words(self, figures: Figures, names: dict[str, str]) -> str:
        """`BLEU of reconstructions 1.1 (an unrelated sentence: 0.9, a perfect model: 100)`"""
        references = ((self.worst_is, self.worst), *self.also, (self.best_is, self.best))
        told = [(words, _number(figures, entry)) for words, entry in references]
        listed = ", ".join(f"{words}: {_plain(number)}" for words, number in told if number is not None)
        return f"{names.get(self.measure, self.measure)} {_plain(figures[self.measure])} ({listed})"


@dataclass(frozen=True, kw_only=True)
class Use:
    """Something that a model is used for, and the checks that say whether it may be."""

    name: str
    """Its noun, plural: `reconstructions`, `samples`."""
    checks: tuple[Check, ...]
    questions: tuple[str, ...]
    """What must have been checked before the use may be called good."""
    advice: dict[str, str | Callable[[Figures], str]]
    """Grade or `unknown` → what to try, or how to read the figures; a function where that depends on other figures."""
    names: dict[str, str]
    """Measure → its name within a sentence."""
    implied_by: tuple[str, ...] = ()
    """Figures that show that the model has this use; with one of them the verdict is never silent."""

    def advise(self, grade: str, figures: Figures) -> str:
        advice = self.advice[grade]
        return advice if isinstance(advice, str) else advice(figures)


def verdict(use: Use) -> Rule:
    """A diagnosis rule that judges one use."""

    def rule(figures: Figures) -> Iterator[Finding]:
        grades = {check: grade for check in use.checks if (grade := check.grade(figures)) is not None}
        answered = {check.question for check in grades}
        missing = [question for question in use.questions if question not in answered]
        few = {key: n for check in use.checks for key, n in check.too_few(figures).items()}
        told = {check: check.words(figures, use.names) for check in grades}
        keys = [key for check in grades for key in check.keys if key in figures] or list(few)
        if not grades:
            keys += [key for key in use.implied_by if key in figures]
        poor = [told[check] for check, grade in grades.items() if grade == "poor"]
        fair = [told[check] for check, grade in grades.items() if grade == "fair"]
        rest = f" Not known: {', '.join(missing)}{_because(few, use.names)}." if missing else ""
        name = use.name[0].upper() + use.name[1:]
        level: Literal["good", "note", "warning"]
        if poor:
            level, outcome, text = "warning", "poor", f"{name} are poor: {'; '.join(poor)}."
        elif fair:
            level, outcome, text = "note", "fair", f"{name} are fair: {'; '.join(fair)}.{rest}"
        elif grades and not missing:
            level, outcome, text = "good", "good", f"{name} are good: {'; '.join(told.values())}."
        elif keys:
            seen = f" What was measured is good: {'; '.join(told.values())}." if grades else ""
            level, outcome, text = "note", "unknown", f"Whether {use.name} are good is unknown.{seen}{rest}"
        else:
            return
        yield Finding(level, text, evidence(figures, *keys), use.advise(outcome, figures), use.name)

    return rule


def _because(few: dict[str, int], names: dict[str, str]) -> str:
    told = ", ".join(f"{names.get(key, key)} rests on {n}" for key, n in few.items())
    return f" (too few items: {told})" if few else ""


def _number(figures: Figures, entry: str | float) -> float | None:
    return figures.get(entry) if isinstance(entry, str) else float(entry)


def _plain(number: float) -> str:
    """Three digits, and no exponent up to a billion: 0.0123, 92,270."""
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.3g}"
