"""Images of one split that can be read by number, whatever they come from."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genera.data.images.pixels import Form, decode
from genera.data.splits import in_order


class Part(Protocol):
    """Images of one split, read by number."""

    @property
    def split(self) -> str: ...

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """(N,) places in the source's classes; None where there are none"""
        ...

    def __len__(self) -> int: ...

    def content(self, row: int) -> bytes:
        """What image `row` is held out by."""
        ...

    def read(self, rows: NDArray[np.int64], form: Form) -> NDArray[np.uint8]:
        """(B, C, side, side) in 0..255. Raises GeneraError naming the image that cannot be read."""
        ...


@dataclass(frozen=True)
class ImageSource:
    spec: str
    parts: Sequence[Part]
    classes: tuple[str, ...]
    """Names of the labels; empty without labels."""
    fingerprint: str
    """A hash of everything that the images depend on."""
    world: Any = None
    """Where the images come from, if from a world; its splits hold different images by construction."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the source names; () where all images are of "train"."""
        return in_order(part.split for part in self.parts)


@dataclass(frozen=True)
class EncodedImages:
    """Image files, or what was in them, decoded when asked."""

    split: str
    count: int
    content: Callable[[int], bytes]
    name: Callable[[int], str]
    """What messages call image i."""
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.count

    def read(self, rows: NDArray[np.int64], form: Form) -> NDArray[np.uint8]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding lets go of the interpreter's lock
            return np.stack(list(pool.map(partial(self._read, form=form), rows.tolist())))

    def _read(self, row: int, form: Form) -> NDArray[np.uint8]:
        return form.fit(decode(self.content(row), self.name(row)))


@dataclass(frozen=True)
class ArrayImages:
    """Pixels in one array of uint8."""

    split: str
    pixels: NDArray[np.uint8]
    """(N, H, W) grey, or (N, H, W, 3)"""
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def content(self, row: int) -> bytes:
        return self.pixels[row].tobytes()

    def read(self, rows: NDArray[np.int64], form: Form) -> NDArray[np.uint8]:
        return np.stack([form.fit(Image.fromarray(self.pixels[row])) for row in rows])


@dataclass(frozen=True)
class WorldImages:
    """Images that a world draws with seed 0, whatever the seed of the training."""

    split: str
    world: Any
    count: int
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return self.count

    def content(self, row: int) -> bytes:
        return f"{self.split} {row}".encode()

    def read(self, rows: NDArray[np.int64], form: Form) -> NDArray[np.uint8]:
        drawn = self.world.render(self.world.draw(self.count, split=self.split)[rows], form.side)
        if form.channels == 3:
            return drawn
        return np.stack([form.fit(Image.fromarray(image.transpose(1, 2, 0))) for image in drawn])
