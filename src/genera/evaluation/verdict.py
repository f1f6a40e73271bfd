"""Verdicts: is a model good enough for a use? Its figures against those of a trivial baseline and of real data.

"Good" needs evidence: every check at hand must come close to what real data reaches, on enough items, and each question
of the use must have a check. A single check near the baseline makes the verdict poor. What was not measured stays
unknown, and the finding says so. Imports no torch.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from genera.evaluation.evaluator import Rule
from genera.measures.schema import Figures, Finding, evidence

Grade = Literal["good", "fair", "poor"]
GRADES = ("poor", "unknown", "fair", "good")
"""From worst to best."""


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
    falls: bool = False
    """The best lies below the worst; where it does not, the check says nothing."""
    unit: Literal["", "share"] = ""
    """Shares are told in per cent."""
    advice: str = ""
    """What to try where this is the first check of a poor or fair grade [the advice of the use]."""

    def position(self, figures: Figures) -> float | None:
        """Share of the way from worst (0) to best (1), None where a figure is missing or rests on too few items."""
        numbers = [_number(figures, entry) for entry in (self.measure, self.best, self.worst)]
        if any(number is None for number in numbers) or self.too_few(figures):
            return None
        numbers += [figures[key] for _, key in self.also if key in figures]
        if self.scale == "log":
            numbers = [math.log(max(number, 1e-9)) for number in numbers if number is not None]
        value, best, *baselines = (float(number) for number in numbers if number is not None)
        if any(abs(best - worst) < self.span or (self.falls and best > worst) for worst in baselines):
            return None
        return min((value - worst) / (best - worst) for worst in baselines)

    def grade(self, figures: Figures) -> Grade | None:
        position = self.position(figures)
        if position is None:
            return None
        return "good" if position >= self.good else "poor" if position < self.poor else "fair"

    def too_few(self, figures: Figures) -> dict[str, int]:
        """The figures among measure and references that rest on fewer than `least` items: key → items; none where the
        measure itself was not taken."""
        if self.measure not in figures:
            return {}
        return {key: n for key in self.keys if key in figures and (n := figures.n(key)) < self.least}

    @property
    def keys(self) -> list[str]:
        """The keys among measure and references."""
        every = (self.measure, self.worst, *(key for _, key in self.also), self.best)
        return [entry for entry in every if isinstance(entry, str)]

    def words(self, figures: Figures, names: Mapping[str, str]) -> str:
        """`BLEU of reconstructions 1.1 (an unrelated sentence: 0.9, a perfect model: 100)`"""
        references = ((self.worst_is, self.worst), *self.also, (self.best_is, self.best))
        told = [(words, _number(figures, entry)) for words, entry in references]
        listed = ", ".join(f"{words}: {self._text(number)}" for words, number in told if number is not None)
        return f"{names.get(self.measure, self.measure)} {self._text(figures[self.measure])} ({listed})"

    def _text(self, number: float) -> str:
        return f"{100 * number:.3g} %" if self.unit == "share" else _plain(number)


def share(measure: str, question: str, *, worst_is: str, best_is: str, best: str | float = 1.0, **more: Any) -> Check:
    """A check of a share, of which a useless model has none and the best all, or the figure `best`."""
    return Check(
        measure=measure,
        question=question,
        unit="share",
        worst=0.0,
        best=best,
        worst_is=worst_is,
        best_is=best_is,
        **more,
    )


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
    unless: tuple[str, ...] = ()
    """Figures of other types of items, whose use of this name is judged by other checks; with one, it stays silent."""

    def advise(self, grade: str, figures: Figures) -> str:
        advice = self.advice[grade]
        return advice if isinstance(advice, str) else advice(figures)


def verdict(
    use: Use, *, by: Literal["direction", "split"] | None = None, titles: Mapping[str, str] | None = None
) -> Rule:
    """A diagnosis rule that judges one use.

    by: judge the figures of each direction or split apart; its title from `titles` follows the name of the use:
    `rollouts in unseen houses`.
    """

    def rule(figures: Figures) -> Iterator[Finding]:
        if by is None:
            yield from _judge(use, figures)
            return
        for value in figures.values_of(by):
            part = figures.of(direction=value) if by == "direction" else figures.of(split=value)
            yield from _judge(replace(use, name=name_of(use, value, titles)), part)

    return rule


def name_of(use: Use, value: str, titles: Mapping[str, str] | None = None) -> str:
    """Name of a use that is judged by direction or split, for one of these."""
    return f"{use.name} {(titles or {}).get(value, value)}"


def _judge(use: Use, figures: Figures) -> Iterator[Finding]:
    """One finding; none where nothing of the use was measured."""
    if any(key in figures for key in use.unless):
        return
    grades = {check: grade for check in use.checks if (grade := check.grade(figures)) is not None}
    answered = {check.question for check in grades}
    missing = [question for question in use.questions if question not in answered]
    few = {check: counts for check in use.checks if (counts := check.too_few(figures))}
    told = {check: check.words(figures, use.names) for check in grades}
    keys = [key for check in grades for key in check.keys if key in figures]
    keys = keys or [key for counts in few.values() for key in counts]
    if not grades:
        keys += [key for key in use.implied_by if key in figures]
    rest = f" Not known: {', '.join(missing)}{_because(few, use.names)}." if missing else ""
    name = use.name[0].upper() + use.name[1:]

    def finding(level: Literal["good", "note", "warning"], grade: Grade | Literal["unknown"], text: str) -> Finding:
        first = next((check for check in grades if grades[check] == grade and grade != "good"), None)
        advice = first.advice if first is not None and first.advice else use.advise(grade, figures)
        return Finding(level, text, evidence(figures, *keys), advice, use.name, grade)

    def listed(grade: Grade) -> str:
        return "; ".join(told[check] for check in grades if grades[check] == grade)

    if "poor" in grades.values():
        yield finding("warning", "poor", f"{name} are poor: {listed('poor')}.")
    elif "fair" in grades.values():
        yield finding("note", "fair", f"{name} are fair: {listed('fair')}.{rest}")
    elif grades and not missing:
        yield finding("good", "good", f"{name} are good: {listed('good')}.")
    elif keys:
        seen = f" What was measured is good: {listed('good')}." if grades else ""
        yield finding("note", "unknown", f"Whether {use.name} are good is unknown.{seen}{rest}")


def grades(diagnosis: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The grade of each use that a stored diagnosis judges: the worst of its findings, where a warning is poor."""
    worst: dict[str, str] = {}
    for finding in diagnosis:
        grade = "poor" if finding["level"] == "warning" else finding.get("grade", "")
        if (use := finding.get("use")) and grade in GRADES:
            worst[use] = min(worst.get(use, grade), grade, key=GRADES.index)
    return worst


def _because(few: Mapping[Check, Mapping[str, int]], names: Mapping[str, str]) -> str:
    """few: check → its figures that rest on too few items."""
    told = (f"{names.get(check.measure, check.measure)} rests on {min(n.values())}" for check, n in few.items())
    return f" (too few items: {', '.join(told)})" if few else ""


def _number(figures: Figures, entry: str | float) -> float | None:
    return figures.get(entry) if isinstance(entry, str) else float(entry)


def _plain(number: float) -> str:
    """Three digits, and no exponent up to a billion: 0.0123, 92,270."""
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.3g}"
