"""Models divided over ranks: tensor parallelism splits the layers (DTensor); FSDP2 shards weights, gradients and
moments, and gathers one layer at a time. Only runs that do so or resume from one import it, which takes a second."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from genera.blocks.shares import gathered, whole_shape
from genera.blocks.tensor_parallel import Arrangement, split
from genera.blocks.transformer import Block
from genera.engine.ranks import Ranks
from genera.errors import GeneraError
from genera.files import in_file_order, stream_tensors

logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)  # of sums over two axes in turn


def distribute(objective: nn.Module, ranks: Ranks, *, dtype: torch.dtype | None, compile: bool) -> None:
    """Divide the parameters below `objective`, which are on the meta device, over the ranks, in place.

    dtype: the autocast dtype, in which FSDP gathers a layer's matrices; shards and reductions stay fp32.
    compile: whether to compile the layers.
    """
    mesh, axes = device_mesh(ranks), ranks.mesh
    blocks = [module for module in objective.modules() if isinstance(module, Block)]
    if axes.tensor > 1:
        split(objective, mesh["tensor"])
    if compile:
        for block in blocks:
            for part in (block.attention, block.feed_forward):  # within the hooks of FSDP, which gather them
                part.forward = torch.compile(part.forward, dynamic=False if axes.tensor > 1 else None)  # type: ignore[method-assign]
    if axes.data > 1:  # also where nothing is sharded, since DDP does not average the gradients of DTensors
        names = [name for name in mesh.mesh_dim_names or () if name != "tensor"]
        # Its norms stay fp32 with the embeddings and heads, as autocast has them; so both ways compute the same.
        cast = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
        of_data = mesh[tuple(names)]
        for block in blocks:
            fully_shard([block.attention, block.feed_forward], mesh=of_data, mp_policy=cast)
        fully_shard(objective, mesh=of_data)
        # which a block only adds to another
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")


def device_mesh(ranks: Ranks) -> DeviceMesh:
    """The ranks along the axes replicas, shards and tensor, without those of a single rank."""
    axes = ranks.mesh._asdict()
    # FSDP shards over one rank where it only averages gradients over replicas.
    used = {name: size for name, size in axes.items() if size > 1 or (name == "shards" and axes["replicas"] > 1)}
    return init_device_mesh(ranks.device.type, tuple(used.values()), mesh_dim_names=tuple(used))


def write_whole(path: Path | None, tensors: dict[str, Tensor], arrangements: Mapping[str, Arrangement]) -> None:
    """Gather tensors one at a time and write them to one file. All ranks call it; the main rank gives the path."""
    shapes = {name: (whole_shape(tensor, arrangements.get(name)), tensor.dtype) for name, tensor in tensors.items()}
    wholes = (gathered(tensors[name], arrangements.get(name)) for name in in_file_order(shapes))
    if path is not None:
        stream_tensors(path, shapes, wholes)
    for _ in wholes:  # the other ranks take part
        pass


def divided(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split into tensors that every rank holds whole, and sharded tensors."""
    shares: dict[str, Tensor] = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, DTensor)}
    return {name: tensor for name, tensor in tensors.items() if name not in shares}, shares


# distributed checkpoints, in DCP's safetensors format, since its default format uses pickle


def write_shares(folder: Path, shares: dict[str, Tensor], ranks: Ranks) -> list[Path]:
    """Every rank writes its shards to its own file. Returns the files of this rank.

    Raises GeneraError when a rank cannot write.
    """
    try:
        writer = dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True)
        dcp.save(dict(shares), storage_writer=writer, process_group=ranks.control)
    except CheckpointException as failed:
        rank, (error, _) = next(iter(failed.failures.items()))
        raise GeneraError(f"rank {rank} cannot write {folder} ({error}); nothing there was changed.") from None
    return sorted(folder.glob(f"shard-{ranks.rank + 1:05d}-*.safetensors"))


def read_shares(folder: Path, wanted: dict[str, Tensor], ranks: Ranks) -> None:
    """Fill `wanted` (whole or sharded over any number of ranks) from the shards that any number of ranks wrote."""
    alone: dict[str, Any] = {"no_dist": True} if ranks.world == 1 else {"process_group": ranks.control}
    dcp.load(wanted, storage_reader=dcp.HuggingFaceStorageReader(str(folder)), **alone)


def read_whole(folder: Path, name: str, shape: torch.Size) -> Tensor:
    """One tensor, whole, as it was held; without the other ranks."""
    wanted = {name: torch.zeros(shape)}
    dcp.load(wanted, storage_reader=dcp.HuggingFaceStorageReader(str(folder)), no_dist=True)
    return wanted[name]


def shapes_in(folder: Path) -> dict[str, torch.Size]:
    """Shapes of the tensors whose shards are in `folder`, by name."""
    found = dcp.HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {name: found[name].size for name in sorted(found)}  # type: ignore[union-attr]
