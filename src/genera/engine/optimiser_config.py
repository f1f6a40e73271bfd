"""Optimiser and schedule as fields of a method's config. No torch."""

from dataclasses import dataclass
from typing import Any, ClassVar

from genera.blocks.optimisers import optimiser_named
from genera.blocks.schedules import option_complaints, schedule_named
from genera.engine.config import MethodConfig
from genera.errors import GeneraError

OPTIMISER_OPTIONS = ("betas", "eps", "momentum", "nesterov", "smoothing", "average_from", "patience")
SCHEDULE_OPTIONS = ("decay_after", "decay_to", "decay_every", "decay_factor")


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig(MethodConfig):
    """Base of the configs of methods with a configurable optimiser and schedule.

    An option that the chosen optimiser or schedule lacks is an error; None means its default.
    """

    optimisers: ClassVar[tuple[str, ...]] = ()
    """The optimisers that the method allows; all if empty."""
    schedules: ClassVar[tuple[str, ...]] = ()
    """The schedules that the method allows; all if empty."""
    prefix: ClassVar[str] = ""
    """Prefix of these options on the command line, such as `speaker.`."""

    optimiser: str = "adamw"
    """Optimiser: adamw, adam, nadam, radam, adamax, sgd, asgd, nt-asgd, rmsprop, adagrad, adadelta."""
    lr: float = 5e-5
    """Peak learning rate."""
    weight_decay: float = 0.0
    """Weight decay: decoupled for adamw, an L2 penalty for the others."""
    betas: tuple[float, float] | None = None
    """Decay rates of the first and second moment of adam, adamw, nadam, radam, adamax [0.9 0.999]."""
    eps: float | None = None
    """Epsilon in the denominator of the adaptive optimisers [1e-8; adadelta 1e-6, adagrad 1e-10]."""
    momentum: float | None = None
    """Momentum of sgd and rmsprop [0]."""
    nesterov: bool = False
    """Nesterov momentum of sgd."""
    smoothing: float | None = None
    """Decay rate of the mean squared gradient of rmsprop [0.99] and adadelta [0.9]."""
    average_from: int | None = None
    """Step at which asgd starts to average weights; evaluation uses the average [0]."""
    patience: int | None = None
    """Validation passes without improvement after which nt-asgd starts to average [5]."""
    schedule: str = "linear"
    """Learning rate schedule: constant, linear, cosine, inverse-sqrt, step. linear and cosine decay over the budget;
    when a run is extended, its rate follows the schedule over the new budget from its current step."""
    warmup: int = 0
    """Steps of linear warm-up, which multiplies the schedule."""
    decay_after: float | None = None
    """Share of the budget after which linear and cosine start to decay [0]."""
    decay_to: float | None = None
    """Final rate of linear and cosine, as a share of the peak rate [0]."""
    decay_every: int | None = None
    """Steps between decays of the step schedule."""
    decay_factor: float | None = None
    """Decay factor of the step schedule [0.5]."""

    def check(self) -> list[str]:
        return self.check_optimiser() + self.check_schedule()

    def check_optimiser(self) -> list[str]:
        """Error messages about the optimiser and its options."""
        flag = f"--{self.prefix}"
        rules = [
            (self.lr > 0, f"{flag}lr must be above 0, got {self.lr}"),
            (self.weight_decay >= 0, f"{flag}weight-decay must be 0 or above, got {self.weight_decay}"),
            (
                self.betas is None or (len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas)),
                f"{flag}betas must be two numbers in [0, 1), got {self.betas}",
            ),
            (self.eps is None or self.eps > 0, f"{flag}eps must be above 0, got {self.eps}"),
            (
                self.momentum is None or 0 <= self.momentum < 1,
                f"{flag}momentum must lie in [0, 1), got {self.momentum}",
            ),
            (
                self.smoothing is None or 0 <= self.smoothing < 1,
                f"{flag}smoothing must lie in [0, 1), got {self.smoothing}",
            ),
            (not self.nesterov or bool(self.momentum), f"{flag}nesterov needs {flag}momentum above 0"),
            (
                self.average_from is None or self.average_from >= 0,
                f"{flag}average-from must be 0 or above, got {self.average_from}",
            ),
            (self.patience is None or self.patience >= 1, f"{flag}patience must be at least 1, got {self.patience}"),
        ]
        complaints = [complaint for holds, complaint in rules if not holds]
        return complaints + _named_complaints(self, "optimiser", self.optimisers, OPTIMISER_OPTIONS)

    def check_schedule(self) -> list[str]:
        """Error messages about the schedule and its options."""
        flag = f"--{self.prefix}"
        rules = [
            (self.warmup >= 0, f"{flag}warmup must be 0 or above, got {self.warmup}"),
            (
                self.decay_after is None or 0 <= self.decay_after < 1,
                f"{flag}decay-after is a share of the budget in [0, 1), got {self.decay_after}",
            ),
            (
                self.decay_to is None or 0 <= self.decay_to <= 1,
                f"{flag}decay-to is a share of the peak rate in [0, 1], got {self.decay_to}",
            ),
            (
                self.decay_every is None or self.decay_every >= 1,
                f"{flag}decay-every must be at least 1, got {self.decay_every}",
            ),
            (
                self.decay_factor is None or 0 < self.decay_factor <= 1,
                f"{flag}decay-factor must lie in (0, 1], got {self.decay_factor}",
            ),
        ]
        complaints = [complaint for holds, complaint in rules if not holds]
        return complaints + _named_complaints(self, "schedule", self.schedules, SCHEDULE_OPTIONS)


def given_options(config: OptimiserConfig, names: tuple[str, ...]) -> dict[str, Any]:
    """Those of the options that are not left at their default."""
    values = {name: getattr(config, name) for name in names}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def _named_complaints(
    config: OptimiserConfig, what: str, allowed: tuple[str, ...], names: tuple[str, ...]
) -> list[str]:
    """Complaints about the `what` (optimiser or schedule) that is named, and about options that it lacks or needs."""
    name = getattr(config, what)
    if allowed and name not in allowed:
        allowed_names = f"{', '.join(allowed[:-1])} or {allowed[-1]}" if len(allowed) > 1 else allowed[0]
        return [f"this method needs --{config.prefix}{what} {allowed_names}, got {name!r}"]
    try:
        kind = optimiser_named(name) if what == "optimiser" else schedule_named(name)
    except GeneraError as error:
        return [str(error).removesuffix(".")]
    return option_complaints(what, name, kind.options, given_options(config, names), config.prefix)
