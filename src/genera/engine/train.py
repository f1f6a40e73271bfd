"""Training, from a config to a finished run folder."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genera.console import say
from genera.data.batch import Stream
from genera.engine import checkpoint as ckpt
from genera.engine import registry
from genera.engine.checkpoint import Position
from genera.engine.config import RunConfig, budget_of, to_dict
from genera.engine.folder import RunFolder
from genera.engine.logs import Log, Tracker, open_tracker
from genera.engine.loop import Budget, run_stage, stopped
from genera.engine.method import Method, Stage
from genera.engine.parents import inherit, parents
from genera.engine.ranks import Ranks, join_ranks
from genera.engine.references import open_references
from genera.engine.runtime import seed_all, stop_signals
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.files import write_text


def train(config: RunConfig, out: str | Path, *, resume: str = "last") -> RunFolder:
    """Train what `config` says into the folder `out`; a run that is there already is resumed, a finished one stays.

    With another budget than the run in `out` has, training goes on from its last checkpoint to the new budget, with the
    optimiser as it is. Schedules are functions of the share of the budget that is used: the new budget's, from there.

    resume: last, previous, best or a step number: the checkpoint to go on from. Any but `last` also takes a finished
    run back to it.

    Raises:
        GeneraError: bad settings, data or folder; a non-finite loss. Nothing that was saved is lost.
        Stopped: Ctrl-C or SIGTERM came; the run is saved and the same call goes on.
    """
    config.check()
    folder = RunFolder(out)
    with ExitStack() as stack:
        ranks = stack.enter_context(join_ranks(config.train.device))
        _check_batch(config, "--batch-size", config.train.batch_size, ranks)
        if ranks.main:
            stack.enter_context(folder.lock())
            folder.start(config)
            ckpt.clean(folder.checkpoints)
        ranks.barrier()
        same_budget = budget_of(folder.config().train) == budget_of(config.train)
        if folder.status()["state"] == "done" and resume == "last" and same_budget:
            say(f"{folder.path} is already trained ({folder.status()['step']} steps).")
            return folder
        try:
            _train(config, folder, ranks, resume)
        except GeneraError as error:
            if ranks.main and folder.status()["state"] != "done":  # a finished run stays one until it trains again
                with suppress(GeneraError):  # on a full disk there is no room for this either
                    folder.write_status("failed", message=str(error))
            raise
    return folder


def _train(config: RunConfig, folder: RunFolder, ranks: Ranks, resume: str) -> None:
    """Prepare the run and take its stages in turn, from wherever the last start left them."""
    training = _prepare(config, folder, ranks, resume)
    with stop_signals() as stop:
        for index in range(training.position.stage, len(training.stages)):
            _run(training, index, stop)
    if ranks.main:
        position = training.position
        folder.write_status("done", step=position.step, seconds=round(position.seconds, 1), ranks=ranks.world)


@dataclass
class _Training:
    """A run that is ready to go on."""

    config: RunConfig
    folder: RunFolder
    ranks: Ranks
    data: Any
    method: Method
    stages: list[Stage]
    trackers: list[Tracker]
    position: Position
    checkpoint: Path | None
    """Where optimisers and random states are to be read from; None at a first start, and once they are read."""


# prepare


def _prepare(config: RunConfig, folder: RunFolder, ranks: Ranks, resume: str) -> _Training:
    """Open the data, build the method, and give it the weights and artefacts that it goes on from."""
    implementation = registry.entry(config.method).load()
    data = _open_data(implementation, config, folder, ranks)
    _check_validation(config, data, ranks)
    method = _build(implementation, config, data.assets, ranks)
    stages = method.stages()
    _check_stages(config, stages, ranks)
    start = ckpt.pick(folder.checkpoints, resume)
    for turn in (True, False):  # the main rank records what is referred to; the others then find that
        if ranks.main is turn:
            open_references(method.references, folder, new=start is None, main=ranks.main)
        ranks.barrier()
    position = ckpt.position_of(start) if start else Position()
    extended = budget_of(folder.config().train) != budget_of(config.train)
    if extended:
        _check_extension(config, folder, data, stages, position, ranks)
    ranks.barrier()  # all have read the config
    if ranks.main:
        folder.rewind_metrics(position.step)
        folder.write_status("running", step=position.step)
        if extended:
            folder.extend(config, position.step)
    if start:
        say(f"going on from step {position.step} of {folder.path}")
    elif config.train.init:
        method.complete(inherit(method, parents(config)))
    else:
        method.initialise()
    method.lay_out()
    trackers = [open_tracker(name, folder, to_dict(config)) for name in config.train.track] if ranks.main else []
    for earlier in stages[: position.stage]:
        if earlier.restore:
            earlier.restore(folder.artefacts / earlier.name)
    return _Training(config, folder, ranks, data, method, stages, trackers, position, start)


def _build(implementation: Any, config: RunConfig, assets: Any, ranks: Ranks) -> Method:
    """The method with initial weights, the same on all ranks."""
    seed_all(config.train.seed)
    method: Method = implementation(config.model, assets)
    if config.train.sharding == "none" or ranks.world == 1:
        method.to(ranks.device)  # a sharded one goes there layer by layer, as each is cut into shares
    seed_all(config.train.seed + ranks.rank)  # from here on only dropout draws from the global generator
    if config.train.compile:
        for network in _networks(method):
            network.compile()
    return method


def _check_stages(config: RunConfig, stages: list[Stage], ranks: Ranks) -> None:
    if config.train.sharding == "fsdp" and len(stages) > 1:  # a later one would use the shares of an earlier
        names = ", ".join(stage.name for stage in stages)
        raise GeneraError(f"--sharding fsdp needs a method of one stage, not {names}; leave it out.")
    for stage in stages:
        if stage.batch_size:
            _check_batch(config, f"the batch of stage {stage.name}:", stage.batch_size, ranks)


def _check_extension(
    config: RunConfig, folder: RunFolder, data: Any, stages: list[Stage], position: Position, ranks: Ranks
) -> None:
    """Whether a run that is at `position` can go on with the budget of `config`, and what that means for its stages.

    Raises GeneraError for a budget below what is done, and where a later stage has used what this one left.
    """
    stage = stages[position.stage]
    of_stage = f" of stage {stage.name}" if len(stages) > 1 else ""
    for later in stages[position.stage + 1 :]:
        if later.work and (folder.artefacts / later.name).exists():
            raise GeneraError(
                f"stage {later.name} of {folder.path} has used what stage {stage.name} left, so that its budget cannot "
                "change any more; go on with the same budget, or choose another --out."
            )
    _, stream = _opened(stage, config, data, folder, ranks)
    budget = _budget(stage, stages, config, stream)
    if (budget.steps or math.inf) < position.stage_step or (budget.seconds or math.inf) < position.stage_seconds:
        done = f"{position.stage_step} steps" if budget.steps else f"{position.stage_seconds / 60:.3g} minutes"
        given = f"{budget.steps} steps" if budget.steps else f"{(budget.seconds or 0) / 60:.3g} minutes"
        raise GeneraError(
            f"{folder.path} has trained {done}{of_stage}, more than the {given} of the new budget; give a larger one, "
            "choose another --out, or take the run back with --resume STEP."
        )
    if position.stage:
        names = ", ".join(earlier.name for earlier in stages[: position.stage])
        say(f"the new budget holds from stage {stage.name} on; stages before it stay as they are: {names}")


# run


def _run(training: _Training, index: int, stop: list[int]) -> None:
    """One stage, from where the run stands to the artefact that it leaves."""
    stage, folder, ranks = training.stages[index], training.folder, training.ranks
    at = training.position
    if index > at.stage:
        at = training.position = Position(stage=index, step=at.step, seconds=at.seconds)
    artefact = folder.artefacts / stage.name
    if stage.players:
        _learn(training, stage, stop)
    if stage.work:
        say(f"stage {stage.name}")
        for _ in stage.work(training.data, artefact, ranks):
            if stop:
                stopped(folder, ranks, at.step, stop)
    if stage.finish and ranks.main:
        stage.finish(training.data, artefact)
    ranks.barrier()
    if stage.restore:
        stage.restore(artefact)


def _learn(training: _Training, stage: Stage, stop: list[int]) -> None:
    """The part of a stage that trains: its players, its data and its budget go through the loop."""
    config, folder, ranks, method = training.config, training.folder, training.ranks, training.method
    step = _first_step(stage, config, ranks, training.position)
    method.to(ranks.device)  # and then what no player trains
    if training.checkpoint:
        ckpt.load_training(training.checkpoint, method, step)
        training.checkpoint = None
    data, stream = _opened(stage, config, training.data, folder, ranks)
    budget = _budget(stage, training.stages, config, stream)
    name = stage.name if len(training.stages) > 1 else ""
    with _logging(folder, training.trackers, budget, name) as log:
        run_stage(stage, method, data, stream, step, training.position, budget, log, folder, stop)


def _opened(stage: Stage, config: RunConfig, data: Any, folder: RunFolder, ranks: Ranks) -> tuple[Any, Stream]:
    """What a stage trains on: the run's data set `data` or one of its own, and the stream of its batches."""
    if stage.data:
        data = stage.data(data, folder.artefacts)
        _check_validation(config, data, ranks)
    rows = stage.batch_size or config.train.batch_size
    return data, data.stream("train", rows, seed=config.train.seed, rank=ranks.rank, ranks=ranks.world)


