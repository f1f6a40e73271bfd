"""Build players from their config: a network, its optimiser and its schedule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import nn

from genera.blocks.optimisers import build_optimiser
from genera.blocks.schedules import schedule
from genera.engine.optimiser_config import OPTIMISER_OPTIONS, SCHEDULE_OPTIONS, OptimiserConfig, given_options
from genera.engine.player import Player

OF_PLAYER = ("averaged", "clip", "average_buffers", "held", "held_until")


def player(
    network: nn.Module,
    config: OptimiserConfig,
    *,
    parameters: Iterable[Any] | None = None,
    fused: bool | None = None,
    **options: Any,
) -> Player:
    """A player for `network` with the optimiser and schedule of `config`.

    parameters: parameters or parameter groups [all of the network's]. fused: use fused kernels [if available].
    options: fields of the config to replace (lr, betas, …), and further fields of Player.
    """
    of_player = {name: options.pop(name) for name in OF_PLAYER if name in options}
    config = replace(config, **options)
    optimiser = build_optimiser(
        config.optimiser,
        network.parameters() if parameters is None else parameters,
        lr=config.lr,
        weight_decay=config.weight_decay,
        fused=can_fuse(network) if fused is None else fused,
        **given_options(config, OPTIMISER_OPTIONS),
    )
    multiplier = schedule(config.schedule, warmup=config.warmup, **given_options(config, SCHEDULE_OPTIONS))
    return Player(network, optimiser, multiplier, **of_player)


def can_fuse(network: nn.Module) -> bool:
    """Whether torch has fused optimiser kernels for the network's device. They are faster, and can skip a step on the
    device. The meta device (`--dry-run`) has none."""
    return all(p.device.type in ("cpu", "cuda", "mps", "xpu") for p in network.parameters())


def gan_player(
    network: nn.Module, optimiser: str, *, lr: float, betas: tuple[float, float], eps: float, **options: Any
) -> Player:
    """A player for `network` with one of the Adam family at a constant rate. options: further fields of Player."""
    config = OptimiserConfig(optimiser=optimiser, schedule="constant", lr=lr, betas=betas, eps=eps)
    return player(network, config, **options)
