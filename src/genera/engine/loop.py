"""The training loop of one stage: fetch, update, and periodically log, validate and save."""

import math
import time
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from genera.console import say
from genera.data.batch import Stream
from genera.engine import checkpoint as ckpt
from genera.engine.checkpoint import Position
from genera.engine.config import TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.logs import Log, memory_megabytes
from genera.engine.method import Method, Stage
from genera.engine.outcome import check_moved, check_weights
from genera.engine.ranks import Ranks
from genera.engine.runtime import prefetched
from genera.engine.step import Step
from genera.engine.trainees import averaged, gradients_of_inputs
from genera.errors import Stopped

CONTROL_EVERY = 10
"""Steps after which the ranks agree on whether to stop."""


@dataclass
class Budget:
    """The budget of a stage and its progress."""

    steps: int | None
    seconds: float | None

    @classmethod
    def of(cls, config: TrainConfig, share: float, steps_per_epoch: int) -> "Budget":
        if config.minutes is not None:
            return cls(None, config.minutes * 60 * share)
        whole = config.steps if config.steps is not None else (config.epochs or 0) * steps_per_epoch
        return cls(max(1, round(whole * share)), None)

    def progress(self, at: Position) -> float:
        """Share used, in [0, 1]."""
        used = at.stage_step / self.steps if self.steps else at.stage_seconds / (self.seconds or 1)
        return min(used, 1.0)


def run_stage(
    stage: Stage,
    method: Method,
    data: Any,
    stream: Stream,
    step: Step,
    at: Position,
    budget: Budget,
    log: Log,
    folder: RunFolder,
    stop: list[int],
) -> None:
    """The training loop: fetch, update, and periodically log, validate and save. Updates `at`."""
    config, ranks = step.config, step.ranks
    assert stage.update
    rows = stage.batch_size or config.batch_size
    started, logged = time.monotonic() - at.stage_seconds, (at.stage_step, time.monotonic())
    before = at.seconds - at.stage_seconds
    method.train()
    progress = _agreed_progress(budget, at, ranks)
    with prefetched(stream, at.stage_step) as fetch:
        while progress < 1:
            step.begin(at.stage_step, progress)
            stage.update(fetch(at.stage_step).to(ranks.device), step)
            step.end()
            at.step, at.stage_step = at.step + 1, at.stage_step + 1
            at.stage_seconds = time.monotonic() - started
            at.seconds = before + at.stage_seconds
            log.advance(at.stage_step)
            progress = _agreed_progress(budget, at, ranks)
            over = progress >= 1

            if at.stage_step % config.log_every == 0 or over:
                step.check()
                now = time.monotonic()
                rate = (at.stage_step - logged[0]) / (now - logged[1])
                logged = (at.stage_step, now)
                left = (budget.steps - at.stage_step) / rate if budget.steps else budget.seconds - at.stage_seconds  # type: ignore[operator]
                row = _row(stage, step, at, stream) | step.averages() | _rates(step)
                memory = memory_megabytes(ranks.device)
                row |= {"items_per_second": rate * rows} | ({"memory_mb": memory} if memory else {})
                log.write(row, left)

            improved = False
            if config.validate_every and (at.stage_step % config.validate_every == 0 or over):
                improved = _validate(stage, method, data, stream, step, at, log)
                logged = (at.stage_step, time.monotonic())
            if over and stage.best and not improved and at.best_step is not None:
                say(f"stage {stage.name} ends with its best weights, from step {at.best_step}")
                ckpt.load_training(folder.checkpoints / ckpt.name_of(at.best_step), method, step)
                step.telemetry.clear()  # of the steps that led to them
            stopping = _agreed_stop(stop, at.stage_step, ranks)
            if improved or over or stopping or at.stage_step % config.checkpoint_every == 0:
                step.check()
                check_weights(method, ranks, at.step)
                if over:
                    check_moved(step.trainees, ranks, at.stage_step)
                folder.check_present()
                ckpt.save(folder.checkpoints, method, step, at, config.keep)
                if ranks.main:
                    folder.write_status("running", step=at.step)
            if stopping:
                stopped(folder, ranks, at.step, stop)


def _validate(stage: Stage, method: Method, data: Any, stream: Stream, step: Step, at: Position, log: Log) -> bool:
    """Log the mean figures of validation batches under `valid/` and pass them to the method. Returns whether the loss
    is the stage's best so far."""
    config, ranks = step.config, step.ranks
    validate = stage.validate or method.validate
    size = min(stage.batch_size or config.batch_size, data.size("valid") // ranks.data_world * ranks.data_world)
    batches = data.stream("valid", size, seed=0, rank=ranks.data_rank, ranks=ranks.data_world)
    probe = Step(config, ranks, {}, stage=1 << 20)
    method.eval()
    differentiable = method.validation_gradients if stage.validation_gradients is None else stage.validation_gradients
    with averaged(step.trainees), gradients_of_inputs(method, step.trainees) if differentiable else torch.no_grad():
        for index in range(min(config.validate_batches, batches.steps_per_epoch)):
            probe.begin(index, step.progress)
            probe.record(**step.evaluate(validate, batches.batch(index).to(ranks.device), probe))
    method.train()
    means = probe.averages()
    if not means:
        return False
    log.write(_row(stage, step, at, stream) | {f"valid/{name}": value for name, value in means.items()})
    improved = math.isfinite(means["loss"]) and (at.best is None or means["loss"] < at.best)
    if improved:
        at.best, at.best_step = means["loss"], at.step
    if at.stage_step % config.validate_every == 0:  # not for the pass at the end of a budget, which may be extended
        for trainee in step.trainees.values():
            trainee.validated(means["loss"])
        (stage.validated or method.validated)(means, improved)
    return improved


def stopped(folder: RunFolder, ranks: Ranks, step: int, signals: list[int]) -> NoReturn:
    """Write status `stopped` to the run folder and raise Stopped. signals: those that this rank received."""
    if ranks.main:
        folder.write_status("stopped", step=step)
    message = f"stopped at step {step}; saved in {folder.path}. Rerun the command to resume."
    raise Stopped(message, *signals[:1])


# small parts


def _row(stage: Stage, step: Step, at: Position, stream: Stream) -> dict[str, Any]:
    row = {
        "step": at.step,
        "epoch": round(at.stage_step / stream.steps_per_epoch, 3),
        "seconds": round(at.seconds, 2),
    }
    return row | {"stage": stage.name}


def _rates(step: Step) -> dict[str, float]:
    rates = {name: t.player.optimiser.param_groups[0]["lr"] for name, t in step.trainees.items()}
    return {f"{name}/lr" if len(rates) > 1 else "lr": rate for name, rate in rates.items()}


def _agreed_progress(budget: Budget, at: Position, ranks: Ranks) -> float:
    return budget.progress(at) if budget.steps else ranks.agree(budget.progress(at))


def _agreed_stop(stop: list[int], step: int, ranks: Ranks) -> bool:
    if ranks.world == 1:
        return bool(stop)
    return step % CONTROL_EVERY == 0 and bool(ranks.agree(float(bool(stop))))
