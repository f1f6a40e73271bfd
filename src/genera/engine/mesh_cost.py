"""Memory and traffic of one rank on any mesh of ranks: what ZeRO (Rajbhandari et al. 2020) and Megatron-LM (Shoeybi et
al. 2019) divide, as a run holds it.

With Ψ parameters in fp32, Adam and N ranks, `--sharding none` (DDP) holds 20Ψ bytes beside activations: 4 weights,
4 gradients, 8 moments, and 4 buckets in which gradients travel. `--sharding fsdp` divides 16Ψ by the shards and gathers
one layer at a time. Autocast (bf16, fp16) adds copies of the weights in half precision and halves activations.
"""

from collections.abc import Iterable, Iterator
from math import ceil, prod
from typing import Any

from genera.engine.mesh import Mesh
from genera.engine.step_cost import ParameterCost, StepCost

USABLE = 0.9
"""Share of a device's memory that a run may plan for; the rest goes to the driver, kernels and fragmentation."""
TENSOR_PARALLEL = (1, 2, 4, 8)
"""Tensor parallelism stays within the devices of one machine."""
MACHINE = 8
"""Devices of a machine, which a replica of HSDP fills."""
MOST_RANKS = 4096


def memory_of_rank(cost: StepCost, mesh: Mesh, *, half: bool) -> dict[str, int]:
    """Bytes that the rank that holds most has at a time; `total` is an upper bound, since not all parts peak together.

    half: autocast in bf16 or fp16. The activations are those of the rank's rows (of one part of them with
    --accumulate).
    """
    trained = [p for p in cost.parameters if p.trained]
    gradients = sum(_held(p, mesh, p.bytes) for p in trained)
    whole = Mesh(1, 1, mesh.tensor)
    buckets = gradients if mesh.data > 1 else 0
    activations = cost.activations(mesh.tensor) // mesh.data
    if half and not _gathers(mesh):
        activations += cost.casts() // mesh.tensor
    memory = {
        "weights": cost.untrained + sum(_held(p, mesh, p.bytes) for p in cost.parameters),
        "gradients": gradients,
        "optimiser": sum(_held(p, mesh, p.optimiser + p.average) + p.counts for p in cost.parameters),
        "buffers": _gathered(cost.parameters, whole, half) if _gathers(mesh) else buckets,
        "activations": activations,
    }
    return memory | {"total": sum(memory.values())}


def traffic_of_rank(cost: StepCost, mesh: Mesh, *, half: bool, parts: int = 1) -> dict[str, int]:
    """Bytes that a rank sends in a step, by ring algorithms: an all-reduce of n bytes over N ranks sends 2n(N-1)/N, a
    gather or a reduce-scatter n(N-1)/N.

    data: gradients (DDP: one all-reduce, 2Ψ elements), and with shards the weights twice and the gradients once for
    each of `parts` accumulated parts (3Ψ). tensor: sums of activations, four a layer, two more with recomputed layers.
    """
    whole = Mesh(1, 1, mesh.tensor)
    layers = [p for p in cost.parameters if p.layer is not None]
    rest = [p for p in cost.parameters if p.layer is None]
    gradients = sum(_held(p, whole, p.bytes) for p in cost.parameters if p.trained)
    if mesh.shards > 1:
        times = 1 if half else 2  # as going forward and backward; in half precision half as many bytes
        gathered = times * sum(_held(p, whole, p.bytes) for p in layers) + sum(_held(p, whole, p.bytes) for p in rest)
        data = parts * _ring(mesh.shards) * (gathered + gradients)
        data += 2 * parts * _ring(mesh.replicas) * gradients / mesh.shards
    else:
        data = 2 * _ring(mesh.data) * gradients
    return {"data": int(data), "tensor": int(2 * _ring(mesh.tensor) * cost.reductions / mesh.data)}


def zero_memory(parameters: float, ranks: int) -> dict[str, float]:
    """Bytes per rank of ZeRO's table: Adam in mixed precision as published, with fp16 weights and gradients (2Ψ each)
    and an fp32 copy and two moments (12Ψ). For comparison; a run of genera keeps fp32 weights and no second copy."""
    return {
        "plain": 16 * parameters,
        "stage 1": 4 * parameters + 12 * parameters / ranks,
        "stage 2": 2 * parameters + 14 * parameters / ranks,
        "stage 3": 16 * parameters / ranks,
    }


def meshes(ranks: int, cost: StepCost, *, sharded: bool, tensor: Iterable[int], parts: int) -> Iterator[Mesh]:
    """The meshes of a number of ranks over which the batch divides. sharded, tensor: what the method can do."""
    for degree in tensor:
        data, rest = divmod(ranks, degree)
        if rest or not data or cost.rows % (data * parts):
            continue
        yield Mesh(data, 1, degree)
        if sharded and data > 1:
            yield Mesh(1, data, degree)
            shards = MACHINE // degree
            if data > shards > 1 and data % shards == 0:
                yield Mesh(data // shards, shards, degree)


def smallest(cost: StepCost, room: float, *, half: bool, parts: int, **able: Any) -> Mesh | None:
    """The mesh of the fewest ranks (a power of two) whose memory fits into `room` bytes, and of those the one with the
    least traffic; None if there is none up to MOST_RANKS."""
    ranks = 1
    while ranks <= MOST_RANKS:
        fitting = [
            mesh
            for mesh in meshes(ranks, cost, parts=parts, **able)
            if memory_of_rank(cost, mesh, half=half)["total"] <= room
        ]
        if fitting:
            return min(fitting, key=lambda mesh: sum(traffic_of_rank(cost, mesh, half=half, parts=parts).values()))
        ranks *= 2
    return None


def options_of(mesh: Mesh) -> str:
    """The options of a run with this mesh."""
    parts = ["--sharding fsdp"] if mesh.shards > 1 else []
    parts += [f"--replicas {mesh.replicas}"] if mesh.shards > 1 and mesh.replicas > 1 else []
    parts += [f"--tensor-parallel {mesh.tensor}"] if mesh.tensor > 1 else []
    return " ".join(parts) or "--sharding none"


def _held(parameter: ParameterCost, mesh: Mesh, size: int) -> int:
    """The bytes among `size`, of a parameter or of its gradient or state, that the first rank holds."""
    shape = list(parameter.shape)
    if parameter.divided_along is not None:
        shape[parameter.divided_along] = ceil(shape[parameter.divided_along] / mesh.tensor)
    if mesh.shards > 1 and shape:
        shape[0] = ceil(shape[0] / mesh.shards)
    return size * prod(shape) // max(prod(parameter.shape), 1)


def _gathers(mesh: Mesh) -> bool:
    """Whether FSDP runs, which also averages the gradients of layers that are split: DDP cannot."""
    return mesh.shards > 1 or (mesh.tensor > 1 and mesh.data > 1)


def _gathered(parameters: list[ParameterCost], whole: Mesh, half: bool) -> int:
    """Bytes of weights and gradients that a sharded rank holds whole at a time: all outside the layers, a layer and the
    one that is prefetched. Layers are gathered in half precision with autocast, and reduced in fp32."""
    sizes: dict[int | None, int] = {}
    for parameter in parameters:
        sizes[parameter.layer] = sizes.get(parameter.layer, 0) + _held(parameter, whole, parameter.bytes)
    outside = sizes.pop(None, 0)
    layer = max(sizes.values(), default=0)
    return 2 * outside + (3 * layer if half else 4 * layer)


def _ring(ranks: int) -> float:
    """Share of its data that a rank sends in a gather over `ranks`."""
    return (ranks - 1) / ranks
