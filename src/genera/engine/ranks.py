"""Devices and ranks: who am I, on what do I compute, and what do we all agree on. torchrun starts the ranks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from genera.errors import GeneraError


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """`auto` is this rank's CUDA device, else Apple's, else the CPU. Raises GeneraError for one that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise GeneraError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:1 or mps.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise GeneraError(f"device {name!r} was asked for and torch sees no CUDA device; use --device cpu.")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise GeneraError(f"device {device} does not exist: this machine has {torch.cuda.device_count()}.")
    return device


@dataclass(frozen=True)
class Ranks:
    """This process's place: rank `rank` of `world`, computing on `device`."""

    rank: int
    world: int
    device: torch.device
    control: dist.ProcessGroup | None = None
    """A CPU group for small decisions, so that agreeing never waits for a device."""

    @property
    def main(self) -> bool:
        return self.rank == 0

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

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier(group=self.control)


@contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Join the ranks that torchrun started (its environment variables), or be the only one."""
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
        yield Ranks(dist.get_rank(), world, picked, control)
    finally:
        dist.destroy_process_group()
