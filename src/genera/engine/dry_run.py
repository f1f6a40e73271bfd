"""What a run would take, without reading data or spending memory: one real training step on shapes alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from genera.data.batch import Batch
from genera.engine import registry
from genera.engine.config import RunConfig, to_dict
from genera.engine.method import Method, Stage
from genera.engine.ranks import Ranks
from genera.engine.step import Step, enrol


class _Untracked:
    """In the place of hooks that tell a FlopCounterMode its modules: they cannot follow a penalty on gradients."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def dry_run(config: RunConfig) -> dict[str, Any]:
    """Resolved config, parameters of every player, and FLOPs and bytes of one step on one device: of the first stage
    that trains and, under `stages`, of every stage whose batches can be sketched, where there are several.

    Sizes are upper bounds: items of the largest size that the data config lets through.
    """
    implementation = registry.entry(config.method).load()
    assets, batch = implementation.dataset.sketch(config.data, config.train.batch_size)
    nowhere = torch.device("meta")
    with nowhere:
        method = implementation(config.model, assets)
    first, *later = [stage for stage in method.stages() if stage.players]
    measured = {first.name: _one_step(config, method, first, first.sketch or (lambda rows: batch))}
    measured |= {stage.name: _one_step(config, method, stage, stage.sketch) for stage in later if stage.sketch}
    found = {
        "config": to_dict(config),
        "parameters": sum(p.numel() for p in method.parameters()),
        **measured[first.name],
    }
    return found | {"stages": measured} if len(measured) > 1 else found


def _one_step(config: RunConfig, method: Method, stage: Stage, sketch: Callable[[int], Batch]) -> dict[str, Any]:
    """Players, FLOPs and memory of one step of a stage."""
    assert stage.players
    assert stage.update
    rows = stage.batch_size or config.train.batch_size
    ranks = Ranks(0, 1, torch.device("meta"))
    step = Step(config.train, ranks, enrol(stage.players(), config.train, ranks))
    step.begin(0, 0.999)  # late in the schedules, when every term of the loss is computed
    weights = {p.untyped_storage()._cdata for p in method.parameters()}
    saved: dict[int, int] = {}

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Untracked()  # type: ignore[assignment]
    with counter, saved_tensors_hooks(remember, lambda tensor: tensor):
        stage.update(sketch(rows).to(ranks.device), step)
    trained = sum(p.numel() for t in step.trainees.values() for p in t.parameters)
    return {
        "players": {
            name: {
                "parameters": sum(p.numel() for p in trainee.player.network.parameters()),
                "trainable": sum(p.numel() for p in trainee.parameters),
            }
            for name, trainee in step.trainees.items()
        },
        "flops_per_step": counter.get_total_flops(),
        "basis": f"{rows} items of the largest size",
        "memory_bytes": {
            "weights": 4 * sum(p.numel() for p in method.parameters()),
            "gradients": 4 * trained,
            "optimiser": sum(
                v.nbytes
                for t in step.trainees.values()
                for state in t.player.optimiser.state.values()
                for v in state.values()
                if isinstance(v, torch.Tensor)
            ),
            "activations": sum(saved.values()) // config.train.accumulate,
        },
    }
