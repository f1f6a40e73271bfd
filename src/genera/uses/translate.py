"""Translate a folder of images with a trained model."""

from pathlib import Path

import torch

from genera.console import track
from genera.data.images.files import read_image, write_png
from genera.data.images.formats import find_images
from genera.data.images.pixels import Form
from genera.errors import GeneraError
from genera.uses.run import Run

IMAGES_AT_ONCE = 16


def translate_folder(run: Run, folder: Path, out: Path, direction: str, *, attention: bool = False) -> list[Path]:
    """Translate every image in `folder` and write it to `out` as a PNG of the same name.

    Images of any size and mode are converted to the run's: cropped to their centre square, unless the run squeezed its
    images. attention: also write the attention map of each image as NAME.attention.png, of the image's size, white for
    the highest attention. Raises GeneraError for a folder without images, a damaged image, two images of the same name,
    or a run that does not translate images.
    """
    if run.method.dataset.kind != "image-pairs":
        raise GeneraError(f"{run.folder.path} is a run of {run.config.method}, which does not translate images.")
    folder = folder.expanduser()
    files = find_images(folder)
    targets = [(out / file.relative_to(folder)).with_suffix(".png") for file in files]
    if twice := {target for target in targets if targets.count(target) > 1}:
        raise GeneraError(f"two images of {folder} would both be written to {min(twice)}; rename one of them.")
    config = run.config.data
    form = Form(config.image_size, config.channels, "none" if config.crop == "none" else "centre")
    written = []
    for first in track(range(0, len(files), IMAGES_AT_ONCE), "translating"):
        images = [read_image(file, form) for file in files[first : first + IMAGES_AT_ONCE]]
        some = targets[first : first + IMAGES_AT_ONCE]
        for target, image in zip(some, run.translate(images, direction), strict=True):
            write_png(target, image)
        written += some
        if attention:
            maps = torch.stack(run.attention(images, direction))[:, None] * 2 - 1
            large = torch.nn.functional.interpolate(maps, size=images[0].shape[1:], mode="bilinear")
            for target, image in zip(some, large, strict=True):
                write_png(target.with_suffix(".attention.png"), image)
    return written
