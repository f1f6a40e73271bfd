"""What a run folder's files say about a run, read without the model that made them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genera.engine.folder import RunFolder
from genera.errors import GeneraError
from genera.files import read_json, read_yaml

BOOKKEEPING = {"step", "epoch", "seconds", "stage"}


@dataclass(frozen=True)
class Record:
    path: Path
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    """metrics.jsonl: training rows, and validation rows whose terms begin with `valid/`"""
    evaluation: dict[str, Any]
    """evaluation.json, empty while there is none"""
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
    def measured_data(self) -> str:
        """The source of the items that were evaluated: the run's own unless evaluation.json names another."""
        return str(self.evaluation.get("data") or self.data)

    @property
    def measures(self) -> dict[str, dict[str, Any]]:
        """{name: {"value", "error", "n"}}"""
        return self.evaluation.get("measures") or {}

    def last(self, name: str) -> float | None:
        """The newest logged value of a term."""
        return next((row[name] for row in reversed(self.rows) if row.get(name) is not None), None)

    def curves(self) -> dict[str, dict[str, list[tuple[float, float]]]]:
        """{term: {series: [(step, value)]}}; the series are training and validation, one of each a stage."""
        found: dict[str, dict[str, list[tuple[float, float]]]] = {}
        stages = {row["stage"] for row in self.rows if row.get("stage")}
        for row in self.rows:
            for name, value in row.items():
                if name in BOOKKEEPING or not isinstance(value, int | float):
                    continue
                term, series = name.removeprefix("valid/"), "valid" if name.startswith("valid/") else "train"
                if len(stages) > 1:
                    series = f"{row.get('stage')}, {series}"
                found.setdefault(term, {}).setdefault(series, []).append((row.get("step", 0), value))
        return found


def read_run(path: str | Path) -> Record:
    """Raises GeneraError when `path` is no run folder or one of its files cannot be read."""
    folder = RunFolder.existing(path)
    config = read_yaml(folder.config_file)
    evaluation_file = folder.path / "evaluation.json"
    evaluation = read_json(evaluation_file) if evaluation_file.exists() else {}
    for file, value in ((folder.config_file, config), (evaluation_file, evaluation)):
        if not isinstance(value, dict):
            raise GeneraError(f"{file} must hold a mapping, got {type(value).__name__}; restore it or delete it.")
    return Record(folder.path, config, folder.metrics(), evaluation, folder.status())
