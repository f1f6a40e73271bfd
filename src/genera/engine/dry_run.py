"""Cost of a run without reading data or allocating memory, on one device and on any mesh of ranks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from genera.blocks.transformer import Attention
from genera.data.arrays import physical_memory
from genera.engine import registry
from genera.engine.config import RunConfig, TrainConfig, to_dict
from genera.engine.memory import countable
from genera.engine.mesh import Mesh, mesh_of
from genera.engine.mesh_cost import (
    TENSOR_PARALLEL,
    USABLE,
    memory_of_rank,
    meshes,
    options_of,
    smallest,
    traffic_of_rank,
)
from genera.engine.method import Method
from genera.engine.ranks import pick_device
from genera.engine.step_cost import StepCost, cost_of_step
from genera.engine.trainees import AUTOCAST, check_distributed
from genera.errors import GeneraError

RANKS = (2, 4, 8)
"""Numbers of ranks for which a sharded run is shown unless one is given."""


def dry_run(config: RunConfig, *, ranks: int | None = None, device_memory: float | None = None) -> dict[str, Any]:
    """Resolved config, parameters of every player, and FLOPs and bytes of one step on one device, for the first stage
    that trains. If several stages can be measured, `stages` has the same for each.

    ranks: also memory and traffic of a rank for each mesh of so many ranks. device_memory: in GB (2^30 bytes), to
    say what fits; it is planned as an accelerator, whose attention is fused. None: this machine's device.
    Sizes are upper bounds: items have the largest size that the data config allows.

    Raises GeneraError if the batch or the model does not divide over the ranks.
    """
    if ranks is not None:
        mesh_of(config.train, ranks)
    implementation = registry.entry(config.method).load()
    assets, batch = implementation.dataset.sketch(config.data, config.train.batch_size)
    with torch.device("meta"), countable(config):
        method = implementation(config.model, assets)
    for reference in method.references.values():
        reference.sketch()
    first, *later = [stage for stage in method.stages() if stage.players]
    sketches = [(first, first.sketch or (lambda rows: batch))] + [(s, s.sketch) for s in later if s.sketch]
    room, fused = _device(config, method, device_memory)
    plan = _Plan(config, ranks, room)
    measured = {s.name: plan.of(cost_of_step(config, method, s, sketch, fused=fused), method) for s, sketch in sketches}
    result = {
        "config": to_dict(config),
        "parameters": sum(p.numel() for p in method.parameters()),
        **measured[first.name],
    }
    return result | {"stages": measured} if len(measured) > 1 else result


def _device(config: RunConfig, method: Method, memory: float | None) -> tuple[float, bool]:
    """(bytes of memory of the device, whether its attention is fused). The CPU's is not where it drops out."""
    if memory is not None:
        return memory * 2**30, True
    device = pick_device(config.train.device)
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory), True
    dropout = any(part.dropout for part in method.modules() if isinstance(part, Attention))
    return physical_memory(), not dropout


@dataclass
class _Plan:
    """What a step takes on a device with `room` bytes, and on meshes of `ranks`."""

    config: RunConfig
    ranks: int | None
    room: float

    def of(self, cost: StepCost, method: Method) -> dict[str, Any]:
        train = self.config.train
        how: dict[str, Any] = {"half": train.precision in AUTOCAST}
        degrees = [n for n in TENSOR_PARALLEL if n == 1 or _can(method, train, sharding="none", tensor_parallel=n)]
        able: dict[str, Any] = {
            "sharded": _can(method, train, sharding="fsdp", tensor_parallel=1),
            "tensor": degrees,
            "parts": train.accumulate,
        }
        memory = memory_of_rank(cost, Mesh(1, 1, 1), **how)
        fewest = smallest(cost, USABLE * self.room, **how, **able)
        return {
            "players": cost.players,
            "flops_per_step": cost.flops,
            "basis": cost.basis,
            "memory_bytes": {name: memory[name] for name in ("weights", "gradients", "optimiser", "activations")},
            "device_bytes": self.room,
            "fits": memory["total"] <= USABLE * self.room,
            "smallest": fewest and self._row(cost, fewest, how),
            "meshes": [self._row(cost, mesh, how) for mesh in self._meshes(cost, able)],
        }

    def _meshes(self, cost: StepCost, able: dict[str, Any]) -> Iterator[Mesh]:
        """Those of `ranks`, the config's own first; without `ranks`, those of a sharded run on a few."""
        train = self.config.train
        if self.ranks is not None:
            own = mesh_of(train, self.ranks)
            yield own
            yield from (mesh for mesh in meshes(self.ranks, cost, **able) if mesh != own)
        elif train.sharding == "fsdp":
            for ranks in RANKS:
                yield from meshes(ranks, cost, **able | {"tensor": (train.tensor_parallel,)})

    def _row(self, cost: StepCost, mesh: Mesh, how: dict[str, Any]) -> dict[str, Any]:
        memory = memory_of_rank(cost, mesh, **how)
        return {
            "ranks": mesh.data * mesh.tensor,
            "options": options_of(mesh),
            "memory_bytes": memory,
            "traffic_bytes": traffic_of_rank(cost, mesh, parts=self.config.train.accumulate, **how),
            "fits": memory["total"] <= USABLE * self.room,
        }


def _can(method: Method, train: TrainConfig, **division: Any) -> bool:
    """Whether a method can be divided over ranks in this way."""
    stages = method.stages()
    if len(stages) > 1 or not stages[0].players:
        return False
    try:
        check_distributed(stages[0].players(), replace(train, **division))
    except GeneraError:
        return False
    return True
