"""Positions without learned vectors: rotary (Su et al. 2021, RoFormer) and relative buckets (Raffel et al. 2020, T5).

Axes: B rows, A heads, T positions, D width of a head.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genera.blocks.layouts import BUCKETS, DISTANCE


class Rotation(NamedTuple):
    """Angles of T positions."""

    cos: Tensor
    """(T, D / 2)"""
    sin: Tensor
    interleaved: bool
    """pairs are neighbours (2i, 2i + 1), as in RoFormer; else (i, i + D/2), as in Llama"""

    def __call__(self, x: Tensor) -> Tensor:
        """Rotate each pair of x (B, A, T, D) by the angle of its position."""
        if self.interleaved:
            a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
            return torch.stack((a * self.cos - b * self.sin, b * self.cos + a * self.sin), -1).flatten(-2)
        a, b = x.chunk(2, -1)
        return torch.cat((a * self.cos - b * self.sin, b * self.cos + a * self.sin), -1)


def rotation(start: int, count: int, width: int, base: float, *, interleaved: bool, like: Tensor) -> Rotation:
    """Angles p / base^(2i/D) of positions p = start … start + count - 1, on the device and in the type of `like`."""
    exponents = torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width
    positions = torch.arange(start, start + count, device=like.device, dtype=torch.float32)
    angles = positions[:, None] / base**exponents
    return Rotation(angles.cos().to(like.dtype), angles.sin().to(like.dtype), interleaved)


class RelativeBias(nn.Module):
    """T5's learned term of attention scores by distance; one table for all blocks of a stack."""

    def __init__(self, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.table = nn.Embedding(BUCKETS, heads)

    def forward(self, queries: int, keys: int) -> Tensor:
        """(1, A, queries, keys); the queries are the last of the keys' positions."""
        device = self.table.weight.device
        rows = torch.arange(keys - queries, keys, device=device)[:, None]
        buckets = relative_buckets(torch.arange(keys, device=device) - rows, causal=self.causal)
        return self.table(buckets).permute(2, 0, 1)[None]


def relative_buckets(distance: Tensor, *, causal: bool) -> Tensor:
    """Buckets of signed distances (key − query): half of them exact, the other half logarithmic up to DISTANCE.

    causal: all buckets for the past; else half of them for either direction.
    """
    count = BUCKETS if causal else BUCKETS // 2
    offset = 0 if causal else (distance > 0).long() * count
    distance = distance.neg().clamp(min=0) if causal else distance.abs()
    exact = count // 2
    ratio = (distance.clamp(min=1).float() / exact).log() / math.log(DISTANCE / exact)
    coarse = (exact + (ratio * (count - exact)).long()).clamp(max=count - 1)
    return offset + torch.where(distance < exact, distance, coarse)
