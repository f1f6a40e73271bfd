"""Configs: frozen dataclasses that define the command line, the config file and the Python call. No torch."""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from genera.errors import GeneraError, unknown

C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Budget, batch, device and logging of a run. Give one budget: steps, epochs or minutes; a larger one extends a
    finished run."""

    steps: int | None = None
    """Budget in optimiser steps."""
    epochs: float | None = None
    """Budget in passes over the training data."""
    minutes: float | None = None
    """Budget in minutes of training (schedules follow the clock, so such runs are not bit-reproducible)."""
    batch_size: int = 64
    """Items per step, over all ranks and accumulated parts."""
    accumulate: int = 1
    """Number of parts into which each rank splits its batch to save memory; gradients are those of the whole batch."""
    clip: float = 1.0
    """Maximum gradient norm, unless the method sets its own for a player; 0 disables clipping."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Autocast dtype of the forward pass; weights stay fp32."""
    ema: float = 0.0
    """Decay per step of the moving average of weights, which evaluation uses; 0 disables it."""
    ema_start: int = 0
    """Step of a stage at which averaging starts; until then the moving average is a copy of the weights."""
    sharding: Literal["none", "fsdp"] = "none"
    """none: every rank holds the whole model. fsdp: each rank holds a shard of weights, gradients and optimiser state,
    and gathers one transformer layer at a time; for models that do not fit one device. No effect on a single rank."""
    replicas: int = 1
    """With --sharding fsdp: number of copies of the model (HSDP), such as one per node. Each is sharded over ranks /
    (replicas x tensor-parallel) ranks."""
    tensor_parallel: int = 1
    """Number of ranks that split each transformer layer (attention heads, feed-forward width) and the vocabulary, and
    compute on the same rows; for layers too wide for one device. At most the devices of one machine."""
    compile: bool = False
    """Compile the networks with torch.compile (slow first step, faster after)."""
    init: tuple[str, ...] = ()
    """Initialise a new run from these runs, which have the same method or one that it builds on. Tokenisers and other
    assets come from the first run, each network from the run that has it. NETWORK=RUN takes one network."""
    seed: int = 42
    """Seed of initial weights, data order and noise."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    validate_every: int = 500
    """Steps between validation passes; 0 disables validation."""
    validate_batches: int = 16
    """Validation batches per pass."""
    checkpoint_every: int = 500
    """Steps between checkpoints. One is always written at the end, on Ctrl-C and on SIGTERM."""
    keep: int = 2
    """Number of newest checkpoints to keep, besides the best."""
    track: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Dashboards to also log metrics to: tensorboard, wandb, trackio (needs the extra genera[track])."""

    def __post_init__(self) -> None:
        if self.init is None or isinstance(self.init, str):  # a single run, as in Python code and older config files
            object.__setattr__(self, "init", (self.init,) if self.init else ())

    @property
    def division(self) -> str:
        """The option that divides the model over ranks; empty if every rank holds all of it."""
        if self.tensor_parallel > 1:
            return f"--tensor-parallel {self.tensor_parallel}"
        return "--sharding fsdp" if self.sharding == "fsdp" else ""

    def check(self) -> list[str]:
        """Error messages for invalid values."""
        budgets = [name for name in BUDGETS if getattr(self, name) is not None]
        rules = [
            (
                len(budgets) == 1,
                f"give exactly one budget of --steps, --epochs, --minutes (got {budgets or 'none'})",
            ),
            (not any(getattr(self, name) <= 0 for name in budgets), "the budget must be above 0"),
            (0 <= self.seed < 2**32, f"--seed must lie in [0, 2^32), got {self.seed}"),
            (self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}"),
            (self.accumulate >= 1, f"--accumulate must be at least 1, got {self.accumulate}"),
            (
                self.accumulate < 1 or self.batch_size % self.accumulate == 0,
                f"--batch-size {self.batch_size} must be a multiple of --accumulate {self.accumulate}",
            ),
            (self.clip >= 0, f"--clip must be 0 or above, got {self.clip}"),
            (self.replicas >= 1, f"--replicas must be at least 1, got {self.replicas}"),
            (self.replicas <= 1 or self.sharding == "fsdp", f"--replicas {self.replicas} needs --sharding fsdp"),
            (self.tensor_parallel >= 1, f"--tensor-parallel must be at least 1, got {self.tensor_parallel}"),
            (0 <= self.ema < 1, f"--ema must lie in [0, 1), got {self.ema}"),
            (self.ema_start >= 0, f"--ema-start must be 0 or above, got {self.ema_start}"),
            (self.log_every >= 1, f"--log-every must be at least 1, got {self.log_every}"),
            (self.validate_every >= 0, f"--validate-every must be 0 or above, got {self.validate_every}"),
            (
                self.validate_batches >= 1,
                f"--validate-batches must be at least 1, got {self.validate_batches}",
            ),
            (
                self.checkpoint_every >= 1,
                f"--checkpoint-every must be at least 1, got {self.checkpoint_every}",
            ),
            (self.keep >= 1, f"--keep must be at least 1, got {self.keep}"),
        ]
        return [complaint for holds, complaint in rules if not holds]


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Base of the configs of methods; accepts all values."""

    def check(self) -> list[str]:
        """Error messages for invalid values."""
        return []

    def check_data(self, data: Any) -> list[str]:
        """Error messages for a data config that does not fit this model."""
        return []


NOT_PART_OF_THE_RESULT = {
    "device",
    "log_every",
    "keep",
    "sharding",
    "replicas",
    "tensor_parallel",
    "track",
    "checkpoint_every",
    "validate_every",
    "validate_batches",
}
"""Training fields that may change on resuming, since they do not affect the weights."""
BUDGETS = ("steps", "epochs", "minutes")
"""Training fields for the budget, of which exactly one is set. A new budget extends the run."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The full config of a run; enough to repeat it."""

    method: str
    preset: str
    data: Any
    train: TrainConfig
    model: Any

    def check(self) -> None:
        """Raise one GeneraError with the error messages of all parts."""
        parts = (self.data, self.train, self.model)
        wrong = {option: complaint for part in parts for option, complaint in number_complaints(part).items()}
        others = [c for part in parts for c in part.check()] + self.model.check_data(self.data)
        complaints = [*wrong.values(), *(c for c in others if c.partition(" ")[0] not in wrong)]
        if complaints:
            raise GeneraError("; ".join(complaints) + ".")


