"""Options of an evaluation. No torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from genera.errors import GeneraError
from genera.evaluation.evaluator import Evaluator, Options
from genera.evaluation.registry import evaluator


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The data to measure on."""

    data: str | None = None
    """Data source to measure on, as in training [the run's data]."""
    split: Literal["test", "valid", "train"] | None = None
    """test, valid or train; for navigation, test is val_seen and val_unseen, and valid is val_seen [test; all of --data
    if it has no splits]."""
    text_column: str | None = None
    """Text of --data: a TSV column (number from 0, or header name) or a JSONL field [0; text]."""
    label_column: str | None = None
    """Label of --data: a TSV column or a JSONL field [no labels]."""
    features: Path | None = None
    """Navigation: the feature file of the views, if it has moved since training [the run's]."""
    style: str | None = None
    """Dialogues: source of texts in the style to measure responses against [the run's, for StyleFusion]."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Measured):
    """The evaluators to run and the data to measure on."""

    measures: tuple[str, ...] = ()
    """Run only these evaluators [all that apply to the run]."""
    seed: int = 0
    """Random seed."""
    options: Mapping[str, Options] = field(default_factory=dict)
    """evaluator → its options; missing ones have their defaults"""

    def check(self) -> None:
        """Raise one GeneraError with all error messages."""
        for name in (*self.measures, *self.options):
            evaluator(name)
        wrong = [f"--{name}.{complaint}" for name, o in self.options.items() for complaint in o.check()]
        used = {evaluator(name).options_of or name for name in self.measures}
        if unused := [name for name in self.options if used and name not in used]:
            wrong.append(f"options of {', '.join(unused)} are given, but --measures excludes it")
        if self.data is None and (self.text_column or self.label_column):
            wrong.append("--text-column and --label-column need --data")
        if wrong:
            raise GeneraError("; ".join(wrong) + ".")

    def of(self, known: Evaluator) -> Options:
        """The options of an evaluator, or of the evaluator that its `options_of` names."""
        owner = evaluator(known.options_of) if known.options_of else known
        return self.options.get(owner.name, owner.options())

    @property
    def settings(self) -> dict[str, Any]:
        """All settings except data and split that differ from their defaults and affect figures."""
        changed: dict[str, Any] = {} if self.seed == 0 else {"seed": self.seed}
        columns = {"text_column": self.text_column, "label_column": self.label_column, "style": self.style}
        changed |= {name: value for name, value in columns.items() if value is not None}
        for name, options in self.options.items():
            default = asdict(type(options)())
            if differing := {key: value for key, value in asdict(options).items() if value != default[key]}:
                changed[name] = {k: str(v) if isinstance(v, Path) else v for k, v in differing.items()}
        return changed
