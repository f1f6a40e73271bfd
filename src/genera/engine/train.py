"""Training, from a config to a finished run folder."""

import math
import os
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
from genera.engine.deferred import Initial, allocate, build, fill
from genera.engine.folder import RunFolder
from genera.engine.logs import Log, Tracker, open_tracker
from genera.engine.loop import Budget, run_stage, stopped
from genera.engine.memory import check_memory
from genera.engine.mesh import check_rows, mesh_of
from genera.engine.method import Method, Stage
from genera.engine.parents import inherit, parents
from genera.engine.ranks import Ranks, join_ranks
from genera.engine.references import open_references
from genera.engine.runtime import seed_all, stop_signals
from genera.engine.step import Step
from genera.engine.trainees import check_distributed, distributed, enrol
from genera.errors import GeneraError, Stopped
from genera.files import write_text


def train(config: RunConfig, out: str | Path, *, resume: str = "last") -> RunFolder:
    """Train a run with `config` in the folder `out`. An existing run is resumed; a finished run is left unchanged.

    If `config` has another budget than the run in `out`, training continues from its last checkpoint to the new budget,
    including optimiser state. Schedules depend on the used share of the budget, from then on of the new one.

    resume: the checkpoint to resume from: last, previous, best or a step number. Any but `last` also rewinds a finished
    run.

    Raises:
        GeneraError: bad settings, data or folder, or a non-finite loss. Saved checkpoints are kept.
        Stopped: after Ctrl-C, SIGTERM or SIGHUP, or when the reader of stderr has gone; the run is saved and the same
            call resumes it.
    """
    config.check()
    folder = RunFolder(out)
    with ExitStack() as stack:
        ranks = stack.enter_context(join_ranks(config.train.device))
        ranks = ranks.arranged(mesh_of(config.train, ranks.world))
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
        except Stopped:  # the loop has saved the run and set its status
            raise
        except (KeyboardInterrupt, BrokenPipeError):  # before training began, or the second Ctrl-C
            with suppress(GeneraError):
                if ranks.main and folder.status()["state"] != "done":
                    folder.write_status("stopped", step=folder.saved_step())
            raise
        except Exception as error:
            message = str(error) if isinstance(error, GeneraError) else f"{type(error).__name__} ({error})"
            if ranks.main and folder.status()["state"] != "done":  # a finished run stays done until it trains again
                with suppress(GeneraError):  # a full disk prevents this too
                    folder.write_status("failed", step=folder.saved_step(), message=message)
            raise
    return folder


def _train(config: RunConfig, folder: RunFolder, ranks: Ranks, resume: str) -> None:
    """Prepare the run and work through its stages, from where the last start ended."""
    training = _prepare(config, folder, ranks, resume)
    with stop_signals() as stop:
        for index in range(training.position.stage, len(training.stages)):
            _run(training, index, stop)
    if ranks.main:
        position = training.position
        folder.write_status("done", step=position.step, seconds=round(position.seconds, 1), ranks=ranks.world)


@dataclass
class _Training:
    """A run that is ready to train."""

    config: RunConfig
    folder: RunFolder
    ranks: Ranks
    data: Any
    method: Method
    stages: list[Stage]
    trackers: list[Tracker]
    position: Position
    checkpoint: Path | None
    """Source of optimiser and random states; None at the first start, and once they are loaded."""
    initial: Initial | None
    """Weights of construction, where the parameters of `method` have no memory until they are divided over ranks."""


# prepare


