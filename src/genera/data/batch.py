"""The engine's interface to data: batches that can be moved and sliced, and streams indexed by the training step."""

from dataclasses import dataclass, fields, replace
from typing import Protocol, Self

import torch
from torch import Tensor


@dataclass
class Batch:
    """Rows of aligned tensors. Subclasses add fields; every tensor field has the rows as its first axis."""

    ids: Tensor
    """(B,) int64: positions of the rows in their data set, for error messages."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> Self:
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> Self:
        if torch.device(device).type == "cuda":
            return self._each(lambda tensor: tensor.pin_memory().to(device, non_blocking=True))
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change) -> Self:  # type: ignore[no-untyped-def]
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: change(v) for k, v in values.items() if isinstance(v, Tensor)})


class Stream(Protocol):
    """Training batches as a pure function of the step, so that resuming needs only the step number.

    A stream takes a *global* batch size B, a seed, and the rank of this process: rank r of N holds rows
    [r·B/N, (r+1)·B/N) of each global batch, so N ranks together see what a single rank would see.
    """

    steps_per_epoch: int

    def batch(self, step: int) -> Batch:
        """This rank's rows of the global batch of `step` (0, 1, 2, …; epochs follow each other)."""
        ...
