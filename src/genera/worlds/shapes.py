"""Rendered colour images with known factors: one shape on a plain background, at any image size.

Every shape is a star of n equal rays: in each half ray, the outline is the straight line from a tip at distance R to a
notch at distance ρR. ρ = cos(π/n) gives a regular polygon, a smaller ρ a star. A single formula renders all shapes, and
its inverse recovers the factors from pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError, unknown

SHAPES_OF = {
    "diamond": (2, 0.5),
    "triangle": (3, 0.5),
    "square": (4, 0.7071),
    "spark": (4, 0.35),
    "star": (5, 0.45),
    "hexagram": (6, 0.6),
}
"""name → (n, ρ)"""
COLOURS = {
    "red": (225, 45, 45),
    "yellow": (240, 205, 40),
    "green": (50, 170, 60),
    "cyan": (50, 190, 215),
    "blue": (50, 75, 220),
    "magenta": (205, 60, 190),
}
LIGHT = {"white": (245, 245, 245), "sand": (215, 195, 165), "silver": (165, 175, 185)}
DARK = {"black": (15, 15, 15), "brown": (75, 50, 35), "slate": (55, 65, 80)}
SIZE, PLACE = (0.28, 0.5), (-0.45, 0.45)
"""Ranges of R and of x and y, in units where the image spans −1 to 1. Shapes never touch the border."""
OUTLINE = 0.07
"""Line width of outlined shapes, in the same units."""
VALID = 0.6
"""Maximum distance from the nearest image of the world (see `ShapesWorld.read`) for an image to count as valid. Nearly
all images of the world saved as JPEG are valid; an image without a shape or a blend of two images is not."""
FAINT = 0.1
"""Coverage below which a pixel counts as noise."""

_SPLITS = ("train", "valid", "test")
_PIXELS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class ShapeFactors:
    """The factors of N images; every field has shape (N,)."""

    shape: NDArray[np.int64]
    colour: NDArray[np.int64]
    background: NDArray[np.int64]
    size: NDArray[np.float64]
    """R, the distance from the centre to a tip"""
    x: NDArray[np.float64]
    """to the right, −1..1"""
    y: NDArray[np.float64]
    """downwards, −1..1"""
    rotation: NDArray[np.float64]
    """radians clockwise, in [0, 2π/n)"""
    label: NDArray[np.int64]
    """the class of the image"""

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> Self:
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class ShapesWorld:
    """Images of one shape each. Images with the same shape, colour and background form a smooth manifold."""

    name: str
    backgrounds: tuple[str, ...] = tuple(LIGHT | DARK)
    outlined: bool = False
    overlap: bool = False
    """if True, class c shows shape c or c + 1, so each shape belongs to two classes; else the class is the shape"""
    stream: int = 0
    """worlds with different streams draw different images from the same seed"""
    dimension: int = field(default=4, init=False)
    """of that manifold: x, y, size, rotation"""
    valid: float = field(default=VALID, init=False)

    @cached_property
    def factors(self) -> dict[str, tuple[str, ...]]:
        """The factors with named values. The other factors are size, x, y and rotation."""
        return {"shape": tuple(SHAPES_OF), "colour": tuple(COLOURS), "background": self.backgrounds}

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Ranges of the continuous factors except rotation, whose range depends on the shape."""
        return {"size": SIZE, "x": PLACE, "y": PLACE}

    @property
    def classes(self) -> tuple[str, ...]:
        names = tuple(SHAPES_OF)
        return (
            tuple(f"{a}-or-{b}" for a, b in zip(names, names[1:] + names[:1], strict=True)) if self.overlap else names
        )

    def draw(self, count: int, *, seed: int = 0, split: str = "train") -> ShapeFactors:
        """The factors of `count` images, uniform and independent. A smaller `count` gives a prefix.

        Splits and seeds use separate random streams; with continuous factors, duplicates practically never occur.
        """
        if split not in _SPLITS:
            raise unknown("split", split, _SPLITS)
        bits = np.random.PCG64([seed, _SPLITS.index(split), self.stream])
        # The raw bit stream, unlike the methods of Generator, is stable across NumPy versions.
        u = ((bits.random_raw(8 * count) >> np.uint64(11)) / 2.0**53).reshape(count, 8).T
        shape = (u[0] * len(SHAPES_OF)).astype(np.int64)
        second = (u[7] < 0.5) & self.overlap
        return ShapeFactors(
            shape=shape,
            colour=(u[1] * len(COLOURS)).astype(np.int64),
            background=(u[2] * len(self.backgrounds)).astype(np.int64),
            size=SIZE[0] + u[3] * (SIZE[1] - SIZE[0]),
            x=PLACE[0] + u[4] * (PLACE[1] - PLACE[0]),
            y=PLACE[0] + u[5] * (PLACE[1] - PLACE[0]),
            rotation=u[6] * 2 * np.pi / _RAYS[shape],
            label=(shape - second) % len(SHAPES_OF),
        )

    def labels(self, factors: ShapeFactors) -> NDArray[np.int64]:
        """(N,) indices into `classes`"""
        return factors.label

    def belongs(self, factors: ShapeFactors, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(N,): whether an image with these factors can belong to the class in `labels`."""
        return (factors.shape == labels) | (self.overlap & (factors.shape == (labels + 1) % len(SHAPES_OF)))

    def render(self, factors: ShapeFactors, size: int) -> NDArray[np.uint8]:
        """(N, 3, size, size) RGB, 0..255, antialiased by pixel coverage."""
        images = np.empty((len(factors), 3, size, size), np.uint8)
        for rows in _chunks(len(factors), size):
            part = factors[rows]
            back, front = self._palette[part.background], _COLOURS[part.colour]
            cover = self._coverage(part, size)[:, None]
            blend = back[:, :, None, None] + cover * (front - back)[:, :, None, None]
            images[rows] = blend.round()
        return images

    def read(self, images: NDArray[np.uint8]) -> tuple[ShapeFactors, NDArray[np.float64]]:
        """The factors of the nearest image of this world, and the distance to it (N,): the RMS difference, divided by
        the RMS difference between that image and its plain background. 0: exact; 1: as far as an empty image.

        images: (N, 3, S, S) RGB, 0..255. The returned label is the index of the shape.
        Raises GeneraError for images of another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise GeneraError(f"images of {self.name} are (N, 3, S, S), got {'x'.join(map(str, images.shape))}.")
        parts = [self._read(images[rows].astype(np.float32)) for rows in _chunks(len(images), 2 * images.shape[2])]
        columns = {
            f.name: np.concatenate([getattr(factors, f.name) for factors, _ in parts] or [np.empty(0, np.int64)])
            for f in fields(ShapeFactors)
        }
        return ShapeFactors(**columns), np.concatenate([far for _, far in parts] or [np.empty(0)])

    # -- inside -------------------------------------------------------------------------------------------------------

    @cached_property
    def _palette(self) -> NDArray[np.float32]:
        return np.array([(LIGHT | DARK)[name] for name in self.backgrounds], np.float32)

    def _coverage(self, factors: ShapeFactors, size: int) -> NDArray[np.float32]:
        """(N, size, size): the covered fraction of each pixel, 0..1."""
        x, y, turn, radius = (
            getattr(factors, name).astype(np.float32)[:, None, None] for name in ("x", "y", "rotation", "size")
        )
        centres = _centres(size)
        right, down = centres[None, None, :] - x, centres[None, :, None] - y
        sector = (np.pi / _RAYS[factors.shape]).astype(np.float32)[:, None, None]
        angle = (np.arctan2(down, right) - turn) % (2 * sector)
        angle = np.minimum(angle, 2 * sector - angle)  # folded into one half ray
        distance = np.hypot(right, down)
        normal, offset = _NORMALS[factors.shape].astype(np.float32), _APOTHEMS[factors.shape].astype(np.float32)
        # Signed distance from the line between tip and notch, negative inside.
        outside = distance * np.cos(angle - normal[:, None, None]) - radius * offset[:, None, None]
        if self.outlined:
            outside = np.abs(outside + OUTLINE / 2) - OUTLINE / 2
        return (0.5 - outside * (size / 2)).clip(0, 1)

    def _read(self, images: NDArray[np.float32]) -> tuple[ShapeFactors, NDArray[np.float64]]:
        """Background from the border, colour by projection, position and rotation from moments; shape and size by
        trying each shape with the size that matches the covered area."""
        count, _, side, _ = images.shape
        rows = np.arange(count)
        border = np.concatenate([images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]], axis=2)
        background = _nearest(np.median(border, axis=2), self._palette)
        back = self._palette[background]
        towards = _COLOURS - back[:, None]  # (N, colours, 3)
        flat = images.reshape(count, 3, -1) - back[:, :, None]
        along = (towards @ flat / (towards**2).sum(2, keepdims=True)).clip(0, 1)
        # |f - a t|² summed over pixels and channels, without the common |f|²
        lost = -2 * (along * (towards @ flat)).sum(2) + (along**2).sum(2) * (towards**2).sum(2)
        colour = lost.argmin(1)
        cover = along[rows, colour].reshape(count, side, side)

        # Moments of the shape only: noise elsewhere would bias the centre and, far away, the rotation.
        centres = _centres(side)
        arm = _arms(cover * (cover > 0.5), centres)[0]
        shape_alone = cover * ((cover > FAINT) & (np.abs(arm) < SIZE[1] + 2 / side))
        arm, x, y, mass = _arms(shape_alone, centres)
        area = mass * (2 / side) ** 2
        tried, misses = [], []
        for shape, rays in enumerate(_RAYS):
            radius = self._radius(area, shape).clip(*SIZE)
            turn = np.angle((shape_alone * arm**rays).sum((1, 2))) / rays % (2 * np.pi / rays)
            guess = ShapeFactors(
                np.full(count, shape), colour, background, radius, x, y, turn, np.full(count, shape, np.int64)
            )
            tried.append(guess)
            misses.append(((self._coverage(guess, side) - cover) ** 2).sum((1, 2)))
        best = np.argmin(misses, axis=0)
        picked = {
            f.name: np.stack([getattr(guess, f.name) for guess in tried])[best, rows] for f in fields(ShapeFactors)
        }
        factors = ShapeFactors(**picked)
        again = self.render(factors, side).astype(np.float32)
        missed = ((again - images) ** 2).sum((1, 2, 3), dtype=np.float64)
        made = ((again - back[:, :, None, None]) ** 2).sum((1, 2, 3), dtype=np.float64)
        return factors, np.sqrt(missed / made)

    def _radius(self, area: NDArray, shape: int) -> NDArray:
        """R of the shape that covers `area`."""
        unit = _RAYS[shape] * _NOTCHES[shape] * np.sin(np.pi / _RAYS[shape])
        if not self.outlined:
            return np.sqrt(area / unit)
        shrink = OUTLINE / _APOTHEMS[shape]  # the inner boundary is the outer one with radius R - shrink
        return (area / unit + shrink**2) / (2 * shrink)


