"""Read a run folder's files for reports, without loading the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genera.engine.folder import RunFolder
from genera.errors import GeneraError
from genera.evaluation.label_blocks import label_blocks
from genera.evaluation.storage import Stored, chosen, stored_in
from genera.files import read_yaml
from genera.measures.schema import Figure

BOOKKEEPING = {"step", "epoch", "seconds", "stage"}


@dataclass(frozen=True)
class Record:
    path: Path
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    """metrics.jsonl: training rows, and validation rows whose terms begin with `valid/`"""
    evaluation: Stored | None
    """The evaluation to show."""
    others: list[Stored]
    """The other evaluations of the run, newest first."""
    attached: list[dict[str, Any]]
    """Blocks of probes and guides."""
    status: dict[str, Any]

    @property
    def title(self) -> str:
        return f"{self.config.get('method', '?')}:{self.config.get('preset', '?')}"

    @property
    def data(self) -> str:
        """The source of the run's data, such as world:captions."""
        data = self.config.get("data", "?")
        return str(data.get("data", "?") if isinstance(data, dict) else data)

    @property
    def measured(self) -> Stored:
        """The evaluation of a run that has one."""
        assert self.evaluation is not None
        return self.evaluation

    @property
    def measures(self) -> dict[str, Figure]:
        """Figures by key."""
        return {figure.key: figure for figure in self.evaluation.figures} if self.evaluation else {}

    @property
    def blocks(self) -> list[dict[str, Any]]:
        """All blocks that the page draws below figures and curves."""
        return (self.evaluation.blocks if self.evaluation else []) + self.attached

    def last(self, name: str) -> float | None:
        """The newest logged value of a term."""
        return next((row[name] for row in reversed(self.rows) if row.get(name) is not None), None)

    def curves(self) -> dict[str, dict[str, list[tuple[float, float]]]]:
        """{term: {series: [(step, value)]}}, with one training and one validation series per stage."""
        curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
        stages = {row["stage"] for row in self.rows if row.get("stage")}
        for row in self.rows:
            for name, value in row.items():
                if name in BOOKKEEPING or not isinstance(value, int | float):
                    continue
                term, series = name.removeprefix("valid/"), "valid" if name.startswith("valid/") else "train"
                if len(stages) > 1:
                    series = f"{row.get('stage')}, {series}"
                curves.setdefault(term, {}).setdefault(series, []).append((row.get("step", 0), value))
        return curves


def read_run(path: str | Path, evaluation: str | None = None) -> Record:
    """evaluation: name, or a prefix of it, of the evaluation to show [the newest].

    Raises GeneraError when `path` is not a run folder, lacks the evaluation, or has an unreadable file.
    """
    folder = RunFolder.existing(path)
    config = read_yaml(folder.config_file)
    if not isinstance(config, dict):
        raise GeneraError(f"{folder.config_file} must hold a mapping, got {type(config).__name__}; restore it.")
    shown = chosen(folder.path, evaluation)
    others = [stored for stored in reversed(stored_in(folder.path)) if shown and stored.name != shown.name]
    return Record(folder.path, config, folder.metrics(), shown, others, label_blocks(folder.path), folder.status())
