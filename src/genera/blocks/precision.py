"""Where numbers must stay fp32 under autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Autocast switched off where `like` lies; shapes without storage (`--dry-run`) know no autocast."""
    return nullcontext() if like.device.type == "meta" else torch.autocast(like.device.type, enabled=False)
