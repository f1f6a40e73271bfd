"""Devices, ranks and communication between ranks. torchrun starts the ranks."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable

from genera.console import PATIENCE
from genera.engine.mesh import ALONE, Mesh
from genera.errors import GeneraError, Stopped, reason


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """`auto` is this rank's CUDA device, else MPS, else the CPU. Raises GeneraError for an unavailable device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise GeneraError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:1 or mps.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise GeneraError(f"device {name!r} is not available: torch sees no CUDA device; use --device cpu.")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise GeneraError(f"device {device} does not exist: the number of CUDA devices is {torch.cuda.device_count()}.")
    return device


@dataclass(frozen=True)
class Ranks:
    """This process: rank `rank` of `world`, computing on `device`."""

    rank: int
    world: int
    device: torch.device
    control: dist.ProcessGroup | None = None
    """A CPU group for small decisions, so that agreement never waits for a device."""
    mesh: Mesh = ALONE
    """How the ranks share the model. `arranged` sets it; until then each has a model and rows of its own."""
    data_group: dist.ProcessGroup | None = None
    """The ranks with this one's part of each layer: one of every data rank. None: all ranks."""

    @property
    def main(self) -> bool:
        return self.rank == 0

    @property
    def data_rank(self) -> int:
        """Which rows of a batch this rank has; those that compute its layers together have the same."""
        return self.rank // self.mesh.tensor

    @property
    def data_world(self) -> int:
        """Number of parts into which a batch divides."""
        return self.world // self.mesh.tensor

    def arranged(self, mesh: Mesh) -> "Ranks":
        """These ranks as `mesh` arranges them. All ranks call it."""
        if mesh.tensor == 1:
            return replace(self, mesh=mesh)
        groups = [dist.new_group(range(first, self.world, mesh.tensor)) for first in range(mesh.tensor)]
        return replace(self, mesh=mesh, data_group=groups[self.rank % mesh.tensor])

    def agree(self, value: float) -> float:
        """The largest of all ranks' values, on the host."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(shared, dist.ReduceOp.MAX, group=self.control)
        return shared.item()

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Element-wise mean over ranks."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

    def gather(self, value: Any) -> list[Any]:
        """The `value` of every rank, in rank order; for small objects only."""
        if self.world == 1:
            return [value]
        gathered: list[Any] = [None] * self.world
        dist.all_gather_object(gathered, value, group=self.control)
        return gathered

    def gather_data(self, value: Any) -> list[Any]:
        """The `value` of every data rank, in order; for small objects only."""
        return self.gather(value)[:: self.mesh.tensor]

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier(group=self.control)


def gather_rows(rows: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """(B, …) of this rank → (N · B, …) of all N data ranks in their order, through which gradients flow back."""
    if ranks.data_world == 1:
        return rows
    if rows.requires_grad and torch.is_grad_enabled():
        gathered: torch.Tensor = _GatherRows.apply(rows, ranks)
        return gathered
    return _all_rows(rows, ranks)


class _GatherRows(torch.autograd.Function):
    """The losses of all ranks depend on a row, so its gradient is the sum of theirs. Averaging parameter gradients over
    ranks then gives the gradient of the mean loss."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, ranks: Ranks) -> torch.Tensor:
        ctx.ranks, ctx.rows = ranks, len(rows)
        return _all_rows(rows, ranks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total, group=ctx.ranks.data_group)
        first = ctx.ranks.data_rank * ctx.rows
        return total[first : first + ctx.rows], None


def _all_rows(rows: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    rows = rows.contiguous()
    parts = [torch.empty_like(rows) for _ in range(ranks.data_world)]
    dist.all_gather(parts, rows, group=ranks.data_group)
    return torch.cat(parts)


@contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Join the ranks started by torchrun (its environment variables), or run as the only rank."""
    world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    picked = pick_device(device, local)
    if picked.type == "cuda":
        torch.cuda.set_device(picked)
    if world == 1:
        yield Ranks(0, 1, picked)
        return
    on_gpu = picked.type == "cuda"
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(minutes=30))
    try:
        control = dist.new_group(backend="gloo") if on_gpu else dist.group.WORLD
        try:
            yield Ranks(dist.get_rank(), world, picked, control)
        except Stopped:  # by all ranks together
            dist.barrier(group=control)
            raise
        dist.barrier(group=control)  # else the first rank to leave may abort the others
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        time.sleep(2 * PATIENCE)  # the failed rank prints the reason; torchrun then ends this one
        raise GeneraError(f"rank {dist.get_rank()} lost the other ranks ({reason(error)}).") from error
    finally:
        dist.destroy_process_group()