def _prepare(config: RunConfig, folder: RunFolder, ranks: Ranks, resume: str) -> _Training:
    """Open the data, build the method, and load the weights and artefacts to start from."""
    implementation = registry.entry(config.method).load()
    start = ckpt.pick(folder.checkpoints, resume)
    if start is None:
        mesh, here = ranks.mesh, int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        check_memory(implementation, config, parts=mesh.shards * mesh.tensor, here=here)
    data = _open_data(implementation, config, folder, ranks)
    _check_validation(config, data, ranks)
    method, initial = _build(implementation, config, data.assets, ranks)
    stages = method.stages()
    _check_stages(config, stages, ranks)
    for turn in (True, False):  # the main rank first, which records the references for the others
        if ranks.main is turn:
            open_references(method.references, folder, new=start is None, main=ranks.main)
        ranks.barrier()
    position = ckpt.position_of(start) if start else Position()
    extended = budget_of(folder.config().train) != budget_of(config.train)
    if extended:
        if start and initial is None:
            ckpt.load_weights(method, start, average=False)  # which the data of a stage may depend on
        _check_extension(config, folder, data, stages, position, ranks)
    ranks.barrier()  # all have read the config
    if ranks.main:
        folder.rewind_metrics(position.step)
        folder.write_status("running", step=position.step)
        if extended:
            folder.extend(config, position.step)
    if start:
        say(f"resuming from step {position.step} of {folder.path}")
    if initial is None:
        if not start:
            _initialise(method, config)
        method.lay_out()
    trackers = [open_tracker(name, folder, to_dict(config)) for name in config.train.track] if ranks.main else []
    for earlier in stages[: position.stage]:
        if earlier.restore:
            earlier.restore(folder.artefacts / earlier.name)
    return _Training(config, folder, ranks, data, method, stages, trackers, position, start, initial)


def _build(implementation: Any, config: RunConfig, assets: Any, ranks: Ranks) -> tuple[Method, Initial | None]:
    """The method with the weights of construction, the same on all ranks. Where no rank holds all of them it gets them
    later, and they are returned."""
    initial = None
    seed_all(config.train.seed)
    method: Method
    if ranks.mesh.distributed:
        method, initial = build(lambda: implementation(config.model, assets))
    else:
        method = implementation(config.model, assets)
        method.to(ranks.device)
    seed_all(config.train.seed + ranks.data_rank)  # from here on only dropout draws from the global generator
    if config.train.compile and initial is None:
        for network in _networks(method):
            network.compile()
    return method, initial


def _initialise(method: Method, config: RunConfig) -> None:
    """Give a new run the weights to begin with, where they are not those of construction."""
    if config.train.init:
        method.complete(inherit(method, parents(config)))
    else:
        method.initialise()


def _check_stages(config: RunConfig, stages: list[Stage], ranks: Ranks) -> None:
    if division := config.train.division:
        if len(stages) > 1:  # a later stage would use shards of an earlier one
            names = ", ".join(stage.name for stage in stages)
            raise GeneraError(f"{division} needs a method with a single stage, got {names}; drop it.")
        if stages[0].data:
            raise GeneraError(f"{division} cannot divide a model that prepares its own training data; drop it.")
        if stages[0].players:
            check_distributed(stages[0].players(), config.train)
    for stage in stages:
        if stage.batch_size:
            check_rows(config.train, f"the batch of stage {stage.name}:", stage.batch_size, ranks.mesh)


def _check_extension(
    config: RunConfig, folder: RunFolder, data: Any, stages: list[Stage], position: Position, ranks: Ranks
) -> None:
    """Check that a run at `position` can continue with the budget of `config`, and print which stages it affects.

    Raises GeneraError for a budget that is already exceeded, and if a later stage has used the result of this one.
    """
    stage = stages[position.stage]
    of_stage = f" of stage {stage.name}" if len(stages) > 1 else ""
    for later in stages[position.stage + 1 :]:
        if later.work and (folder.artefacts / later.name).exists():
            raise GeneraError(
                f"stage {later.name} of {folder.path} has used the result of stage {stage.name}, so the budget can no "
                "longer change; resume with the same budget, or choose another --out."
            )
    _, stream = _opened(stage, config, data, folder, ranks)
    budget = _budget(stage, stages, config, stream)
    if (budget.steps or math.inf) < position.stage_step or (budget.seconds or math.inf) < position.stage_seconds:
        done = f"{position.stage_step} steps" if budget.steps else f"{position.stage_seconds / 60:.3g} minutes"
        given = f"{budget.steps} steps" if budget.steps else f"{(budget.seconds or 0) / 60:.3g} minutes"
        raise GeneraError(
            f"{folder.path} has trained {done}{of_stage}, more than the {given} of the new budget; give a larger one, "
            "choose another --out, or rewind the run with --resume STEP."
        )
    if position.stage:
        names = ", ".join(earlier.name for earlier in stages[: position.stage])
        say(f"the new budget applies from stage {stage.name} on; earlier stages stay unchanged: {names}")


# run


