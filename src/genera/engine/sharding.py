"""Fully sharded training (FSDP2): each rank keeps a shard of every weight, gradient and moment, and gathers one layer
at a time. Imported only by runs that shard or resume from a sharded run, since the import takes a second."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from genera.blocks.transformer import Block
from genera.engine.ranks import Ranks
from genera.errors import GeneraError


def shard(
    objective: nn.Module, blocks: Iterable[Block], optimiser: Optimizer, ranks: Ranks, dtype: torch.dtype | None
) -> None:
    """Shard the parameters below `objective` over the ranks, in place, and give the optimiser the shards.

    dtype: the autocast dtype, in which a layer's matrices are gathered; shards and reductions stay fp32.
    """
    mesh = device_mesh(ranks)
    names = {id(p): name for name, p in objective.named_parameters()}
    # Its norms stay fp32 with the embeddings and heads, as autocast has them; so both ways compute the same.
    cast = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for block in blocks:
        fully_shard([block.attention, block.feed_forward], mesh=mesh, mp_policy=cast)
    fully_shard(objective, mesh=mesh)
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # which a block only adds to another
    shares = dict(objective.named_parameters())
    for group in optimiser.param_groups:
        group["params"] = [shares[names[id(p)]] for p in group["params"]]


def device_mesh(ranks: Ranks) -> DeviceMesh:
    """The ranks of a sharded run: (shards,), or (replicas, shards) with several replicas."""
    axes = {"replicas": ranks.mesh.replicas, "shards": ranks.mesh.shards}
    if ranks.mesh.replicas == 1:
        del axes["replicas"]
    return init_device_mesh(ranks.device.type, tuple(axes.values()), mesh_dim_names=tuple(axes))


def gathered(tensors: dict[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """Unsharded tensors, on the main rank only and in host memory: the device holds one at a time."""
    kept = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if ranks.main:
            kept[name] = full.cpu()
    return kept


def divided(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split into tensors that every rank holds whole, and sharded tensors."""
    shares: dict[str, Tensor] = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, DTensor)}
    return {name: tensor for name, tensor in tensors.items() if name not in shares}, shares


def share_of(tensor: Tensor, like: Tensor) -> Tensor:
    """This rank's shard of a whole tensor, with the layout of the sharded tensor `like`."""
    assert isinstance(like, DTensor)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


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


def names_in(folder: Path) -> list[str]:
    """Names of the tensors whose shards are in `folder`."""
    return sorted(dcp.HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata)