@dataclass(frozen=True)
class ShapePairs:
    """Two unpaired domains with a known translation: filled shapes on light backgrounds, and outlined shapes of the
    complementary colour on dark backgrounds. Translation keeps shape, position, size and rotation."""

    name: str
    a: ShapesWorld
    b: ShapesWorld

    def translated(self, factors: ShapeFactors) -> ShapeFactors:
        """The factors in the other domain; the mapping is its own inverse."""
        return replace(factors, colour=(factors.colour + len(COLOURS) // 2) % len(COLOURS))

    def translate(self, images: NDArray[np.uint8], to: str) -> NDArray[np.uint8]:
        """The true translation of images into domain `to` ("a" or "b"): (N, 3, S, S) uint8 → the same shape."""
        source, target = {"b": (self.a, self.b), "a": (self.b, self.a)}[to]
        return target.render(self.translated(source.read(images)[0]), images.shape[2])


def _arms(weight: NDArray, centres: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Pixel positions x + iy relative to the centre of mass (N, S, S); x and y of the centre; the mass (N,)."""
    mass = np.maximum(weight.sum((1, 2)), 1e-6)
    x, y = (weight.sum(1) @ centres) / mass, (weight.sum(2) @ centres) / mass
    return (centres[None, None, :] - x[:, None, None]) + 1j * (centres[None, :, None] - y[:, None, None]), x, y, mass


def _centres(size: int) -> NDArray[np.float32]:
    """Pixel centres, in −1..1."""
    return ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)


def _chunks(count: int, size: int) -> Iterator[slice]:
    step = max(1, _PIXELS_AT_ONCE // size**2)
    return (slice(first, first + step) for first in range(0, count, step))


def _nearest(colours: NDArray[np.float32], palette: NDArray[np.float32]) -> NDArray[np.int64]:
    return ((colours[:, None] - palette) ** 2).sum(2).argmin(1)


_COLOURS = np.array(list(COLOURS.values()), np.float32)
_RAYS = np.array([rays for rays, _ in SHAPES_OF.values()])
_NOTCHES = np.array([notch for _, notch in SHAPES_OF.values()])
_TIP_TO_NOTCH = _NOTCHES * np.exp(1j * np.pi / _RAYS) - 1
_NORMALS = np.angle(_TIP_TO_NOTCH) - np.pi / 2
"""Direction of the outer normal of the outline in a half ray whose tip is at angle 0."""
_APOTHEMS = np.cos(_NORMALS)
"""Distance of that line from the centre for R = 1."""

SHAPES = ShapesWorld("shapes")
SHAPES_OVERLAP = ShapesWorld("shapes-overlap", overlap=True, stream=3)
SHAPES_PAIRS = ShapePairs(
    "shapes-pairs",
    a=ShapesWorld("shapes-pairs/a", tuple(LIGHT), stream=1),
    b=ShapesWorld("shapes-pairs/b", tuple(DARK), outlined=True, stream=2),
)
