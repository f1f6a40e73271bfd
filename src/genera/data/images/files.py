"""Image files as tensors, and tensors as image files."""

import io
from pathlib import Path

from PIL import Image
from torch import Tensor

from genera.data.images.formats import SUFFIXES, existing_folder
from genera.data.images.pixels import Form, decode
from genera.data.images.store import to_float, to_uint8
from genera.errors import GeneraError
from genera.files import atomic


def find_images(folder: Path) -> list[Path]:
    """All image files in a folder and its subfolders, except hidden ones. Raises GeneraError if there are none."""
    files = [
        file
        for file in sorted(existing_folder(str(folder)).rglob("*"))
        if file.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    if not files:
        raise GeneraError(f"the folder {folder} has no images ({', '.join(sorted(SUFFIXES))}).")
    return files


def read_image(file: Path, form: Form) -> Tensor:
    """(C, side, side) in [-1, 1]. Raises GeneraError, with the file's name, when it cannot be read."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise GeneraError(f"cannot read {file}: {error.strerror}.") from None
    return to_float(form.fit(decode(content, str(file))))


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
