"""Players as several methods train them."""

from torch import nn
from torch.optim import AdamW

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
