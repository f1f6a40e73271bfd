"""Convert and check what a caller gives: items, latents, dialogue contexts, numbers."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from genera.data.arrays import read_npz
from genera.data.images.files import read_image
from genera.data.images.pixels import Form
from genera.data.images.store import to_float
from genera.engine.capabilities import Posterior
from genera.errors import GeneraError


def read_items(items: Sequence[Any], kind: str, assets: Any, method: str) -> Sequence[Any]:
    """Convert `items` to the input format of the model. Raises GeneraError for no items or items of another type.

    Sentences are `str`. Images are tensors (C, S, S) in [-1, 1] of the size that the model was trained on, or files and
    PIL images of any size, which are cropped to their centre square and resized.
    """
    if isinstance(items, str | bytes | Mapping) or not hasattr(items, "__len__") or len(items) == 0:
        raise GeneraError(f"expected a list of at least one item, got {_told(items)}.")
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


def read_latents(latents: Any, size: int) -> Tensor:
    """(B, size) float latents from any of: a tensor or array, a Posterior (its mean), the .npz of `genera encode` (its
    path, or what np.load gives of it).

    Raises GeneraError for another shape or type, no rows, values that are not finite, and a file that cannot be read.
    """
    where = "latents"
    if isinstance(latents, str | Path):
        where, latents = f"the latents of {latents}", _mean_of(Path(latents).expanduser())
    elif isinstance(latents, Posterior):
        latents = latents.mean
    elif isinstance(latents, Mapping):
        if "mean" not in latents:
            raise GeneraError(f"{where} need an array `mean`, as `genera encode --out` writes; got {sorted(latents)}.")
        latents = latents["mean"]
    try:
        z = torch.as_tensor(latents).detach()
    except (TypeError, ValueError, RuntimeError):
        raise GeneraError(
            f"{where} must be numbers (a tensor, an array, a Posterior or the .npz of genera encode), got "
            f"{_told(latents)}."
        ) from None
    if not z.numel():
        raise GeneraError(f"{where} are empty; give at least one row of {size} numbers.")
    if z.ndim != 2 or z.shape[1] != size:
        raise GeneraError(f"{where} must have the shape (items, {size}), got {tuple(z.shape)}.")
    if z.dtype == torch.bool or z.is_complex():
        raise GeneraError(f"{where} must be real numbers, got {z.dtype}.")
    z = z.to(torch.get_default_dtype())
    finite = z.isfinite().all(1)
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        raise GeneraError(f"{where} must be finite; row {bad} of {len(z)} has a NaN or infinity.")
    return z


def _mean_of(path: Path) -> Any:
    """The array `mean` of an .npz file."""
    arrays = read_npz(path, ("mean",))
    if "mean" not in arrays:
        raise GeneraError(f"{path} has no array `mean`; write latents with genera encode RUN ITEM … --out FILE.npz.")
    return arrays["mean"]


def read_context(context: Any) -> list[str]:
    """The turns of a dialogue, oldest first. Raises GeneraError for anything but a list of at least one text."""
    if not isinstance(context, list | tuple) or not context or not all(isinstance(turn, str) for turn in context):
        raise GeneraError(f"a context is a list of at least one turn, each a text; got {_told(context)}.")
    return list(context)


def at_least(least: int, value: Any, name: str) -> int:
    """`value` as an int. Raises GeneraError if it is not a whole number, or less than `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise GeneraError(f"{name} must be a whole number, got {value!r}.")
    if value < least:
        raise GeneraError(f"{name} must be at least {least}, got {value}.")
    return int(value)


def finite(value: Any, name: str) -> float:
    """`value` as a float. Raises GeneraError if it is not a finite number."""
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise GeneraError(f"{name} must be a finite number, got {value!r}.")
    return float(value)


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
    return f"{item!r:.60}" if isinstance(item, str | list | tuple | None) else f"a {type(item).__name__}"
