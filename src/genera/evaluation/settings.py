"""What an evaluation can be asked. No torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from genera.errors import GeneraError
from genera.evaluation.evaluator import Evaluator, Options
from genera.evaluation.registry import evaluator


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured: the data and the part of it."""

    data: str | None = None
    """Data to measure on, as in training [the run's own]."""
    split: Literal["test", "valid", "train"] | None = None
    """test, valid or train; for navigation, test is val_seen and val_unseen, and valid is val_seen [test; all of --data
    where it has no splits]."""
    text_column: str | None = None
    """Where the text of --data is: a TSV column (number from 0, or name in the header) or a JSONL field [0; text]."""
    label_column: str | None = None
    """Where the label of --data is: a TSV column or a JSONL field [no labels]."""
    features: Path | None = None
    """Navigation: the feature file of the views, where it has moved since training."""
    style: str | None = None
    """Dialogues: a source of texts in the style by which responses are measured [that of a StyleFusion run]."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Measured):
    """What to measure, and on which data."""

    measures: tuple[str, ...] = ()
    """Only these evaluators [all that fit the run]."""
    seed: int = 0
    """Seed of every draw."""
    options: Mapping[str, Options] = field(default_factory=dict)
    """evaluator → its options; those left out have their defaults"""

    def check(self) -> None:
        """Raise one GeneraError with every complaint."""
        for name in (*self.measures, *self.options):
            evaluator(name)
        wrong = [f"--{name}.{complaint}" for name, o in self.options.items() for complaint in o.check()]
        used = {evaluator(name).options_of or name for name in self.measures}
        if unused := [name for name in self.options if used and name not in used]:
            wrong.append(f"options of {', '.join(unused)} are given, and --measures leaves it out")
        if self.data is None and (self.text_column or self.label_column):
            wrong.append("--text-column and --label-column are those of --data, which was not given")
        if wrong:
            raise GeneraError("; ".join(wrong) + ".")

    def of(self, known: Evaluator) -> Options:
        """The options that an evaluator takes: its own, or those of its `options_of`."""
        owner = evaluator(known.options_of) if known.options_of else known
        return self.options.get(owner.name, owner.options())

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but data and split that differs from the defaults and moves figures."""
        changed: dict[str, Any] = {} if self.seed == 0 else {"seed": self.seed}
        columns = {"text_column": self.text_column, "label_column": self.label_column, "style": self.style}
        changed |= {name: value for name, value in columns.items() if value is not None}
        for name, options in self.options.items():
            default = asdict(type(options)())
            if differing := {key: value for key, value in asdict(options).items() if value != default[key]}:
                changed[name] = {k: str(v) if isinstance(v, Path) else v for k, v in differing.items()}
        return changed
