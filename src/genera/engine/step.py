"""One training step as a method sees it: where we are, shared noise, and `minimise`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from genera.blocks.transformer import Block
from genera.engine.config import TrainConfig
from genera.engine.ranks import Ranks
from genera.errors import GeneraError

if TYPE_CHECKING:
    from genera.engine.method import Player, Terms

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
SMALLEST_SCALE = 2.0**-14
"""Of the fp16 loss: gradients that overflow even here do not overflow because of the scale."""


class Objective(nn.Module):
    """Gives DDP one `forward` that computes any loss over the player's network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, loss: Callable[[Any, Step], Terms], batch: Any, step: Step) -> Terms:
        return loss(batch, step)


@dataclass
class Trainee:
    """A player in training: its parameters, its data-parallel wrapper and the average of its weights."""

    player: Player
    objective: nn.Module
    parameters: list[nn.Parameter]
    base_rates: list[float]
    followed: list[Tensor]
    """What the moving average follows: the parameters and, if the player says so, floating buffers."""
    average: list[Tensor]
    staging: list[nn.Module]
    """Modules that gather statistics over a turn and move their buffers once, in `commit`."""
    guarded: bool
    """The optimiser skips a step on the device when told of a non-finite gradient (fused Adam, SGD, …)."""
    sharded: bool
    """Each rank holds a share of the tensors above (DTensors); `objective` gathers them while it runs."""


