"""Image grids for notebooks and PNG files."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genera.data.images.files import to_pil
from genera.data.images.store import to_uint8
from genera.errors import GeneraError
from genera.files import atomic

GAP = 2
"""White pixels between images."""
LEAST = 64
"""Minimum image height: smaller images are enlarged by an integer factor without smoothing."""


def grid(images: Sequence[Tensor], columns: int | None = None) -> Image.Image:
    """One picture of N images (C, S, S) in [-1, 1], row by row. columns: [a square grid]."""
    if not images:
        raise GeneraError("a grid needs at least one image, got none.")
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    pixels = to_uint8(torch.stack(list(images)).cpu().float()).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    scale = max(1, LEAST // pixels.shape[1])
    pixels = pixels.repeat(scale, 1).repeat(scale, 2)
    count, high, wide, _ = pixels.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (high + GAP) - GAP, columns * (wide + GAP) - GAP, 3), 255, np.uint8)
    for i, image in enumerate(pixels):
        down, across = i // columns * (high + GAP), i % columns * (wide + GAP)
        sheet[down : down + high, across : across + wide] = image
    return Image.fromarray(sheet)


class Pictures(list[Tensor]):
    """Images (C, S, S) in [-1, 1]; notebooks display them as one grid."""

    def __init__(self, images: Iterable[Tensor] = (), columns: int | None = None) -> None:
        """columns: of the grid [a square grid]."""
        super().__init__(images)
        self.columns = columns

    def pil(self) -> list[Image.Image]:
        """Each image as a PIL image of its own size."""
        return [to_pil(image) for image in self]

    def grid(self, columns: int | None = None) -> Image.Image:
        """All of them in one PIL image."""
        return grid(self, columns or self.columns)

    def _repr_png_(self) -> bytes | None:
        if not self:
            return None
        content = io.BytesIO()
        self.grid().save(content, "PNG")
        return content.getvalue()


def write_grid(path: str | Path, images: Sequence[Tensor], columns: int | None = None) -> Path:
    """Write `grid` as a PNG, atomically. Raises GeneraError for another extension, or when writing fails."""
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise GeneraError(f"{path} must end in .png, the only format for image grids.")
    picture = grid(images, columns)
    with atomic(path) as temporary, open(temporary, "wb") as file:
        picture.save(file, "PNG")
    return path
