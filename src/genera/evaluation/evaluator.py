"""The interface of an evaluator: one question about a trained model, its options, measures, rules and report blocks.

The module of an evaluator defines `EVALUATOR`. Lists, help and reports import it, so it imports torch inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from genera.blocks.decoding_options import decodings_used, note_used
from genera.errors import Lacks
from genera.evaluation.blocks import Block, Picture
from genera.measures.schema import Definition, Estimate, Figure, Figures, Finding

if TYPE_CHECKING:
    from genera.uses.run import Run

T = TypeVar("T")
Rule = Callable[[Figures], Iterator[Finding]]
"""Reads figures by key and yields findings; yields nothing if a required figure is missing."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of evaluator options, and the options of an evaluator without any."""

    def check(self) -> list[str]:
        """Error messages for invalid values, starting with the option: `images must be at least 1, got 0`.

        Integers are counts and must be at least 1.
        """
        counts = {f.name.replace("_", "-"): getattr(self, f.name) for f in fields(self)}
        return [f"{n} must be at least 1, got {v}" for n, v in counts.items() if type(v) is int and v < 1]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """One question about a trained model."""

    name: str
    """Its name in `--measures` and options."""
    question: str
    """The question it answers, for lists and help."""
    measure: Callable[[Evaluation, Any], None]
    """(evaluation, options) → records figures and shows blocks. Raises Lacks, before recording anything, if the model
    or the data lacks a requirement beyond `needs`."""
    measures: tuple[Definition, ...]
    """All measures that it may record."""
    needs: tuple[type, ...] = ()
    """Required capabilities of the model (genera.engine.capabilities)."""
    items: tuple[str, ...] = ()
    """Item types that it supports: text, dialogues, images, image-pairs, navigation, …; empty: any."""
    options: type[Options] = Options
    options_of: str = ""
    """Evaluator whose options it shares, so that both use the same inputs (generated images, rollouts)."""
    rules: tuple[Rule, ...] = ()
    """Diagnosis rules over the figures of all evaluators; a rule belongs to the measure that it is mainly about."""
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """`--split` → the splits of the data that it measures, if they differ."""

    def lacks(self, method: Any, kind: str) -> str | None:
        """Why it cannot measure `method` (class or instance) on items of `kind`; None if it can."""
        if self.items and kind not in self.items:
            return f"is for {', '.join(self.items)}"
        absent = [need.__name__ for need in self.needs if not isinstance(method, need)]
        return f"needs {' and '.join(absent)}" if absent else None


@dataclass
class Evaluation:
    """The interface for evaluators: inputs (run, data, split, seed) and outputs (record, show, note)."""

    run: Run
    data: Any
    splits: tuple[str, ...]
    """The measured splits, all non-empty: a single one, except for navigation (seen and unseen houses)."""
    seed: int = 0
    sources: dict[str, Any] = field(default_factory=dict)
    """Further data options: data (None: the run's data), features, …"""
    folder: Path | None = None
    """Folder for the pictures of this evaluation within the run folder [RUN/samples]."""
    results: dict[str, Result] = field(default_factory=dict)
    _current: Evaluator | None = None
    _shared: dict[Any, Any] = field(default_factory=dict)

    @property
    def split(self) -> str:
        return self.splits[0]

    @property
    def reference_split(self) -> str:
        """Source of references (word vectors, the mean image): training items, or the measured items for data without
        splits."""
        return "train" if "train" in self.data.splits else self.split

    @property
    def model(self) -> Any:
        """The method; evaluators use only its capabilities."""
        return self.run.method

    def items(self, count: int, split: str | None = None) -> list[Any]:
        """The first `count` items of a split; splits themselves are unordered."""
        return self.data.items(split or self.split, count)

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """A value shared between evaluators, such as samples; computed on the first call."""
        if key not in self._shared:
            with decodings_used() as used:
                value = make()
            self._shared[key] = value, used
        value, used = self._shared[key]
        note_used(used)
        return value

    def begin(self, evaluator: Evaluator, options: Options) -> None:
        """Assign all following records to `evaluator`; called by the driver."""
        self._current = evaluator
        self.results[evaluator.name] = Result(options=asdict(options))

    def record(
        self,
        measure: str,
        estimate: Estimate,
        *,
        direction: str | None = None,
        split: str | None = None,
        samples: int | None = None,
    ) -> None:
        """Add a figure. Raises KeyError for a measure that the evaluator does not define."""
        assert self._current is not None
        if measure not in {d.name for d in self._current.measures}:
            raise KeyError(f"evaluator {self._current.name!r} records {measure!r} but does not define it")
        figure = Figure(
            measure, estimate.value, estimate.error, estimate.n, direction=direction, split=split, samples=samples
        )
        self.results[self._current.name].figures.append(figure)

    def show(self, *blocks: Block) -> None:
        """Add blocks to the report."""
        assert self._current is not None
        self.results[self._current.name].blocks.extend(blocks)

    def picture(
        self,
        name: str,
        images: Sequence[Any],
        *,
        section: str,
        columns: int | None = None,
        title: str = "",
        lead: str = "",
    ) -> None:
        """Write images (C, S, S) in [-1, 1] as the grid NAME.png, and add it to the report."""
        from genera.uses.grids import write_grid

        file = write_grid((self.folder or self.run.folder.samples) / f"{name}.png", list(images), columns)
        path = file.relative_to(self.run.folder.path).as_posix()
        self.show(Picture(section=section, title=title, lead=lead, file=path))

    def note(self, **facts: Any) -> None:
        """Store JSON values that rules read in addition to figures."""
        assert self._current is not None
        self.results[self._current.name].facts |= facts

    def value(self, key: str) -> float | None:
        """An already recorded figure, by key."""
        figures = (f for result in self.results.values() for f in result.figures)
        return next((f.value for f in figures if f.key == key), None)


@dataclass
class Result:
    """The results of one evaluator."""

    options: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def require(condition: object, what: str) -> None:
    """Raise Lacks(what) unless `condition` holds: for requirements beyond capabilities."""
    if not condition:
        raise Lacks(what)


def diagnose(figures: Figures, evaluators: Sequence[Evaluator]) -> list[Finding]:
    """Findings of all rules: warnings, good results, notes. A use with a warning is never called good, and one that has
    a verdict never unknown (a latent, say, implies reconstructions of texts or of images)."""
    findings = [finding for evaluator in evaluators for rule in evaluator.rules for finding in rule(figures)]
    warned = {finding.use for finding in findings if finding.use and finding.level == "warning"}
    judged = {finding.use for finding in findings if finding.grade not in ("", "unknown")}
    dropped = {"good": warned, "unknown": judged}
    findings = [f for f in findings if f.use not in dropped.get("good" if f.level == "good" else f.grade, ())]
    return sorted(findings, key=lambda f: ("warning", "good", "note").index(f.level))
