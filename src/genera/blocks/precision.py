"""Full precision within autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Disable autocast on the device of `like`. The meta device (`--dry-run`) has no autocast."""
    return nullcontext() if like.device.type == "meta" else torch.autocast(like.device.type, enabled=False)


def full(x: Tensor) -> Tensor:
    """x in float32; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