def _budget(stage: Stage, stages: list[Stage], config: RunConfig, stream: Stream) -> Budget:
    """A stage's share of the run's budget."""
    shares = sum(other.share for other in stages if other.players)
    return Budget.of(config.train, stage.share / shares, stream.steps_per_epoch)


def _first_step(stage: Stage, config: RunConfig, ranks: Ranks, position: Position) -> Step:
    assert stage.players
    trainees = enrol(stage.players(), config.train, ranks)
    scaler = torch.amp.GradScaler(ranks.device.type) if config.train.precision == "fp16" else None
    before = position.step - position.stage_step
    return Step(config.train, ranks, trainees, stage=position.stage, before=before, scaler=scaler)


# small parts


def _check_batch(config: RunConfig, name: str, rows: int, ranks: Ranks) -> None:
    if rows % (ranks.world * config.train.accumulate):
        raise GeneraError(f"{name} {rows} does not divide over {ranks.world} ranks x {config.train.accumulate} parts.")


def _check_validation(config: RunConfig, data: Any, ranks: Ranks) -> None:
    if config.train.validate_every and data.size("valid") < ranks.world:
        found = f"{data.size('valid')} for {ranks.world} ranks" if ranks.world > 1 else "none"
        raise GeneraError(
            f"validation needs items that are not trained on, and there are {found}; --validate-every 0 leaves it out."
        )


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that are called; lists and dictionaries of modules are not."""
    for child in module.children():
        if isinstance(child, nn.ModuleDict | nn.ModuleList):
            yield from _networks(child)
        else:
            yield child


def _open_data(implementation: Any, config: RunConfig, folder: RunFolder, ranks: Ranks) -> Any:
    """The main rank opens first and leaves cache and assets; the others then find them."""
    data = None
    for turn in (True, False):
        if ranks.main is turn:
            saved = folder.assets / ".done"
            assets = None
            if saved.exists():
                assets = implementation.dataset.assets_type.load(folder.assets)
            elif config.train.init:
                assets = parents(config)[0].assets()
            data = implementation.dataset.open(config.data, assets)
            if not saved.exists() and ranks.main:
                data.assets.save(folder.assets)
                write_text(saved, "")
        ranks.barrier()
    return data


@contextmanager
def _logging(folder: RunFolder, trackers: list[Any], budget: Budget, stage: str) -> Iterator[Log]:
    if stage:
        say(f"stage {stage}")
    log = Log(folder, trackers, budget.steps)
    try:
        yield log
    finally:
        log.close()