LARGEST_RATE = 1000.0
"""Largest learning rate; the highest published ones are below 100 (SGD for language models)."""


def number_complaints(config: Any, prefix: str = "--") -> dict[str, str]:
    """Option → complaint for the numbers of a config and of those in it that are NaN or infinite, and for learning
    rates (`lr`, `d_lr`, …) of any optimiser that no training survives."""
    complaints: dict[str, str] = {}
    for f in fields(config):
        value, option = getattr(config, f.name), prefix + f.name.replace("_", "-")
        if is_dataclass(value) and not isinstance(value, type):
            complaints |= number_complaints(value, f"{option}.")
            continue
        numbers = [v for v in (value if isinstance(value, tuple | list) else [value]) if isinstance(v, float)]
        if not all(map(math.isfinite, numbers)):
            complaints[option] = f"{option} must be a finite number, got {value}"
        elif (f.name == "lr" or f.name.endswith("_lr")) and any(v > LARGEST_RATE for v in numbers):
            complaints[option] = f"{option} must be at most {LARGEST_RATE:g}, got {value:g}"
    return complaints


def budget_of(train: TrainConfig) -> dict[str, float]:
    """The budget of a run, as {"steps": 1000}."""
    return {name: getattr(train, name) for name in BUDGETS if getattr(train, name) is not None}


def with_budget(train: TrainConfig, **budget: float | None) -> TrainConfig:
    """`train` with its budget replaced (steps, epochs or minutes)."""
    return dataclasses.replace(train, **(dict.fromkeys(BUDGETS) | budget))  # type: ignore[arg-type]


def to_dict(config: Any) -> dict[str, Any]:
    """A config as nested YAML values; tuples become lists, paths strings."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        if isinstance(value, Path):
            return str(value)
        return [plain(v) for v in value] if isinstance(value, tuple | list) else value

    return plain(config)


def from_dict(kind: type[C], values: Any, where: str) -> C:
    """Build a config dataclass from plain values, checking names and types. `where` names the place in errors.

    Raises:
        GeneraError: an unknown, missing or wrongly typed field.
    """
    if not isinstance(values, dict):
        raise GeneraError(f"{where} must be a mapping of fields, got {_shown(values)}.")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise unknown(f"field in {where}", str(name), known)
    for name, f in known.items():
        if name not in values and f.default is f.default_factory is dataclasses.MISSING:
            raise GeneraError(f"{where} lacks the field {name!r}; the file is incomplete.")
    return kind(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if is_dataclass(hint):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        if value in arguments:
            return value
        raise unknown(f"value of {where}", str(value), [str(a) for a in arguments])
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], v, where) for v in value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1000:
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise GeneraError(f"{where} must be {getattr(hint, '__name__', hint)}, got {_shown(value)}.")


def _shown(value: Any) -> str:
    """A value in a message, at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """Fields that differ and would change the weights, as `train.seed: 42 -> 43`."""
    changes = []
    for section in ("data", "train", "model"):
        before, after = to_dict(getattr(old, section)), to_dict(getattr(new, section))
        for name in before.keys() | after.keys():
            if section == "train" and name in NOT_PART_OF_THE_RESULT:
                continue
            if before.get(name) != after.get(name):
                changes.append(f"{section}.{name}: {before.get(name)} -> {after.get(name)}")
    return sorted(changes)
