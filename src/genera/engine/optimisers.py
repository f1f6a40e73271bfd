"""Optimisers as the engine likes them."""

from torch import nn


def can_fuse(network: nn.Module) -> bool:
    """Whether torch has fused optimiser kernels where the network lies. They are faster, and can be told on the device
    to skip a step. Shapes without storage (`--dry-run`) have none."""
    return all(p.device.type in ("cpu", "cuda", "mps", "xpu") for p in network.parameters())
