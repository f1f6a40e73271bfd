"""Players in training: data-parallel or sharded over ranks, with moving averages of their weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from genera.blocks.averaged_sgd import AveragedSGD, TriggeredSGD
from genera.blocks.tensor_parallel import check_split
from genera.blocks.transformer import Block
from genera.engine.config import TrainConfig
from genera.engine.player import Player, Terms
from genera.engine.ranks import Ranks
from genera.errors import GeneraError

SAMPLE = 4096
"""Number of values of a parameter that are compared to see whether it moves."""
SMALLEST_MOVE = 1e-12
"""Changes below it, such as those of an infinite epsilon in Adam, are none."""

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Objective(nn.Module):
    """Gives DDP one `forward` that computes any loss over the player's network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, loss: Callable[..., Terms], batch: Any, step: Any) -> Terms:
        return loss(batch, step)


@dataclass
class Trainee:
    """A player in training: its parameters, its data-parallel wrapper and the average of its weights."""

    player: Player
    objective: nn.Module
    parameters: list[nn.Parameter]
    base_rates: list[float]
    followed: list[Tensor]
    """Tensors that the moving average tracks: parameters and, depending on the player, floating-point buffers."""
    average: list[Tensor]
    staging: list[nn.Module]
    """Modules that collect statistics over a turn and update their buffers once, in `commit`."""
    guarded: bool
    """Whether the optimiser can skip a step on the device for a non-finite gradient (fused Adam, SGD, …)."""
    sharded: bool
    """Whether each rank holds a share of the tensors above (DTensors). FSDP gathers them while `objective` runs."""
    held: list[nn.Parameter]
    """Those that keep their weights at first; see Player."""
    start: list[Tensor]
    """A sample of each parameter as it was when the stage began, or was resumed."""
    moved: bool = False
    """Whether a parameter is known to have moved since the stage began; checkpoints hold it."""

    def resume(self, moved: bool) -> None:
        """Compare with the current parameters from now on. moved: whether they had moved before."""
        self.start, self.moved = [_sample(p).clone() for p in self.parameters], self.moved or moved

    def has_moved(self) -> bool:
        """Whether a parameter of this rank has moved. Synchronises with the device until one has."""
        if not self.moved:
            pairs = zip(map(_sample, self.parameters), self.start, strict=True)
            self.moved = any(bool((now - then).abs().gt(SMALLEST_MOVE).any()) for now, then in pairs)
        return self.moved

    def set_rates(self, multiplier: float) -> None:
        """Set the learning rates of the parameter groups to their initial values times `multiplier`."""
        for group, base in zip(self.player.optimiser.param_groups, self.base_rates, strict=True):
            group["lr"] = base * multiplier

    def gradient_norm(self) -> Tensor:
        """L2 norm of the whole gradient."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        return norm.full_tensor() if self.sharded else norm  # type: ignore[attr-defined]

    def follow(self, decay: float) -> None:
        """average ← decay · average + (1 − decay) · weights; or the optimiser's own average, if it keeps one."""
        if isinstance(self.player.optimiser, AveragedSGD):
            means = self.player.optimiser.averages()
            torch._foreach_copy_(self.average, [means.get(t, t).detach() for t in self.followed])
        elif self.average:
            torch._foreach_lerp_(self.average, [t.detach() for t in self.followed], 1 - decay)

    def validated(self, loss: float) -> None:
        """Pass a validation loss to an optimiser that uses it."""
        if isinstance(self.player.optimiser, TriggeredSGD):
            self.player.optimiser.validated(loss)


@contextmanager
def only(trainee: Trainee, trainees: dict[str, Trainee]) -> Iterator[None]:
    """Within the context, parameters of the other players get no gradient."""
    others = [p for other in trainees.values() if other is not trainee for p in other.parameters]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


@contextmanager
def holding(trainee: Trainee, progress: float) -> Iterator[None]:
    """Within the context, the player's `held` parameters get no gradient, as long as its budget says so."""
    held = [p for p in trainee.held if p.requires_grad] if progress < trainee.player.held_until else []
    if isinstance(trainee.objective, Objective) and not trainee.sharded:
        for parameter in held:
            parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:  # DDP and FSDP expect, and compute, all gradients
            parameter.requires_grad_(True)
            parameter.grad = None


