"""States of the global random generators of Python, NumPy and torch."""

import random

import numpy as np
import torch
from torch import Tensor


def random_state() -> dict[str, Tensor]:
    """The states of all generators, as tensors."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  (the global state is what is saved)
    version, words, extra = random.getstate()
    states = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "numpy_rest": torch.tensor([position, has_gauss, gauss], dtype=torch.float64),
        "python": torch.tensor(words, dtype=torch.int64),
        "python_rest": torch.tensor([version, extra is not None, extra or 0.0], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_state(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["torch"])
    position, has_gauss, gauss = states["numpy_rest"].tolist()
    keys = states["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))  # noqa: NPY002
    version, has_extra, extra = states["python_rest"].tolist()
    random.setstate((int(version), tuple(states["python"].tolist()), extra if has_extra else None))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
