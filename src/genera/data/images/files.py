"""Image files as tensors, and tensors as image files."""

import io
from pathlib import Path

from PIL import Image
from torch import Tensor

from genera.data.images.pixels import Form, decode
from genera.data.images.store import to_float, to_uint8
from genera.files import atomic, read_bytes


def read_image(file: Path, form: Form) -> Tensor:
    """(C, side, side) in [-1, 1]. Raises GeneraError, with the file's name, when it cannot be read."""
    return to_float(form.fit(decode(read_bytes(file), str(file))))


def to_pil(image: Tensor) -> Image.Image:
    """image: (C, H, W) in [-1, 1], C = 1 grey (mode L) or 3 RGB."""
    pixels = to_uint8(image.detach().cpu()).permute(1, 2, 0).numpy()
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)


def write_png(file: Path, image: Tensor) -> None:
    """image: (C, H, W) in [-1, 1], C = 1 grey or 3 RGB."""
    encoded = io.BytesIO()
    to_pil(image).save(encoded, "PNG")
    with atomic(file) as temporary:
        temporary.write_bytes(encoded.getvalue())
