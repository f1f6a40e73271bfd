"""Cost of a run without reading data or allocating memory: one real training step on the meta device."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from genera.data.batch import Batch
from genera.engine import registry
from genera.engine.config import RunConfig, to_dict
from genera.engine.memory import countable
from genera.engine.method import Method, Stage
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import AUTOCAST, enrol, layers_of

RANKS = (2, 4, 8)
"""Numbers of ranks for which the memory of a sharded run is shown."""


PRODUCTS = {
    *(F.linear, F.bilinear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.scaled_dot_product_attention),
    *(torch.matmul, torch.bmm, torch.mm, torch.addmm, torch.einsum, torch.Tensor.matmul, torch.Tensor.__matmul__),
}


class _Autocast(TorchFunctionMode):
    """Autocast for tensors without storage: products in `dtype`, all else in the dtype of the inputs."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in PRODUCTS:
            args = [x.to(self.dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in args]
        return function(*args, **(kwargs or {}))


class _Untracked:
    """Replaces FlopCounterMode's module hooks, which fail for gradient penalties."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def dry_run(config: RunConfig) -> dict[str, Any]:
    """Resolved config, parameters of every player, and FLOPs and bytes of one step on one device, for the first stage
    that trains. If several stages can be measured, `stages` has the same for each.

    Sizes are upper bounds: items have the largest size that the data config allows.
    """
    implementation = registry.entry(config.method).load()
    assets, batch = implementation.dataset.sketch(config.data, config.train.batch_size)
    with torch.device("meta"), countable(config):
        method = implementation(config.model, assets)
    for reference in method.references.values():
        reference.sketch()
    first, *later = [stage for stage in method.stages() if stage.players]
    measured = {first.name: _one_step(config, method, first, first.sketch or (lambda rows: batch))}
    measured |= {stage.name: _one_step(config, method, stage, stage.sketch) for stage in later if stage.sketch}
    result = {
        "config": to_dict(config),
        "parameters": sum(p.numel() for p in method.parameters()),
        **measured[first.name],
    }
    return result | {"stages": measured} if len(measured) > 1 else result


def _one_step(config: RunConfig, method: Method, stage: Stage, sketch: Callable[[int], Batch]) -> dict[str, Any]:
    """Players, FLOPs and memory of one step of a stage."""
    assert stage.players
    assert stage.update
    rows = stage.batch_size or config.train.batch_size
    ranks = Ranks(0, 1, torch.device("meta"))
    step = Step(config.train, ranks, enrol(stage.players(), config.train, ranks))
    step.begin(0, 0.999)  # late in the schedules, where every loss term is active
    weights = {p.untyped_storage()._cdata for p in method.parameters()}
    saved: dict[int, int] = {}

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Untracked()  # type: ignore[assignment]
    dtype = AUTOCAST.get(config.train.precision)
    # Layers that run again going backward would do so outside of it; between them the stream is fp32 in any case.
    again = any(getattr(module, "checkpointing", False) for module in method.modules())
    cast: AbstractContextManager[object] = _Autocast(dtype) if dtype and not again else nullcontext()
    with counter, saved_tensors_hooks(remember, lambda tensor: tensor), cast:
        stage.update(sketch(rows).to(ranks.device), step)
    trained = sum(p.numel() for t in step.trainees.values() for p in t.parameters)
    memory = {
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
    }
    return {
        "players": {
            name: {
                "parameters": sum(p.numel() for p in trainee.player.network.parameters()),
                "trainable": sum(p.numel() for p in trainee.parameters),
            }
            for name, trainee in step.trainees.items()
        },
        "flops_per_step": counter.get_total_flops(),
        "basis": f"{rows} {stage.basis}",
        "memory_bytes": memory,
        "memory_bytes_per_rank": _per_rank(memory, step) if config.train.sharding == "fsdp" else {},
    }


def _per_rank(memory: dict[str, int], step: Step) -> dict[int, dict[str, int]]:
    """Bytes per rank for a number of ranks, sharded and unsharded.

    In a sharded model a rank holds its shard plus, unsharded with gradients: everything outside the layers, the
    current layer and the prefetched one. In an unsharded model a rank holds everything, and gradients a second time
    in the all-reduce buckets.
    """
    (trainee,) = step.trainees.values()
    layers = [4 * sum(p.numel() for p in m.parameters()) for m in layers_of({"": trainee.player})]
    whole = 2 * (memory["weights"] - sum(layers) + 2 * max(layers))
    states = memory["weights"] + memory["gradients"] + memory["optimiser"]
    return {
        ranks: {
            "fsdp": states // ranks + whole + memory["activations"] // ranks,
            "none": states + memory["gradients"] + memory["activations"] // ranks,
        }
        for ranks in RANKS
    }
