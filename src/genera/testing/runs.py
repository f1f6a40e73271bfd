"""Trainings for tests: a case is a method at a tiny size; it trains in a process of its own, where it can be killed."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genera.engine import registry
from genera.engine.config import RunConfig
from genera.engine.folder import RunFolder
from genera.testing import processes
from genera.testing.processes import Done

TINY: Mapping[str, object] = {
    "train.steps": 40,
    "train.epochs": None,
    "train.minutes": None,
    "train.batch_size": 16,
    "train.ema": 0.9,
    "train.device": "cpu",
    "train.log_every": 5,
    "train.validate_every": 10,
    "train.validate_batches": 2,
    "train.checkpoint_every": 7,
}
"""Fields of every case, where its own `overrides` say nothing else."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A method at a size at which its training takes about a second."""

    method: str
    """METHOD:PRESET"""
    overrides: Mapping[str, object] = field(default_factory=dict)
    """Fields of the run's config, such as {"model.width": 4, "data.limit": 100}. Leave out what makes ranks differ:
    dropout draws from each rank's own generator."""
    rows_apart: Mapping[str, object] = field(default_factory=dict)
    """Further ones, under which no row of a batch sees another, for methods with batch normalisation. Its moments are
    those of an accumulated part, so that only without it the parts are exactly the whole batch."""
    learning: Mapping[str, object] = field(default_factory=dict)
    """Further ones, under which a small gradient moves a weight visibly in three steps."""
    prepare: Callable[[Any], None] | None = None
    """Called with the new method before these steps: to move parameters off a bound at which they start."""
    evaluation: tuple[str, ...] | None = ()
    """Words of `genera evaluate RUN` that keep it short; None where no evaluator measures what the method makes."""
    imports: tuple[str, ...] = ()
    """Modules to import first, where the method registers itself on import and not by an entry point."""

    @property
    def name(self) -> str:
        return self.method.partition(":")[0]

    def config(self, **more: object) -> RunConfig:
        """The run that this case trains; more: further fields, as `overrides`."""
        return configured(self.method, {**TINY, **self.overrides, **more})

    def train(self, out: Path, *, kill: str | None = None, resume: str = "last", **how: Any) -> Done:
        """Train into the folder `out`. kill: see `train`. how: `more` fields, and options of `processes.forked`;
        `launcher=processes.started` starts a true process."""
        launcher = how.pop("launcher", processes.forked)
        overrides = {**TINY, **self.overrides, **how.pop("more", {})}
        implementation = registry.entry(self.name).implementation.partition(":")[0]
        modules = (*self.imports, implementation)
        target = f"{__name__}:train"
        return launcher(target, self.method, str(out), overrides, kill=kill, resume=resume, imports=modules, **how)

    def finish(self, out: Path, **how: Any) -> Path:
        """As `train`; raises AssertionError with what the training said when it fails."""
        done = self.train(out, **how)
        assert done.returncode == 0, done.stderr
        assert RunFolder(out).status()["state"] == "done"
        return out


def configured(spec: str, overrides: Mapping[str, object]) -> RunConfig:
    """The run of METHOD:PRESET with the fields that `overrides` names by their paths."""
    _, config = registry.preset(spec)
    for path, value in overrides.items():
        config = replaced(config, path.split("."), value)
    return config


def replaced(config: Any, path: list[str], value: object) -> Any:
    """`config` with the field at `path` replaced; lists become the tuples that configs hold."""
    name, *rest = path
    if rest:
        value = replaced(getattr(config, name), rest, value)
    return replace(config, **{name: tuple(value) if isinstance(value, list) else value})


# in the process that trains


def train(spec: str, out: str, overrides: Mapping[str, object], kill: str | None = None, resume: str = "last") -> None:
    """Train in this process. kill: `step:N` ends it with SIGKILL before its N-th step; `save:N` while it writes the
    N-th checkpoint, before that is renamed to its place."""
    import torch

    from genera.engine.train import train
    from genera.errors import GeneraError, Stopped

    torch.set_num_threads(1)
    if kill:
        die_at(kill)
    try:
        train(configured(spec, overrides), out, resume=resume)
    except GeneraError as error:
        sys.exit(f"error: {error}")
    except Stopped as stopped:
        print(stopped)


def die_at(point: str) -> None:
    """Arrange that this process kills itself at `point`, as `train` says."""
    from genera.engine import checkpoint
    from genera.engine.step import Step

    kind, number = point.split(":")
    calls = 0

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == int(number):
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return call

    if kind == "step":
        Step.begin = dying(Step.begin)  # type: ignore[method-assign]
    else:
        checkpoint.write_json = dying(checkpoint.write_json)
