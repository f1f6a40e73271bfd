"""The factors of items by the world they come from, whatever the items are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from genera.data.images.store import to_uint8
from genera.measures.factors import Facts


def facts_of(items: Sequence[Any], world: Any) -> list[Facts | None] | None:
    """The named factors of each sentence or image (C, S, S); None for an item that the world cannot generate.

    Returns None if factors are unknown: without a world, or for images that lack the world's colours.
    """
    if world is None or not hasattr(world, "factors") or len(items) == 0:
        return None
    if isinstance(items[0], str):
        return [world.factors_of(item) for item in items]
    if len(items[0]) != 3:
        return None
    factors, far = world.read(to_uint8(torch.stack(list(items)).float().cpu()).numpy())
    names = {name: np.array(values)[getattr(factors, name)].tolist() for name, values in world.factors.items()}
    return [
        {name: values[i] for name, values in names.items()} if valid else None
        for i, valid in enumerate((far < world.valid).tolist())
    ]
