"""Whether items are of the type that a model reads; a clear sentence where they are not."""

from collections.abc import Sequence
from typing import Any

import torch

from genera.errors import GeneraError


def checked(items: Sequence[Any], kind: str, assets: Any, method: str) -> Sequence[Any]:
    """`items` as they are. Raises GeneraError for no items, or for one of another type than `kind`, its data set's.

    Sentences are `str`; images are tensors (C, S, S) in [-1, 1], of the size that the model was trained on.
    """
    if isinstance(items, str) or len(items) == 0:
        raise GeneraError(f"a list of at least one item was expected, got {items!r}.")
    if kind == "text":
        for item in items:
            if not isinstance(item, str):
                raise GeneraError(f"{method} expects sentences, got {_told(item)}.")
    elif kind in ("images", "image-pairs"):
        shape = (assets.channels, assets.size, assets.size)
        for item in items:
            if not isinstance(item, torch.Tensor) or item.shape != shape:
                wanted = "x".join(map(str, shape))
                raise GeneraError(f"{method} expects images, tensors {wanted} in [-1, 1], got {_told(item)}.")
    return items


def _told(item: Any) -> str:
    if isinstance(item, torch.Tensor):
        return f"a tensor {'x'.join(map(str, item.shape)) or 'of one value'}"
    return f"{item!r:.60}" if isinstance(item, str) else f"a {type(item).__name__}"
