"""Training, from a config to a finished run folder."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from genera.console import say
from genera.engine import checkpoint as ckpt
from genera.engine import registry
from genera.engine.checkpoint import Position
from genera.engine.config import RunConfig, to_dict
from genera.engine.folder import RunFolder
from genera.engine.logs import Log, Tracker, open_tracker
from genera.engine.loop import Budget, run_stage, stopped
from genera.engine.method import Method, Stage
from genera.engine.ranks import Ranks, join_ranks
from genera.engine.runtime import seed_all, stop_signals
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.files import write_text


def train(config: RunConfig, out: str | Path, *, resume: str = "last") -> RunFolder:
    """Train what `config` says into the folder `out`; a run that is there already goes on, a finished one stays.

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
        if folder.status()["state"] == "done" and resume == "last":
            say(f"{folder.path} is already trained ({folder.status()['step']} steps).")
            return folder
        try:
            _train(config, folder, ranks, resume)
        except GeneraError as error:
            if ranks.main:
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
    position = ckpt.position_of(start) if start else Position()
    if ranks.main:
        folder.rewind_metrics(position.step)
        folder.write_status("running", step=position.step)
    if start:
        say(f"going on from step {position.step} of {folder.path}")
    elif config.train.init:
        method.complete(ckpt.take_over(method, _predecessor(config).checkpoint))
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
    data = training.data
    if stage.data:
        data = stage.data(data, folder.artefacts)
        _check_validation(config, data, ranks)
    rows = stage.batch_size or config.train.batch_size
    stream = data.stream("train", rows, seed=config.train.seed, rank=ranks.rank, ranks=ranks.world)
    shares = sum(other.share for other in training.stages if other.players)
    budget = Budget.of(config.train, stage.share / shares, stream.steps_per_epoch)
    name = stage.name if len(training.stages) > 1 else ""
    with _logging(folder, training.trackers, budget, name) as log:
        run_stage(stage, method, data, stream, step, training.position, budget, log, folder, stop)


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


class _Predecessor(NamedTuple):
    method: str
    assets: Path
    checkpoint: Path


def _predecessor(config: RunConfig) -> _Predecessor:
    """The run that `--init` names. Raises GeneraError when it has no checkpoint, or its method does not fit."""
    folder = RunFolder.existing(config.train.init or "")
    method = folder.config().method
    if method not in (config.method, *registry.entry(config.method).load().begins_from):
        raise GeneraError(f"--init {folder.path} is a run of {method}, and {config.method} is to be trained.")
    found = ckpt.pick(folder.checkpoints)
    if found is None:
        raise GeneraError(f"--init {folder.path} has no checkpoint yet; train it first.")
    return _Predecessor(method, folder.assets, found)


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
                other = _predecessor(config)
                assets = registry.entry(other.method).load().dataset.assets_type.load(other.assets)
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
