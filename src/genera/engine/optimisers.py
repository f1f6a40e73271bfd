"""Players as several methods train them."""

from typing import Any

from torch import nn
from torch.optim import Adam, AdamW

from genera.engine.config import AdamWConfig
from genera.engine.method import Player
from genera.engine.schedules import warmup_decay


def adamw_player(network: nn.Module, config: AdamWConfig) -> Player:
    """`network` under AdamW (betas 0.9, 0.999), with warm-up and linear decay to zero."""
    optimiser = AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=can_fuse(network))
    return Player(network, optimiser, lambda step, progress: warmup_decay(step, progress, warmup=config.warmup))


def can_fuse(network: nn.Module) -> bool:
    """Whether torch has fused optimiser kernels where the network lies. They are faster, and can be told on the device
    to skip a step. Shapes without storage (`--dry-run`) have none."""
    return all(p.device.type in ("cpu", "cuda", "mps", "xpu") for p in network.parameters())


def adam_player(network: nn.Module, *, lr: float, betas: tuple[float, float], eps: float, **options: Any) -> Player:
    """`network` under Adam at a constant rate, as adversaries are trained. options: further fields of Player."""
    optimiser = Adam(network.parameters(), lr=lr, betas=betas, eps=eps, fused=can_fuse(network))
    return Player(network, optimiser, lambda step, progress: 1.0, **options)
