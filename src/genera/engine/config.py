"""What was asked for: frozen dataclasses that are the command line, the file and the Python call at once. No torch."""

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
    """How long, how large, on what, and how often something is written. Give one budget: steps, epochs or minutes; a
    larger one extends a run that has ended."""

    steps: int | None = None
    """Budget in optimiser steps."""
    epochs: float | None = None
    """Budget in passes over the training data."""
    minutes: float | None = None
    """Budget in minutes of training (schedules follow the clock, so such runs are not bit-reproducible)."""
    batch_size: int = 64
    """Items per step over all ranks and all accumulated parts."""
    accumulate: int = 1
    """Parts that a rank's batch is cut into to save memory; the result is that of the whole batch."""
    clip: float = 1.0
    """Largest gradient norm of a player that the method gives none of its own; 0 leaves gradients as they are."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Autocast type of the forward pass; weights stay fp32."""
    ema: float = 0.0
    """Decay per step of the moving average of weights that evaluation then uses; 0 keeps none."""
    ema_start: int = 0
    """Steps of a stage before which the moving average is a copy of the weights."""
    sharding: Literal["none", "fsdp"] = "none"
    """none: every rank holds the whole model. fsdp: each holds a share of weights, gradients and optimiser state, and
    gathers a transformer layer when it is its turn; for models that do not fit one device. One rank holds all of it."""
    compile: bool = False
    """Compile the networks with torch.compile (slow first step, faster after)."""
    init: tuple[str, ...] = ()
    """Initialise a new run from these runs, of the same method or of one that it builds on: its tokenisers and other
    assets are those of the first, and each network is that of the run that has it. NETWORK=RUN takes one network."""
    seed: int = 42
    """Seed of initial weights, order of data and noise."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl."""
    validate_every: int = 500
    """Steps between two passes over validation batches; 0 for never."""
    validate_batches: int = 16
    """Validation batches per pass."""
    checkpoint_every: int = 500
    """Steps between two checkpoints (one is always written at the end, on Ctrl-C and on SIGTERM)."""
    keep: int = 2
    """Newest checkpoints kept, besides the best."""
    track: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Dashboards that also get the metrics: tensorboard, wandb, trackio (extra: track)."""

    def __post_init__(self) -> None:
        if self.init is None or isinstance(self.init, str):  # one run, as Python code and older config files name it
            object.__setattr__(self, "init", (self.init,) if self.init else ())

    def check(self) -> list[str]:
        """Every complaint about these values, in words."""
        budgets = [name for name in BUDGETS if getattr(self, name) is not None]
        rules = [
            (
                len(budgets) == 1,
                f"give exactly one budget of --steps, --epochs, --minutes (got {budgets or 'none'})",
            ),
            (all(0 < getattr(self, name) < math.inf for name in budgets), "the budget must be above 0, and finite"),
            (0 <= self.seed < 2**32, f"--seed must lie in [0, 2^32), got {self.seed}"),
            (self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}"),
            (self.accumulate >= 1, f"--accumulate must be at least 1, got {self.accumulate}"),
            (
                self.accumulate < 1 or self.batch_size % self.accumulate == 0,
                f"--batch-size {self.batch_size} is no multiple of --accumulate {self.accumulate}",
            ),
            (self.clip >= 0, f"--clip must be 0 or above, got {self.clip}"),
            (not (self.compile and self.sharding == "fsdp"), "--compile and --sharding fsdp do not go together"),
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
    """Base of the methods' configs: no complaints."""

    def check(self) -> list[str]:
        """Every complaint about these values, in words."""
        return []

    def check_data(self, data: Any) -> list[str]:
        """Complaints about the data config, where it does not go with this model."""
        return []


NOT_PART_OF_THE_RESULT = {
    "device",
    "log_every",
    "keep",
    "sharding",
    "track",
    "checkpoint_every",
    "validate_every",
    "validate_batches",
}
"""Training fields that may change when a run is resumed: they move no weight."""
BUDGETS = ("steps", "epochs", "minutes")
"""Training fields of which a run has one. Another budget extends the run."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run was asked to do; enough to run it again."""

    method: str
    preset: str
    data: Any
    train: TrainConfig
    model: Any

    def check(self) -> None:
        """Raise one GeneraError with all complaints of all parts."""
        complaints = [c for part in (self.data, self.train, self.model) for c in part.check()]
        complaints += self.model.check_data(self.data)
        if complaints:
            raise GeneraError("; ".join(complaints) + ".")


def budget_of(train: TrainConfig) -> dict[str, float]:
    """The budget of a run, as {"steps": 1000}."""
    return {name: getattr(train, name) for name in BUDGETS if getattr(train, name) is not None}


def with_budget(train: TrainConfig, **budget: float | None) -> TrainConfig:
    """`train` with another budget (steps, epochs or minutes) in the place of its own."""
    return dataclasses.replace(train, **(dict.fromkeys(BUDGETS) | budget))  # type: ignore[arg-type]


def to_dict(config: Any) -> dict[str, Any]:
    """Plain YAML values of a config, nested; tuples become lists, paths text."""

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
        raise GeneraError(f"{where} must be a mapping of fields, got {values!r}.")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise unknown(f"field in {where}", name, known)
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
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise GeneraError(f"{where} must be {getattr(hint, '__name__', hint)}, got {value!r}.")


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """Fields that differ and would change the weights, as `train.seed: 42 -> 43`."""
    found = []
    for section in ("data", "train", "model"):
        before, after = to_dict(getattr(old, section)), to_dict(getattr(new, section))
        for name in before.keys() | after.keys():
            if section == "train" and name in NOT_PART_OF_THE_RESULT:
                continue
            if before.get(name) != after.get(name):
                found.append(f"{section}.{name}: {before.get(name)} -> {after.get(name)}")
    return sorted(found)
