"""Convert and check items given by a caller."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from genera.data.images.files import read_image
from genera.data.images.pixels import Form
from genera.data.images.store import to_float
from genera.errors import GeneraError


def read_items(items: Sequence[Any], kind: str, assets: Any, method: str) -> Sequence[Any]:
    """Convert `items` to the input format of the model. Raises GeneraError for no items or items of another type.

    Sentences are `str`. Images are tensors (C, S, S) in [-1, 1] of the size that the model was trained on, or files and
    PIL images of any size, which are cropped to their centre square and resized.
    """
    if isinstance(items, str) or len(items) == 0:
        raise GeneraError(f"expected a list of at least one item, got {items!r}.")
    if kind == "text":
        for item in items:
            if not isinstance(item, str):
                raise GeneraError(f"{method} expects sentences, got {_told(item)}.")
    elif kind in ("images", "image-pairs"):
        shape = (assets.channels, assets.size, assets.size)
        form = Form(assets.size, assets.channels, "centre")
        items = [_image(item, form) for item in items]
        for item in items:
            if not isinstance(item, torch.Tensor) or item.shape != shape:
                wanted = "x".join(map(str, shape))
                raise GeneraError(
                    f"{method} expects images (files, PIL images, or tensors {wanted} in [-1, 1]), got {_told(item)}."
                )
    return items


def _image(item: Any, form: Form) -> Any:
    """Convert an image file or PIL image to a tensor; return anything else unchanged."""
    if isinstance(item, Image.Image):
        return to_float(form.fit(item))
    if isinstance(item, Path) or (isinstance(item, str) and Path(item).expanduser().is_file()):
        return read_image(Path(item).expanduser(), form)
    return item


def _told(item: Any) -> str:
    if isinstance(item, torch.Tensor):
        return f"a tensor {'x'.join(map(str, item.shape)) or 'of one value'}"
    return f"{item!r:.60}" if isinstance(item, str) else f"a {type(item).__name__}"
