"""Read and write parameters of which a rank holds only a share (DTensors), one whole tensor at a time."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from genera.blocks.tensor_parallel import Arrangement


class Scratch:
    """Memory for one whole tensor at a time. Allocating each anew would leave gaps as large as the model behind."""

    def __init__(self) -> None:
        self.memory = torch.empty(0)

    def tensor(self, shape: torch.Size) -> Tensor:
        """Uninitialised float32 on the host, valid until the next call."""
        if self.memory.numel() < shape.numel():
            self.memory = torch.empty(0)  # freed before the larger one is taken
            self.memory = torch.empty(shape.numel())
        return self.memory[: shape.numel()].view(shape)

    def release(self) -> None:
        """Free the memory; tensors that were given out become invalid."""
        self.memory = torch.empty(0)


def is_share(tensor: Tensor) -> bool:
    """Whether `tensor` is a DTensor."""
    return hasattr(tensor, "full_tensor")


@torch.no_grad()
def assign(target: Tensor, whole: Tensor, arrangement: "Arrangement | None" = None) -> None:
    """Copy a whole tensor, as files have it, into `target`; into a share, this rank's part of it."""
    if not is_share(target):
        target.copy_(whole)
        return
    held = whole if arrangement is None else arrangement.held(whole)
    target.to_local().copy_(_share(held, target))  # type: ignore[attr-defined]


@torch.no_grad()
def gathered(tensor: Tensor, arrangement: "Arrangement | None" = None) -> Tensor:
    """The whole tensor, as files have it. For a share all ranks call it."""
    if not is_share(tensor):
        return tensor.detach()
    held: Tensor = tensor.detach().full_tensor()  # type: ignore[attr-defined]
    return held if arrangement is None else arrangement.whole(held)


def whole_shape(tensor: Tensor, arrangement: "Arrangement | None" = None) -> torch.Size:
    """The shape of `gathered`."""
    return torch.Size((arrangement.rows, *tensor.shape[1:])) if arrangement is not None else tensor.shape


def _share(held: Tensor, target: Tensor) -> Tensor:
    """This rank's part of `held`, laid out as the DTensor `target`: tensor parallelism, the innermost axis of the mesh,
    divides first, and FSDP the parts."""
    mesh, place = target.device_mesh, target.device_mesh.get_coordinate()  # type: ignore[attr-defined]
    for axis, placement in reversed(list(enumerate(target.placements))):  # type: ignore[attr-defined]
        if hasattr(placement, "dim"):
            pieces = held.chunk(mesh.size(axis), placement.dim)
            empty = held.narrow(placement.dim, 0, 0)
            held = pieces[place[axis]] if place[axis] < len(pieces) else empty
    return held
