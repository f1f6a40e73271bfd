"""A moving average over training rows that does not depend on the number of ranks or accumulated parts."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class RunningMean(nn.Module):
    """mean ← decay·mean + (1 - decay)·(mean of all rows added since the last `commit`); initially zero.

    A loss calls `add`; the engine calls `commit` after the turn of the player that contains this module. All ranks add
    equally many rows.
    """

    mean: Tensor
    _sum: Tensor

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

    def commit(self) -> None:
        if not self._rows:
            return
        mean = self._sum / self._rows
        if dist.is_initialized():
            dist.all_reduce(mean)
            mean /= dist.get_world_size()
        self.mean.lerp_(mean, 1 - self.decay)
        self._sum.zero_()
        self._rows = 0
