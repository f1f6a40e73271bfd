"""Images of any file format, mode and size, brought to one shape: uint8 (C, S, S), 0..255."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from genera.data.images.config import Crop
from genera.errors import GeneraError, reason

LARGER = 286 / 256
"""Stored size relative to the crop size for random crops (U-GAT-IT: 286 for crops of 256)."""


@dataclass(frozen=True)
class Form:
    """The common shape of a data set's images."""

    size: int
    """S: height and width"""
    channels: int
    """C: 1 or 3"""
    crop: Crop

    @property
    def side(self) -> int:
        """Height and width of stored images: larger than `size` if random crops are taken."""
        return round(self.size * LARGER) if self.crop == "random" else self.size

    def fit(self, image: Image.Image) -> NDArray[np.uint8]:
        """(C, side, side) of an image of any size and mode. Resizing is bicubic and antialiased."""
        image = _eight_bits(image, self.channels)
        if image.size != (self.side, self.side):
            if self.crop == "none":
                image = image.resize((self.side, self.side), Image.Resampling.BICUBIC)
            else:
                image = ImageOps.fit(image, (self.side, self.side), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode(content: bytes, where: str) -> Image.Image:
    """The image in a file's bytes, upright. Raises GeneraError, with `where`, when it is damaged or not an image."""
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
        return ImageOps.exif_transpose(image)
    except Exception as error:  # a damaged image can raise almost anything
        problem = "empty" if not content else reason(error).replace("<_io.BytesIO object", "<content")
        raise GeneraError(f"{where} is not a readable image ({problem}); fetch it again or remove it.") from None


def _eight_bits(image: Image.Image, channels: int) -> Image.Image:
    """RGB, or L for one channel."""
    if image.mode == "F":
        raise GeneraError("floating-point images have no known range; store them with 8 or 16 bits.")
    if image.mode.startswith("I"):  # 16 bits, in whatever byte order
        grey = np.asarray(image).clip(0, 65535) / 257
        image = Image.fromarray(grey.round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("L" if channels == 1 else "RGB")