@dataclass
class Step:
    """Passed to `Method.update` and to losses. `index` is 0-based within the stage."""

    config: TrainConfig
    ranks: Ranks
    trainees: dict[str, Trainee]
    index: int = 0
    progress: float = 0.0
    """Share of the stage's budget that is used, in [0, 1)."""
    stage: int = 0
    before: int = 0
    """Steps of the stages before this one."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Telemetry summed over steps since the last log, on the device."""
    counts: dict[str, int] = field(default_factory=dict)
    scaler: torch.amp.GradScaler | None = None
    _draws: int = 0
    _turn: int = 0
    _part: int = 0
    _parts: int = 1
    _pending: tuple[Tensor, torch.cuda.Event | None, dict[str, Tensor], Tensor, str, int] | None = None

    def begin(self, index: int, progress: float) -> None:
        """Start step `index`; the engine calls this before `Method.update`."""
        self.index, self.progress = index, progress
        self._turn = self._draws = self._part = 0
        self._parts = 1

    # noise

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1) of `shape`, whose first axis is the rows of the batch at hand.

        Drawn for the global batch from (seed, stage, step, turn, draw) and cut to these rows, so that the noise of a
        row does not depend on how many ranks or accumulated parts the batch is spread over, nor on an interruption.
        """
        return self._draw(torch.randn, shape)

    def uniform(self, *shape: int) -> Tensor:
        """U[0, 1), as `normal`."""
        return self._draw(torch.rand, shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Uniform among 0 .. high - 1 (int64), as `normal`."""
        return self._draw(partial(torch.randint, high, dtype=torch.int64), shape)

    def chance(self) -> float:
        """One U[0, 1) on the host for the whole batch at hand, the same on all ranks and for all accumulated parts."""
        return float(np.random.default_rng(self._next_key()).random())

    def _next_key(self) -> np.random.SeedSequence:
        self._draws += 1
        return np.random.SeedSequence((self.config.seed, self.stage, self.index, self._turn, self._draws))

    def _draw(self, kind: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        device = self.ranks.device
        if device.type == "meta":
            return kind(shape, device=device)
        generator = torch.Generator(device).manual_seed(int(self._next_key().generate_state(1)[0]))
        parts = self.ranks.world * self._parts
        whole = kind((parts * shape[0], *shape[1:]), generator=generator, device=device)
        first = (self.ranks.rank * self._parts + self._part) * shape[0]
        return whole[first : first + shape[0]]

    # learning

    def minimise(self, name: str, loss: Callable[[Any, Step], Terms], batch: Any, *, turn: str = "") -> None:
        """One optimiser step of player `name` on the mean of `loss(part, step)["loss"]` over the batch's parts.

        Handles accumulation, autocast, rank averaging, clipping and the learning rate. Other players' parameters get no
        gradient meanwhile. Statistics that modules of any player staged (dictionaries, batch moments, spectral vectors)
        move once, after the optimiser. `turn` sets the telemetry of a player's second kind of loss apart from that of
        its first.

        Raises:
            GeneraError: a loss or gradient is not finite; the weights have not moved. The rows do not divide.
        """
        trainee = self.trainees[name]
        self._turn += 1
        self._parts = self.config.accumulate
        size, rest = divmod(len(batch), self._parts)
        if rest or not size:
            raise GeneraError(
                f"a turn of player {name!r} has {len(batch)} rows on this rank, which --accumulate {self._parts} does "
                "not divide; change --batch-size."
            )
        recorded: dict[str, Tensor] = {}
        with self._only(trainee):
            for part in range(self._parts):
                self._part, self._draws = part, 0
                rows = batch if self._parts == 1 else batch[part * size : (part + 1) * size]
                with self._synchronised(trainee.objective), self._autocast():
                    terms = trainee.objective(loss, rows, self)
                    scaled = terms["loss"] / self._parts
                (self.scaler.scale(scaled) if self.scaler else scaled).backward()
                for key, value in terms.items():
                    share = value.detach().float() / self._parts
                    recorded[key] = recorded[key] + share if key in recorded else share
        self._draws = self._part = 0
        self._parts = 1
        self._move(name, trainee, recorded, batch, turn)
        for module in (module for t in self.trainees.values() for module in t.staging):
            module.commit()  # type: ignore[operator]

    def _move(self, name: str, trainee: Trainee, recorded: dict[str, Tensor], batch: Any, turn: str) -> None:
        optimiser = trainee.player.optimiser
        if self.scaler:
            self.scaler.unscale_(optimiser)
        gradients = [p.grad for p in trainee.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if trainee.sharded:
            norm = norm.full_tensor()  # type: ignore[attr-defined]
        clip = self.config.clip if trainee.player.clip is None else trainee.player.clip
        if clip:
            torch.nn.utils.clip_grads_with_norm_(trainee.parameters, clip, norm)
        rate = trainee.player.schedule(self.index, self.progress)
        for group, base in zip(optimiser.param_groups, trainee.base_rates, strict=True):
            group["lr"] = base * rate

        # Loss scaling expects infinite gradients now and then and skips them itself; a bad loss is bad all the same.
        bad = ~torch.isfinite(recorded["loss"]) if self.scaler else ~torch.isfinite(recorded["loss"] + norm)
        if self.ranks.world > 1:
            bad = bad.float()
            dist.all_reduce(bad, dist.ReduceOp.MAX)
        self.check()  # of the turn before, whose flag has long arrived
        self._pending = (*_on_its_way(bad), recorded, batch.ids, name, self.before + self.index + 1)
        if not trainee.guarded or self.ranks.device.type == "cpu":
            self.check()
        if self.scaler:
            self.scaler.step(optimiser)
            self.scaler.update()
        elif trainee.guarded:
            optimiser.found_inf = bad.float()  # type: ignore[attr-defined]
            optimiser.step()
        else:
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)

        prefix = (f"{name}/" if len(self.trainees) > 1 else "") + (f"{turn}/" if turn else "")
        self.record(**{prefix + key: value for key, value in recorded.items()}, **{prefix + "grad_norm": norm})

    def end(self) -> None:
        """Let the moving averages follow the weights, once a step however often a player moved; the engine calls this
        after `Method.update`."""
        decay = self.config.ema if self.index >= self.config.ema_start else 0.0
        for trainee in self.trainees.values():
            if trainee.average:
                torch._foreach_lerp_(trainee.average, [t.detach() for t in trainee.followed], 1 - decay)

    def evaluate(self, figures: Callable[[Any, Step], Terms], batch: Any, at: Step) -> Terms:
        """`figures(batch, at)` without learning, with the weights of a sharded player gathered meanwhile."""
        sharded = [trainee.objective for trainee in self.trainees.values() if trainee.sharded]
        if not sharded:
            return figures(batch, at)
        terms: Terms = sharded[0](figures, batch, at)
        sharded[0].reshard()  # type: ignore[operator]
        return terms

    def averages(self) -> dict[str, float]:
        """Telemetry averaged over ranks and over the steps since the last call; the one wait for the device."""
        if not self.sums:
            return {}
        if self.scaler and self.scaler.get_scale() < SMALLEST_SCALE:
            raise GeneraError(
                f"gradients overflow fp16 at any loss scale by step {self.before + self.index + 1}; no weight moves. "
                "Use --precision bf16 or fp32."
            )
        means = torch.stack([(total / self.counts[name]).float() for name, total in self.sums.items()])
        values = dict(zip(self.sums, self.ranks.mean(means).tolist(), strict=True))
        self.sums, self.counts = {}, {}
        return values

    def record(self, **terms: Tensor) -> None:
        """Add telemetry that is averaged until the next log line, without waiting for the device."""
        for key, value in terms.items():
            self.sums[key] = self.sums[key] + value.detach() if key in self.sums else value.detach().clone()
            self.counts[key] = self.counts.get(key, 0) + 1

    def check(self) -> None:
        """Raise if the last `minimise` met a non-finite value. On a GPU this runs one turn late, when the flag has
        long arrived; the optimiser was told on the device not to move."""
        if self._pending is None or self.ranks.device.type == "meta":
            return
        flag, arrival, recorded, ids, name, number = self._pending
        self._pending = None
        if arrival is not None:
            arrival.synchronize()
        if not flag.item():
            return
        broken = sorted((key for key, value in recorded.items() if not torch.isfinite(value)), key="loss".__eq__)
        everyones = self.ranks.gather((broken, ids.tolist()))  # all ranks know of it, and each saw its own rows
        guilty = [report for report in everyones if report[0]] or everyones
        term, rows = guilty[0][0][:1], [row for _, own in guilty for row in own]
        what = f"term {term[0]!r} of player {name!r}" if term else f"the gradient of player {name!r}"
        listed = ", ".join(map(str, rows[:16])) + (f" and {len(rows) - 16} more" if len(rows) > 16 else "")
        raise GeneraError(
            f"{what} is not finite at step {number}, items {listed}; no weight moved. "
            "Look at these items, or lower the learning rate."
        )

    # contexts

    @contextmanager
    def _only(self, trainee: Trainee) -> Iterator[None]:
        others = [p for t in self.trainees.values() if t is not trainee for p in t.parameters]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    @contextmanager
    def _synchronised(self, objective: nn.Module) -> Iterator[None]:
        """Ranks average gradients only with the last part; shares take part each time, so that none is ever whole."""
        if isinstance(objective, DistributedDataParallel) and self._part < self._parts - 1:
            with objective.no_sync():
                yield
        else:
            yield

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = AUTOCAST.get(self.config.precision)
        if dtype is None or self.ranks.device.type == "meta":  # shapes alone know no autocast; `dry_run` mimics it
            return nullcontext()
        return torch.autocast(self.ranks.device.type, dtype)


def _on_its_way(flag: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """`flag` on the host, and the event after which it is there: on a GPU the copy runs behind the computation."""
    if not flag.is_cuda:
        return flag, None
    host = torch.empty((), dtype=flag.dtype, pin_memory=True)
    host.copy_(flag, non_blocking=True)
    arrival = torch.cuda.Event()
    arrival.record()
    return host, arrival


def enrol(players: dict[str, Player], config: TrainConfig, ranks: Ranks) -> dict[str, Trainee]:
    """Prepare players for training: data-parallel or sharded over ranks, averages, fused-step guards.

    Raises GeneraError for players that cannot be sharded.
    """
    trainees = {}
    layers = layers_of(players) if config.sharding == "fsdp" else []
    sharded = bool(layers) and ranks.world > 1
    for name, player in players.items():
        objective: nn.Module = Objective(player.network)
        if sharded:
            from genera.engine.sharding import shard

            shard(objective, layers, player.optimiser, ranks, AUTOCAST.get(config.precision))
        elif ranks.world > 1:
            objective = DistributedDataParallel(objective, forward_sync_buffers=False)
        parameters = [p for p in player.network.parameters() if p.requires_grad]
        followed: list[Tensor] = [*parameters]
        if player.average_buffers:
            kept = player.network.state_dict(keep_vars=True)
            followed += [b for name, b in player.network.named_buffers() if name in kept and b.is_floating_point()]
        trainees[name] = Trainee(
            player=player,
            objective=objective,
            parameters=parameters,
            base_rates=[group["lr"] for group in player.optimiser.param_groups],
            followed=followed,
            average=[t.detach().clone() for t in followed] if config.ema and player.averaged else [],
            staging=list(_staging(player.network)),
            guarded=getattr(player.optimiser, "_step_supports_amp_scaling", False),
            sharded=sharded,
        )
    return trainees


def layers_of(players: dict[str, Player]) -> list[Block]:
    """The transformer layers, which a sharded run gathers one at a time. Raises GeneraError where that cannot be."""
    layers = [m for player in players.values() for m in player.network.modules() if isinstance(m, Block)]
    if len(players) > 1:  # a turn of one runs through the others, outside of what would gather them
        raise GeneraError(f"--sharding fsdp needs a method of one player, not {', '.join(players)}; leave it out.")
    if not layers:
        raise GeneraError("--sharding fsdp gathers transformer layers, and this method has none; leave it out.")
    return layers


def _staging(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that have a `commit`; one commits for what is inside it."""
    if hasattr(module, "commit"):
        yield module
    else:
        for child in module.children():
            yield from _staging(child)
