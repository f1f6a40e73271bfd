"""The run folder: config, metrics, status and checkpoints of a run. Portable, and safe against kills at any time."""

import json
import math
import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genera.engine.config import BUDGETS, RunConfig, budget_of, differences, to_dict, with_budget
from genera.engine.lock import FolderLock
from genera.engine.registry import origin, run_config
from genera.engine.shipped import SHIPPED, unpacked
from genera.errors import GeneraError
from genera.files import parse_json, read_bytes, read_json, read_yaml, write_json, write_text, write_yaml
from genera.typed import mismatch
from genera.version import VERSION

PARTS = {
    "metrics.jsonl",
    "status.json",
    "references.json",
    "assets",
    "checkpoints",
    "artefacts",
    "samples",
    "typical.json",
}
"""Files and folders of a run besides config.yaml."""


@dataclass(frozen=True)
class _Row:
    """A line of metrics.jsonl; its further entries are the terms."""

    step: int
    stage: str = ""


@dataclass(frozen=True)
class _Status:
    """status.json."""

    state: str
    step: int = 0
    seconds: float = 0.0
    message: str = ""


class RunFolder:
    """Paths and small files of one run: config.yaml, metrics.jsonl, status.json, checkpoints/, assets/, samples/."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.metrics_file = self.path / "metrics.jsonl"
        self.status_file = self.path / "status.json"
        self.checkpoints = self.path / "checkpoints"
        self.assets = self.path / "assets"
        self.artefacts = self.path / "artefacts"
        self.samples = self.path / "samples"
        self._lock = FolderLock(self.path)

    @classmethod
    def existing(cls, path: str | Path) -> "RunFolder":
        """The run at `path`, or the shipped one of that name. Raises GeneraError when there is none."""
        if str(path) in SHIPPED and not Path(path).exists():
            return cls(unpacked(str(path)))
        folder = cls(path)
        if not folder.config_file.is_file():
            raise GeneraError(
                f"{path} is not a run folder (no config.yaml); `genera train METHOD:PRESET --out {path}` creates one, "
                f"and {' and '.join(SHIPPED)} comes with genera."
            )
        return folder

    def config(self) -> RunConfig:
        return run_config(read_yaml(self.config_file), str(self.config_file))

    def start(self, config: RunConfig) -> None:
        """Write the config, or check that the existing run has the same config, except for the budget (see `extend`).
        Before its first checkpoint a run may still change its config.

        Raises:
            GeneraError: the folder holds a different run, or files that are not a run.
        """
        begun = any(self.checkpoints.glob("step-*")) or self.status()["state"] == "done"
        if self.config_file.exists() and not begun:  # an earlier start saved only its config
            shutil.rmtree(self.assets, ignore_errors=True)
            self.status_file.unlink(missing_ok=True)
        elif self.config_file.exists():
            old = self.config()
            same_budget = replace(config, train=with_budget(config.train, **budget_of(old.train)))
            changed = differences(old, same_budget)
            if (old.method, old.preset) != (config.method, config.preset):
                changed = [f"{old.method}:{old.preset} -> {config.method}:{config.preset}"]
            if changed:
                raise GeneraError(
                    f"{self.path} holds a run with other settings ({'; '.join(changed)}); "
                    "resume with those settings or choose another --out."
                )
            return
        else:
            self._check_empty()
        write_yaml(self.config_file, {"genera": VERSION, **origin(config.method), **to_dict(config)})

    def extend(self, config: RunConfig, step: int) -> None:
        """Record in config.yaml that the run continues from `step` with the budget of `config`; keeps earlier ones."""
        values, history = read_yaml(self.config_file), self.budgets()
        values["train"] |= dict.fromkeys(BUDGETS) | budget_of(config.train)
        values["budgets"] = [*history, {"from_step": step, **budget_of(config.train)}]
        write_yaml(self.config_file, values)

    def budgets(self) -> list[dict[str, Any]]:
        """All budgets of the run, oldest first, as {"from_step": 0, "steps": 1000}."""
        values = read_yaml(self.config_file)
        if problem := mismatch(values.get("budgets") or [], list[dict[str, float]], "budgets"):
            raise GeneraError(f"{self.config_file} is damaged ({problem}); restore it.")
        return values.get("budgets") or [{"from_step": 0, **budget_of(self.config().train)}]

    def _check_empty(self) -> None:
        """Raise GeneraError if the folder, which has no config.yaml, holds anything."""
        present = {path.name for path in self.path.iterdir()} if self.path.exists() else set()
        present -= {".lock", ".writer"}
        if present and present <= PARTS:
            raise GeneraError(
                f"{self.path} holds the remains of a run without its config.yaml ({', '.join(sorted(present))}); "
                "delete the folder to start again, restore config.yaml to resume, or choose another --out."
            )
        if present:
            raise GeneraError(f"{self.path} is not empty and is not a run; choose another --out.")

    def lock(self) -> AbstractContextManager[None]:
        """Lock the folder for writing. Raises GeneraError when another process writes it."""
        return self._lock.held()

    def check_present(self) -> None:
        """Raise GeneraError if the folder was deleted, moved or replaced since this object locked it."""
        self._lock.check()

    def check_writable(self) -> None:
        """Raise GeneraError for a read-only folder, before work starts rather than when results are written."""
        if not os.access(self.path, os.W_OK):
            raise GeneraError(f"{self.path} is read-only; make it writable, or work on a copy.")

    # metrics

    def log(self, row: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl. JSON has no infinities, so non-finite figures become null."""
        self.check_present()
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        try:
            with open(self.metrics_file, "a", encoding="utf-8") as file:
                file.write(json.dumps(plain) + "\n")
        except OSError as error:
            raise GeneraError(
                f"cannot write {self.metrics_file}: {error.strerror}; the last checkpoint is intact."
            ) from None

    def metrics(self) -> list[dict[str, Any]]:
        """All complete lines of metrics.jsonl (a kill may truncate the last). Raises GeneraError for a damaged line."""
        if not self.metrics_file.exists():
            return []
        rows = []
        *lines, _ = read_bytes(self.metrics_file).split(b"\n")
        for number, line in enumerate(lines, start=1):
            try:
                row = parse_json(line)
            except ValueError:
                row = None
            if mismatch(row, dict[str, float | str]) or mismatch(row, _Row):
                raise GeneraError(
                    f"{self.metrics_file}:{number} is damaged (no JSON object with a step); delete that line."
                )
            rows.append(row)
        return rows

    def rewind_metrics(self, step: int) -> None:
        """Drop rows past `step`: a resumed run writes them again."""
        if self.metrics_file.exists():
            kept = [row for row in self.metrics() if row["step"] <= step]
            write_text(self.metrics_file, "".join(json.dumps(row) + "\n" for row in kept))

    # status

    def write_status(self, state: str, **facts: Any) -> None:
        """state: running, stopped, failed or done."""
        self.check_present()
        write_json(self.status_file, {"state": state, **facts})

    def saved_step(self) -> int:
        """The step of the last complete checkpoint; 0 without one."""
        return max((int(file.parent.name[5:]) for file in self.checkpoints.glob("step-*/state.json")), default=0)

    def status(self) -> dict[str, Any]:
        """The facts of status.json, with `state`: new, running, stopped, failed, done, or `interrupted` for a run whose
        process ended without a word, such as after a kill; its step is that of the last checkpoint.

        Raises GeneraError when status.json is damaged.
        """
        if not self.status_file.exists():
            return {"state": "new"}
        status = read_json(self.status_file)
        if problem := mismatch(status, _Status):
            raise GeneraError(f"{self.status_file} is damaged ({problem}); delete it, a run works without.")
        if status["state"] == "running" and not self._lock.running():
            return status | {"state": "interrupted", "step": self.saved_step()}
        return status
