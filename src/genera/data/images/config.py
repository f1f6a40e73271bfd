"""Where the images of a run come from and how they are brought to one shape. No torch."""

from dataclasses import dataclass
from typing import Literal

Crop = Literal["centre", "random", "none"]


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """Image data of a run. Each field is a command-line option."""

    data: str = "world:shapes"
    """Source of the data: idx:DIR, cifar:DIR, images:DIR, npz:FILE, hub:NAME, pairs:DIR or world:NAME."""
    image_size: int = 32
    """Height and width in pixels that every image is brought to (antialiased bicubic where it has another size)."""
    channels: Literal[1, 3] = 3
    """3 for RGB, 1 for grey; images of the other kind are converted, transparent parts become white."""
    crop: Crop = "centre"
    """centre: shorter side to the size, middle square; random: shorter side to 286/256 of it, a random square each
    time (the middle one outside of training); none: both sides to the size, whatever the aspect ratio."""
    flip: bool = False
    """Mirror every other training image from left to right, at random."""
    limit: int | None = None
    """Use only so many training images, a fixed random choice (validation and test stay whole)."""
    classes: int = 0
    """Number of classes that --dry-run supposes, 0 for unlabelled; real data brings its own."""

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