def _run(training: _Training, index: int, stop: list[int]) -> None:
    """Run one stage, from the current position of the run to its artefact."""
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
            folder.check_present()
            if stop:
                stopped(folder, ranks, at.step, stop)
    if stage.finish and ranks.main:
        folder.check_present()
        stage.finish(training.data, artefact)
    ranks.barrier()
    if stage.restore:
        stage.restore(artefact)


def _learn(training: _Training, stage: Stage, stop: list[int]) -> None:
    """Train the players of a stage on its data within its budget."""
    config, folder, ranks, method = training.config, training.folder, training.ranks, training.method
    step = _first_step(training, stage)
    method.to(ranks.device)  # and now what no player trains
    if training.checkpoint:
        ckpt.load_training(training.checkpoint, method, step)
        training.checkpoint = None
    data, stream = _opened(stage, config, training.data, folder, ranks)
    budget = _budget(stage, training.stages, config, stream)
    name = stage.name if len(training.stages) > 1 else ""
    with _logging(folder, training.trackers, budget, name) as log:
        run_stage(stage, method, data, stream, step, training.position, budget, log, folder, stop)


def _opened(stage: Stage, config: RunConfig, data: Any, folder: RunFolder, ranks: Ranks) -> tuple[Any, Stream]:
    """Training data of a stage (the run's data set `data` or its own) and its stream of batches."""
    if stage.data:
        given = data
        for turn in (True, False):  # the main rank first, which fills caches for the others
            if ranks.main is turn:
                data = stage.data(given, folder.artefacts)
            ranks.barrier()
        _check_validation(config, data, ranks)
    rows = stage.batch_size or config.train.batch_size
    return data, data.stream("train", rows, seed=config.train.seed, rank=ranks.data_rank, ranks=ranks.data_world)


def _budget(stage: Stage, stages: list[Stage], config: RunConfig, stream: Stream) -> Budget:
    """A stage's share of the run's budget."""
    shares = sum(other.share for other in stages if other.players)
    return Budget.of(config.train, stage.share / shares, stream.steps_per_epoch)


def _first_step(training: _Training, stage: Stage) -> Step:
    assert stage.players
    config, ranks, position = training.config, training.ranks, training.position
    objective = None
    if training.initial is not None:
        objective = distributed(stage.players(), config.train, ranks)
        allocate(training.method, ranks.device)
        if not training.checkpoint:
            fill(training.method, training.initial)
            _initialise(training.method, config)
    trainees = enrol(stage.players(), config.train, ranks, objective)
    scaler = torch.amp.GradScaler(ranks.device.type) if config.train.precision == "fp16" else None
    before = position.step - position.stage_step
    return Step(config.train, ranks, trainees, stage=position.stage, before=before, scaler=scaler)


# small parts


def _check_validation(config: RunConfig, data: Any, ranks: Ranks) -> None:
    if config.train.validate_every and data.size("valid") < ranks.data_world:
        available = f"{data.size('valid')} for {ranks.world} ranks" if ranks.world > 1 else "none"
        raise GeneraError(
            f"validation needs held-out items, but there are {available}; --validate-every 0 disables it."
        )


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost callable modules; lists and dictionaries of modules are expanded."""
    for child in module.children():
        if isinstance(child, nn.ModuleDict | nn.ModuleList):
            yield from _networks(child)
        else:
            yield child


def _open_data(implementation: Any, config: RunConfig, folder: RunFolder, ranks: Ranks) -> Any:
    """Open the data, first on the main rank, which writes cache and assets for the others. All ranks tokenise a large
    corpus together."""
    dataset, saved, data = implementation.dataset, folder.assets / ".done", None

    def assets() -> Any:
        if saved.exists():
            return dataset.assets_type.load(folder.assets)
        return parents(config)[0].assets() if config.train.init else None

    if ranks.world > 1 and hasattr(dataset, "tokenise"):
        for turn in (True, False):  # the main rank learns the vocabulary
            if ranks.main is turn and not assets():
                dataset.tokenisers_for(config.data)
            ranks.barrier()
        dataset.tokenise(config.data, assets(), rank=ranks.rank, ranks=ranks.world)
        ranks.barrier()
    for turn in (True, False):
        if ranks.main is turn:
            data = dataset.open(config.data, assets())
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
