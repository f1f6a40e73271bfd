"""The images of one split, read by number, in files, arrays or worlds."""

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
        """(N,) indices into the source's classes; None without labels"""
        ...

    def __len__(self) -> int: ...

    def content(self, row: int) -> bytes:
        """The bytes of image `row` whose hash decides whether it is held out."""
        ...

    def read(self, rows: NDArray[np.int64], form: Form) -> NDArray[np.uint8]:
        """(B, C, side, side) in 0..255. Raises GeneraError, with the image's name, when one cannot be read."""
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
    """The world that the images are drawn from, or None; its splits are disjoint by construction."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The named splits of the source; () if all images are "train"."""
        return in_order(part.split for part in self.parts)


@dataclass(frozen=True)
class EncodedImages:
    """Encoded images (the content of image files), decoded when read."""

    split: str
    count: int
    content: Callable[[int], bytes]
    name: Callable[[int], str]
    """The name of image i in messages."""
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.count

    def read(self, rows: NDArray[np.int64], form: Form) -> NDArray[np.uint8]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the GIL
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
    """Images drawn from a world with seed 0, regardless of the training seed."""

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
