"""Normalisation of feature maps, with statistics over all ranks, and conditional normalisation.

Shapes: B rows over all ranks, C channels, H × W positions.
"""

from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F

from genera.blocks.precision import full

Norm = Literal["batch", "group"]
Statistics = Literal["running", "batch"]

CHANNELS_PER_GROUP = 16


class BatchNorm(nn.Module):
    """(x - mean) / √(var + eps), without gain and bias. Training uses the moments of the rows of all ranks; each part
    of an accumulated batch uses its own moments. `commit` updates the running moments once per turn.

    statistics: moments used in eval mode: "running", or "batch" for those of the current rows.
    """

    running_mean: Tensor
    running_var: Tensor
    staged_mean: Tensor
    staged_var: Tensor

    def __init__(self, channels: int, statistics: Statistics, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.statistics, self.eps, self.momentum = statistics, eps, momentum
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("staged_mean", torch.zeros(channels), persistent=False)
        self.register_buffer("staged_var", torch.zeros(channels), persistent=False)
        self._passes = 0  # forward passes averaged in the staged moments

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)"""
        if self.training:
            self._passes += 1
            if dist.is_initialized():
                return self._over_ranks(x)
            return F.batch_norm(
                x, self.staged_mean, self.staged_var, training=True, momentum=1 / self._passes, eps=self.eps
            )
        if self.statistics == "batch":
            return F.batch_norm(x, None, None, training=True, eps=self.eps)
        return F.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)

    def _over_ranks(self, x: Tensor) -> Tensor:
        """F.batch_norm over the rows of all ranks; gradients flow to every rank through the shared moments."""
        var, mean = torch.var_mean(full(x), (0, 2, 3), correction=0)
        mean, square = all_reduce(torch.stack([mean, var + mean.square()])) / dist.get_world_size()
        var = square - mean.square()
        with torch.no_grad():
            rows = x.numel() // x.shape[1] * dist.get_world_size()
            self.staged_mean.lerp_(mean, 1 / self._passes)
            self.staged_var.lerp_(var * rows / (rows - 1), 1 / self._passes)
        scale = (var + self.eps).rsqrt()
        return ((x - mean[:, None, None]) * scale[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def commit(self) -> None:
        if self._passes:
            self.running_mean.lerp_(self.staged_mean, self.momentum)
            self.running_var.lerp_(self.staged_var, self.momentum)
            self._passes = 0


class GroupNorm(nn.Module):
    """Group normalisation without gain and bias. Rows are independent, so accumulation is exact."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = max(g for g in range(1, max(1, channels // CHANNELS_PER_GROUP) + 1) if channels % g == 0)

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.groups)


def normalisation(kind: Norm, channels: int, statistics: Statistics) -> nn.Module:
    return BatchNorm(channels, statistics) if kind == "batch" else GroupNorm(channels)


class ConditionalNorm(nn.Module):
    """norm(x) · (1 + γ(condition)) + β(condition); γ and β are modules with output (B, C)."""

    def __init__(self, norm: nn.Module, gain: nn.Module, bias: nn.Module) -> None:
        super().__init__()
        self.norm, self.gain, self.bias = norm, gain, bias

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = 1 + self.gain(condition), self.bias(condition)
        return self.norm(x) * gain[:, :, None, None] + bias[:, :, None, None]


class AffineNorm(nn.Module):
    """norm(x) · gain + bias, with a learned gain and bias per channel."""

    def __init__(self, norm: nn.Module, channels: int) -> None:
        super().__init__()
        self.norm = norm
        self.gain, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) * self.gain[:, None, None] + self.bias[:, None, None]
