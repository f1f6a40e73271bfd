"""A player, one set of networks that one optimiser trains, and the terms of its loss."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

Terms = dict[str, Tensor]
"""Named scalar tensors; `loss` is what is minimised, the rest is telemetry."""


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
    """Largest gradient norm, where not that of `--clip`; 0 leaves gradients as they are."""
    average_buffers: bool = False
    """Whether it also covers floating buffers (batch-norm statistics, spectral vectors); live ones are used if not."""
