"""A moving mean of what training sees, the same however a batch is spread over ranks and accumulated parts."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class RunningMean(nn.Module):
    """mean ← decay·mean + (1 - decay)·(mean of all rows added since the last move); zero at first.

    `add` in the loss, `move` once after the player's turn.
    """

    mean: Tensor

    def __init__(self, *shape: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("_sum", torch.zeros(shape), persistent=False)
        self._rows = 0

    def add(self, rows: Tensor) -> None:
        """rows: (B, *shape)"""
        self._sum += rows.detach().sum(0)
        self._rows += len(rows)

    def move(self, over_ranks: Callable[[Tensor], Tensor]) -> None:
        """over_ranks: element-wise mean over ranks (`step.ranks.mean`), each of which added as many rows."""
        self.mean.lerp_(over_ranks(self._sum / self._rows), 1 - self.decay)
        self._sum.zero_()
        self._rows = 0