@contextmanager
def averaged(trainees: dict[str, Trainee]) -> Iterator[None]:
    """Within the context, the moving averages replace the weights."""
    pairs = [(p, mean) for t in trainees.values() for p, mean in zip(t.followed, t.average, strict=False)]
    with torch.no_grad():
        live = [p.detach().clone() for p, _ in pairs]
        for p, mean in pairs:
            p.copy_(mean)
    try:
        yield
    finally:
        with torch.no_grad():
            for (p, _), weights in zip(pairs, live, strict=True):
                p.copy_(weights)


@contextmanager
def gradients_of_inputs(method: nn.Module, trainees: dict[str, Trainee]) -> Iterator[None]:
    """Within the context, inputs can require gradients, and parameters do not.

    Raises GeneraError for sharded players, whose parameters can only be gathered without gradients.
    """
    if any(trainee.sharded for trainee in trainees.values()):
        raise GeneraError("a sharded model cannot be validated with gradients; use --validate-every 0.")
    parameters = [p for p in method.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def enrol(
    players: dict[str, Player], config: TrainConfig, ranks: Ranks, objective: nn.Module | None = None
) -> dict[str, Trainee]:
    """Prepare players for training: data-parallel over ranks, averages, fused-step guards.

    objective: of the only player, where its parameters are divided over the ranks, by `distributed`.
    Raises GeneraError for players that the config wants to divide and that cannot be.
    """
    if objective is None:
        check_distributed(players, config)
    return {name: _enrolled(player, config, ranks, objective) for name, player in players.items()}


def distributed(players: dict[str, Player], config: TrainConfig, ranks: Ranks) -> nn.Module:
    """Divide the only player, whose parameters are on the meta device, over the ranks. Returns its objective.

    The player's optimiser is of no more use: its parameters are no longer the network's.
    """
    from genera.engine.sharding import distribute  # imported only when sharding: it takes a second

    (player,) = players.values()
    objective = Objective(player.network)
    distribute(objective, ranks, dtype=AUTOCAST.get(config.precision), compile=config.compile)
    return objective


def _enrolled(player: Player, config: TrainConfig, ranks: Ranks, objective: nn.Module | None) -> Trainee:
    sharded = objective is not None
    if objective is None:
        objective = Objective(player.network)
        if ranks.world > 1:
            objective = DistributedDataParallel(objective, forward_sync_buffers=False)
    averaging = isinstance(player.optimiser, AveragedSGD)
    if averaging and config.ema:
        raise GeneraError("the optimisers asgd and nt-asgd average the weights themselves; drop --ema.")
    parameters = [p for p in player.network.parameters() if p.requires_grad]
    followed: list[Tensor] = [*parameters]
    if player.average_buffers:
        kept = player.network.state_dict(keep_vars=True)
        followed += [b for name, b in player.network.named_buffers() if name in kept and b.is_floating_point()]
    return Trainee(
        player=player,
        objective=objective,
        parameters=parameters,
        base_rates=[group["lr"] for group in player.optimiser.param_groups],
        followed=followed,
        average=[t.detach().clone() for t in followed] if averaging or (config.ema and player.averaged) else [],
        staging=list(_staging(player.network)),
        guarded=getattr(player.optimiser, "_step_supports_amp_scaling", False),
        sharded=sharded,
        held=[p for name, p in player.network.named_parameters() if name.partition(".")[0] in player.held],
        start=[_sample(p).clone() for p in parameters],
    )


def _sample(parameter: Tensor) -> Tensor:
    """The first values of this rank's part of a parameter."""
    part = parameter.detach()
    return (part.to_local() if hasattr(part, "to_local") else part).flatten()[:SAMPLE]


def check_distributed(players: dict[str, Player], config: TrainConfig) -> None:
    """Raise GeneraError if the config divides a model over ranks that cannot be divided in this way."""
    if not (option := config.division):
        return
    if len(players) > 1:  # a turn of one also runs the others, which nothing would gather
        raise GeneraError(f"{option} needs a method with a single player, got {', '.join(players)}; drop it.")
    if config.sharding == "fsdp" and not layers_of(players):
        raise GeneraError("--sharding fsdp gathers transformer layers, but this method has none; drop it.")
    if config.tensor_parallel > 1:
        for player in players.values():
            check_split(player.network, config.tensor_parallel)


def layers_of(players: dict[str, Player]) -> list[Block]:
    """The transformer layers, which a sharded run gathers one at a time."""
    return [m for player in players.values() for m in player.network.modules() if isinstance(m, Block)]


def _staging(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules with a `commit`, which also commits the modules inside."""
    if hasattr(module, "commit"):
        yield module
    else:
        for child in module.children():
            yield from _staging(child)
