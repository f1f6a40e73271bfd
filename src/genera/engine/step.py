"""One training step as a method sees it: position, noise, telemetry, and `minimise`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from genera.engine.config import TrainConfig
from genera.engine.guard import Guard, Turn
from genera.engine.noise import Noise
from genera.engine.player import Terms
from genera.engine.ranks import Ranks, gather_rows
from genera.engine.telemetry import Telemetry
from genera.engine.trainees import AUTOCAST, Trainee, holding, only
from genera.errors import GeneraError

SMALLEST_SCALE = 2.0**-14
"""Smallest scale of the fp16 loss: gradients that overflow here do not overflow because of the scale."""

Loss = Callable[[Any, "Step"], Terms]
"""(rows of a batch, step) → terms; `loss` is minimised"""


class Step:
    """Passed to `Method.update` and to losses. It composes noise, telemetry and the finiteness guard."""

    def __init__(
        self,
        config: TrainConfig,
        ranks: Ranks,
        trainees: dict[str, Trainee],
        *,
        stage: int = 0,
        before: int = 0,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        """before: number of steps of earlier stages. scaler: gradient scaler for fp16."""
        self.config, self.ranks, self.trainees = config, ranks, trainees
        self.before, self.scaler = before, scaler
        self.index = 0
        """0-based within the stage."""
        self.progress = 0.0
        """Share of the stage's budget that is used, in [0, 1)."""
        self.noise = Noise(config.seed, ranks, stage)
        self.telemetry = Telemetry(ranks)
        self.guard = Guard(ranks)

    def begin(self, index: int, progress: float) -> None:
        """Start step `index`; the engine calls this before `Method.update`."""
        self.index, self.progress = index, progress
        self.noise.begin_step(index)

    def end(self) -> None:
        """Update the moving averages of weights, once per step for any number of turns; the engine calls this after
        `Method.update`."""
        decay = self.config.ema if self.index >= self.config.ema_start else 0.0
        for trainee in self.trainees.values():
            trainee.follow(decay)

    # noise

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1) of `shape`, whose first axis is the rows of the current batch. The noise of a row does not depend on
        the number of ranks or accumulated parts, nor on interruptions."""
        return self.noise.normal(*shape)

    def uniform(self, *shape: int) -> Tensor:
        """U[0, 1), as `normal`."""
        return self.noise.uniform(*shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Uniform among 0 .. high - 1 (int64), as `normal`."""
        return self.noise.integers(high, *shape)

    def chance(self) -> float:
        """One U[0, 1) on the host for the whole batch, identical on all ranks and for all accumulated parts."""
        return self.noise.chance()

    # rows of other ranks

    def gather(self, rows: Tensor) -> Tensor:
        """(B, …) rows of this rank → (N · B, …) rows of all N data ranks in the order of the global batch.

        Gradients flow back to the rows of every rank. A loss over gathered rows (contrastive: all pairs of a batch)
        has the same gradient as on a single rank with the whole batch, whether each rank averages over its own rows
        against all rows, or over all rows.

        Raises GeneraError with --accumulate, since a part has only its own rows and the sum over parts would be a
        different loss.
        """
        if self.noise.parts > 1:
            raise GeneraError(
                f"this loss needs the whole batch, but --accumulate {self.noise.parts} splits it; use --accumulate 1."
            )
        return gather_rows(rows, self.ranks)

    # telemetry

    def record(self, **terms: Tensor) -> None:
        """Add telemetry, which is averaged until the next log line. Does not synchronise with the device."""
        self.telemetry.record(**terms)

    def averages(self) -> dict[str, float]:
        """Telemetry averaged over ranks and over the steps since the last call. Synchronises with the device.

        Raises GeneraError when fp16 gradients overflow at any loss scale.
        """
        if self.telemetry.sums and self.scaler and self.scaler.get_scale() < SMALLEST_SCALE:
            raise GeneraError(
                f"gradients overflow fp16 at any loss scale by step {self.before + self.index + 1}; the weights are "
                "unchanged. Use --precision bf16 or fp32."
            )
        return self.telemetry.averages()

    def check(self) -> None:
        """Raise GeneraError if the last `minimise` produced a non-finite value."""
        self.guard.check()

    # learning

    def minimise(self, name: str, loss: Loss, batch: Any, *, turn: str = "") -> None:
        """One optimiser step of player `name` on the mean of `loss(part, step)["loss"]` over the batch's parts.

        Handles accumulation, autocast, averaging over ranks, clipping and the learning rate. Parameters of other
        players get no gradient. Statistics staged by modules of any player (dictionaries, batch moments, spectral
        vectors) are committed once, after the optimiser step. `turn` distinguishes the telemetry of several losses of
        one player.

        Raises:
            GeneraError: a loss or gradient is not finite (the weights are unchanged), or the rows do not divide.
        """
        trainee = self.trainees[name]
        self.noise.begin_turn()
        with only(trainee, self.trainees), holding(trainee, self.progress):
            terms = self._backward(name, trainee, loss, batch)
        norm = self._move(name, trainee, terms, batch)
        prefix = (f"{name}/" if len(self.trainees) > 1 else "") + (f"{turn}/" if turn else "")
        self.record(**{prefix + key: value for key, value in terms.items()}, **{prefix + "grad_norm": norm})
        for module in (module for t in self.trainees.values() for module in t.staging):
            module.commit()  # type: ignore[operator]

    def evaluate(self, figures: Loss, batch: Any, at: "Step") -> Terms:
        """`figures(batch, at)` without training; gathers the weights of a sharded player during the call."""
        sharded = [t.objective for t in self.trainees.values() if hasattr(t.objective, "reshard")]
        if not sharded:
            return figures(batch, at)
        terms: Terms = sharded[0](figures, batch, at)
        sharded[0].reshard()  # type: ignore[operator]
        return terms

    def _backward(self, name: str, trainee: Trainee, loss: Loss, batch: Any) -> Terms:
        """Gradients of the mean loss over the batch's parts and over ranks. Returns the mean terms of this rank."""
        parts = self.config.accumulate
        size, rest = divmod(len(batch), parts)
        if rest or not size:
            raise GeneraError(
                f"a turn of player {name!r} has {len(batch)} rows on this rank, not divisible by --accumulate "
                f"{parts}; change --batch-size."
            )
        means: Terms = {}
        for part in range(parts):
            with self.noise.accumulated(part, parts):
                rows = batch if parts == 1 else batch[part * size : (part + 1) * size]
                with _synchronised(trainee.objective, last=part == parts - 1), self._autocast():
                    terms = trainee.objective(loss, rows, self)
                    scaled = terms["loss"] / parts
                (self.scaler.scale(scaled) if self.scaler else scaled).backward()
                for key, value in terms.items():
                    share = value.detach().float() / parts
                    means[key] = means[key] + share if key in means else share
        return means

    def _move(self, name: str, trainee: Trainee, terms: Terms, batch: Any) -> Tensor:
        """Clip, set the learning rate and take the optimiser step, unless a value is not finite. Returns the gradient
        norm before clipping."""
        optimiser = trainee.player.optimiser
        if self.scaler:
            self.scaler.unscale_(optimiser)
        norm = trainee.gradient_norm()
        clip = self.config.clip if trainee.player.clip is None else trainee.player.clip
        if clip:
            torch.nn.utils.clip_grads_with_norm_(trainee.parameters, clip, norm)
        trainee.set_rates(trainee.player.schedule(self.index, self.progress))

        # Loss scaling expects occasional infinite gradients and skips them itself; a non-finite loss remains an error.
        bad = self.guard.anywhere(~torch.isfinite(terms["loss"] if self.scaler else terms["loss"] + norm))
        self.guard.watch(Turn(name, self.before + self.index + 1, terms, batch.ids), bad)
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
        return norm

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = AUTOCAST.get(self.config.precision)
        if dtype is None or self.ranks.device.type == "meta":  # the meta device has no autocast; `dry_run` emulates it
            return nullcontext()
        return torch.autocast(self.ranks.device.type, dtype)


@contextmanager
def _synchronised(objective: nn.Module, *, last: bool) -> Iterator[None]:
    """Average gradients over ranks only after the last part; with sharding after every part, so that no rank ever holds
    the whole gradient."""
    if isinstance(objective, DistributedDataParallel) and not last:
        with objective.no_sync():
            yield
    else:
        yield
