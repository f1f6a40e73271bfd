"""Where half precision would spoil a figure."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """No autocast inside: for norms, penalties and whatever is squared and summed."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
