"""Multipliers as functions of how far a run is. No torch; all host numbers, so nothing waits for a device."""

import math
from typing import Literal

Decay = Literal["constant", "linear", "cosine"]


def warmup_decay(step: int, progress: float, *, warmup: int = 0, decay: Decay = "linear") -> float:
    """Learning-rate multiplier: a linear rise over `warmup` steps, then constant, linear to 0 or half a cosine.

    step: 0-based optimiser step. progress: share of the budget that is used, in [0, 1).
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    fall = {"constant": 1.0, "linear": 1.0 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}[decay]
    return rise * fall


def cyclical(progress: float, *, cycles: int = 1, hold: float = 0.5, ramp: float = 0.25) -> float:
    """Cyclical annealing in [0, 1]: in each of `cycles` equal periods 0 for the share `hold`, a linear rise over the
    share `ramp`, then 1 (Fu et al. 2019; Li et al. 2020, section 4.1)."""
    position = (progress * cycles) % 1.0 if progress < 1 else 1.0
    if position < hold:
        return 0.0
    return min(1.0, (position - hold) / ramp) if ramp else 1.0


def monotone(progress: float, *, hold: float = 0.0, ramp: float = 0.5) -> float:
    """0 for the share `hold` of the run, a linear rise over the share `ramp`, then 1 (Bowman et al. 2016)."""
    return cyclical(progress, cycles=1, hold=hold, ramp=ramp)
