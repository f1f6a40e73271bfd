"""Options of image data. No torch."""

from dataclasses import dataclass
from typing import Literal

Crop = Literal["centre", "random", "none"]


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """Image data of a run. Each field is a command-line option."""

    data: str = "world:shapes"
    """Source of the data: idx:DIR, cifar:DIR, images:DIR, npz:FILE, hub:NAME, pairs:DIR or world:NAME."""
    image_size: int = 32
    """Height and width in pixels; images of other sizes are resized (bicubic, antialiased)."""
    channels: Literal[1, 3] = 3
    """3 for RGB, 1 for greyscale; images are converted as needed, and transparent pixels become white."""
    crop: Crop = "centre"
    """centre: resize the shorter side to the image size and crop the central square; random: resize the shorter side to
    286/256 of it and crop a random square (the central one outside training); none: resize both sides, ignoring the
    aspect ratio."""
    flip: bool = False
    """Flip training images horizontally with probability 0.5."""
    limit: int | None = None
    """Use at most this many training images, a fixed random subset (validation and test stay whole)."""
    classes: int = 0
    """Number of classes to assume in a --dry-run, 0 for unlabelled; otherwise the data determines it."""

    def check(self) -> list[str]:
        lowest = {"image_size": 4, "limit": 1, "classes": 0}
        values = {name: getattr(self, name) for name in lowest}
        complaints = [
            f"--{name.replace('_', '-')} must be at least {lowest[name]}, got {value}"
            for name, value in values.items()
            if value is not None and value < lowest[name]
        ]
        if self.channels not in (1, 3):
            complaints.append(f"--channels must be 1 (grey) or 3 (RGB), got {self.channels}")
        return complaints
