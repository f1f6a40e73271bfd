"""A player (networks trained by one optimiser) and the terms of its loss."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

Terms = dict[str, Tensor]
"""Named scalar tensors; `loss` is minimised, the rest is telemetry."""


@dataclass
class Player:
    """One set of networks that one optimiser trains."""

    network: nn.Module
    optimiser: Optimizer
    schedule: Callable[[int, float], float]
    """(step, progress in [0, 1)) → multiplier of every learning rate"""
    averaged: bool = True
    """Whether the run's moving average of weights (`--ema`) covers this network."""
    clip: float | None = None
    """Maximum gradient norm; None: `--clip`. 0 disables clipping."""
    average_buffers: bool = False
    """Whether it also covers floating-point buffers (batch-norm statistics, spectral vectors); otherwise the current
    buffers are used."""
    held: tuple[str, ...] = ()
    """Children of the network that keep their weights, and the optimiser's state of them, at first."""
    held_until: float = 0.0
    """Share of the stage's budget at which `held` begin to learn."""
