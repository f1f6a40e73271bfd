"""Full precision within autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Disable autocast on the device of `like`. The meta device (`--dry-run`) has no autocast."""
    return nullcontext() if like.device.type == "meta" else torch.autocast(like.device.type, enabled=False)
