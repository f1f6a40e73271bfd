"""How the ranks of a run share its batch and its model: replicas x shards x tensor parallelism. No torch."""

from typing import NamedTuple

from genera.engine.config import TrainConfig
from genera.errors import GeneraError


class Mesh(NamedTuple):
    """Three axes of ranks, the outermost first: rank = (replica · shards + shard) · tensor + tensor rank."""

    replicas: int
    """copies of the model; their gradients are averaged (DDP, HSDP)"""
    shards: int
    """ranks over which each copy's weights, gradients and optimiser state are sharded (FSDP)"""
    tensor: int
    """ranks that split each layer and compute it together, on the same rows (tensor parallelism)"""

    @property
    def data(self) -> int:
        """Number of groups of ranks with rows of their own, over which a batch divides."""
        return self.replicas * self.shards

    @property
    def distributed(self) -> bool:
        """Whether a rank holds less than the whole model."""
        return self.shards > 1 or self.tensor > 1


def mesh_of(train: TrainConfig, world: int) -> Mesh:
    """The mesh of `world` ranks that a config asks for. Raises GeneraError if the ranks or the batch do not divide."""
    tensor, replicas = train.tensor_parallel, train.replicas
    if world % (tensor * replicas):
        asked = [f"--tensor-parallel {tensor}"] * (tensor > 1) + [f"--replicas {replicas}"] * (replicas > 1)
        raise GeneraError(
            f"{' and '.join(asked)} needs a multiple of {tensor * replicas} ranks, but there "
            f"{'is 1' if world == 1 else f'are {world}'}; start them with torchrun --nproc-per-node."
        )
    data = world // tensor
    mesh = Mesh(replicas, data // replicas, tensor) if train.sharding == "fsdp" else Mesh(data, 1, tensor)
    check_rows(train, "--batch-size", train.batch_size, mesh)
    return mesh


def check_rows(train: TrainConfig, name: str, rows: int, mesh: Mesh) -> None:
    """Raise GeneraError unless a batch of `rows` divides over the mesh and its accumulated parts."""
    if rows % (mesh.data * train.accumulate):
        groups = f"groups of {mesh.tensor} ranks" if mesh.tensor > 1 else "ranks"
        raise GeneraError(f"{name} {rows} does not divide over {mesh.data} {groups} x {train.accumulate} parts.")


ALONE = Mesh(1, 1, 1)
