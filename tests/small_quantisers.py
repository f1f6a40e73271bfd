"""Small dictionaries and features for the tests of feature quantisation."""

import torch
from torch import Tensor

from genera.blocks.quantiser import FeatureQuantiser
from genera.blocks.quantiser_config import QuantiserConfig


def quantiser(codes: int = 5, channels: int = 3, **settings: object) -> FeatureQuantiser:
    torch.manual_seed(0)
    return FeatureQuantiser(channels, codes, QuantiserConfig(**settings))


def features(rows: int = 4, channels: int = 3, side: int = 4, seed: int = 1) -> Tensor:
    return torch.randn(rows, channels, side, side, generator=torch.Generator().manual_seed(seed))


def by_place(h: Tensor) -> Tensor:
    """(B, C, H, W) → (N, C)"""
    return h.permute(0, 2, 3, 1).reshape(-1, h.shape[1])
