"""Schedules by name, as functions of the progress of a run. Plain numbers: no torch, no device synchronisation."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from genera.errors import GeneraError, unknown

Multiplier = Callable[[int, float], float]
"""(0-based step, used share of the budget in [0, 1)) → multiplier of every learning rate"""
F = TypeVar("F", bound=Callable[..., float])


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule that `--schedule` can select."""

    name: str
    summary: str
    decay: Callable[..., float]
    """(step, progress, option=…) → multiplier after warm-up"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """option → its default; `inspect.Parameter.empty` if it is required"""
    reads_warmup: bool = False


SCHEDULES: dict[str, Schedule] = {}


def register_schedule(name: str) -> Callable[[F], F]:
    """Decorator: a function (step, progress, *, option=default …) becomes `--schedule NAME`, with options of the
    config. The first line of its docstring is the summary; a parameter `warmup` receives the warm-up steps."""

    def add(decay: F) -> F:
        if name in SCHEDULES:
            raise GeneraError(f"a schedule named {name!r} is registered twice.")
        keywords = {p.name: p.default for p in inspect.signature(decay).parameters.values() if p.kind == p.KEYWORD_ONLY}
        reads_warmup = keywords.pop("warmup", None) is not None
        summary = (decay.__doc__ or "").strip().partition("\n")[0]
        SCHEDULES[name] = Schedule(name, summary, decay, keywords, reads_warmup)
        return decay

    return add


@register_schedule("constant")
def constant(step: int, progress: float) -> float:
    """The rate stays constant."""
    return 1.0


@register_schedule("linear")
def linear(step: int, progress: float, *, decay_after: float = 0.0, decay_to: float = 0.0) -> float:
    """The rate decays linearly to 0 over the budget."""
    return decay_to + (1.0 - decay_to) * min(1.0, (1.0 - progress) / (1.0 - decay_after))


@register_schedule("cosine")
def cosine(step: int, progress: float, *, decay_after: float = 0.0, decay_to: float = 0.0) -> float:
    """The rate decays to 0 over the budget along half a cosine (Loshchilov and Hutter 2017)."""
    used = max(0.0, (progress - decay_after) / (1.0 - decay_after))
    return decay_to + (1.0 - decay_to) * 0.5 * (1 + math.cos(math.pi * used))


@register_schedule("inverse-sqrt")
def inverse_sqrt(step: int, progress: float, *, warmup: int = 1) -> float:
    """The rate decays as 1/sqrt(step) after the warm-up (Vaswani et al. 2017)."""
    peak = max(1, warmup)
    return math.sqrt(peak / max(step + 1, peak))


@register_schedule("step")
def step_decay(step: int, progress: float, *, decay_every: int, decay_factor: float = 0.5) -> float:
    """The rate is multiplied by a factor (default 0.5) every `decay_every` steps."""
    return decay_factor ** (step // decay_every)


def schedule(name: str, *, warmup: int = 0, **options: Any) -> Multiplier:
    """The multiplier of schedule `name`: a linear rise over `warmup` steps, times the schedule's decay.

    options: of the schedule; None for the default. Raises GeneraError for an unknown name or option.
    """
    kind = schedule_named(name)
    given = {option: value for option, value in options.items() if value is not None}
    if complaints := option_complaints("schedule", name, kind.options, given):
        raise GeneraError("; ".join(complaints) + ".")
    if kind.reads_warmup:
        given["warmup"] = warmup

    def multiplier(step: int, progress: float) -> float:
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return rise * kind.decay(step, progress, **given)

    return multiplier


def schedule_named(name: str) -> Schedule:
    """Raises GeneraError for an unknown name, suggesting the closest one."""
    if name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    return SCHEDULES[name]


def option_complaints(
    what: str, name: str, options: Mapping[str, Any], given: Mapping[str, Any], prefix: str = ""
) -> list[str]:
    """Complaints about unknown options of the optimiser or schedule `name`, and about missing required ones."""

    def flag(option: str) -> str:
        return f"--{prefix}{option.replace('_', '-')}"

    known = ", ".join(map(flag, options)) or "none"
    complaints = [
        f"{flag(option)} {value} is not an option of --{prefix}{what} {name} (its options: {known}); omit it, or "
        "set it to None"
        for option, value in given.items()
        if option not in options
    ]
    complaints += [
        f"--{prefix}{what} {name} needs {flag(option)}"
        for option, default in options.items()
        if default is inspect.Parameter.empty and option not in given
    ]
    return complaints


# multipliers of losses


def cyclical(progress: float, *, cycles: int = 1, hold: float = 0.5, ramp: float = 0.25) -> float:
    """Cyclical annealing in [0, 1]: each of `cycles` equal periods is 0 for the fraction `hold`, rises linearly over
    the fraction `ramp`, then stays 1 (Fu et al. 2019; Li et al. 2020, section 4.1)."""
    position = (progress * cycles) % 1.0 if progress < 1 else 1.0
    if position < hold:
        return 0.0
    return min(1.0, (position - hold) / ramp) if ramp else 1.0


def monotone(progress: float, *, hold: float = 0.0, ramp: float = 0.5) -> float:
    """0 for the fraction `hold` of the run, a linear rise over the fraction `ramp`, then 1 (Bowman et al. 2016)."""
    return cyclical(progress, cycles=1, hold=hold, ramp=ramp)
