"""Rendered colour images whose factors are known: one shape on a plain background, at any size.

Every shape is a star of n equal rays: in each half ray the outline is the straight line from a tip at distance R to a
notch at distance ρR. ρ = cos(π/n) gives the regular polygon, a smaller ρ a star. So one formula renders them all, and
its inverse reads the factors back from pixels.
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
"""Ranges of R, and of x and y, where the image reaches from −1 to 1: a shape never touches the border."""
OUTLINE = 0.07
"""Width of the line of an outlined shape, in the same unit."""
VALID = 0.6
"""Largest distance from the nearest image of the world that still counts as one of its images (see
`ShapesWorld.read`): nearly every image saved as JPEG does; one without a shape, or two images mixed, does not."""
FAINT = 0.1
"""Cover below which a pixel is taken for noise."""

_SPLITS = ("train", "valid", "test")
_PIXELS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class ShapeFactors:
    """The factors of N images; every field has the images as its axis."""

    shape: NDArray[np.int64]
    colour: NDArray[np.int64]
    background: NDArray[np.int64]
    size: NDArray[np.float64]
    """R: from the centre to a tip"""
    x: NDArray[np.float64]
    """to the right, −1..1"""
    y: NDArray[np.float64]
    """downwards, −1..1"""
    rotation: NDArray[np.float64]
    """radians clockwise, in [0, 2π/n)"""
    label: NDArray[np.int64]
    """the class that the image was drawn for"""

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> Self:
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class ShapesWorld:
    """Images of one shape each. The images of one shape, colour and background form a smooth manifold."""

    name: str
    backgrounds: tuple[str, ...] = tuple(LIGHT | DARK)
    outlined: bool = False
    overlap: bool = False
    """Class c shows shape c or c + 1, so that each shape belongs to two classes; else the class is the shape."""
    stream: int = 0
    """Worlds of different streams draw different images from equal seeds."""
    dimension: int = field(default=4, init=False)
    """of that manifold: x, y, size, rotation"""
    valid: float = field(default=VALID, init=False)

    @cached_property
    def factors(self) -> dict[str, tuple[str, ...]]:
        """The factors with named values; the others are size, x, y and rotation."""
        return {"shape": tuple(SHAPES_OF), "colour": tuple(COLOURS), "background": self.backgrounds}

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The factors without names, and between what they lie; the range of the rotation depends on the shape."""
        return {"size": SIZE, "x": PLACE, "y": PLACE}

    @property
    def classes(self) -> tuple[str, ...]:
        names = tuple(SHAPES_OF)
        return (
            tuple(f"{a}-or-{b}" for a, b in zip(names, names[1:] + names[:1], strict=True)) if self.overlap else names
        )

    def draw(self, count: int, *, seed: int = 0, split: str = "train") -> ShapeFactors:
        """The factors of `count` images, each uniform and independent. Fewer are the beginning of more.

        Different splits and seeds draw from streams of their own: the continuous factors make a repetition impossible
        in practice.
        """
        if split not in _SPLITS:
            raise unknown("split", split, _SPLITS)
        bits = np.random.PCG64([seed, _SPLITS.index(split), self.stream])
        # From the raw stream, which unlike Generator's methods never changes between versions of numpy.
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
        """(N,) places in `classes`"""
        return factors.label

    def belongs(self, factors: ShapeFactors, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(N,): whether an image with these factors can be one of the class that `labels` names."""
        return (factors.shape == labels) | (self.overlap & (factors.shape == (labels + 1) % len(SHAPES_OF)))

    def render(self, factors: ShapeFactors, size: int) -> NDArray[np.uint8]:
        """(N, 3, size, size) RGB, 0..255, antialiased by the part of each pixel that the shape covers."""
        images = np.empty((len(factors), 3, size, size), np.uint8)
        for rows in _chunks(len(factors), size):
            part = factors[rows]
            back, front = self._palette[part.background], _COLOURS[part.colour]
            cover = self._coverage(part, size)[:, None]
            blend = back[:, :, None, None] + cover * (front - back)[:, :, None, None]
            images[rows] = blend.round()
        return images

    def read(self, images: NDArray[np.uint8]) -> tuple[ShapeFactors, NDArray[np.float64]]:
        """The factors of the nearest image of this world, and how far it is (N,): the root mean square difference from
        it, over that which its shape makes on the background. 0 is exact, 1 is as far as an image without a shape.

        images: (N, 3, S, S) RGB, 0..255. The label that is read is the class of the shape itself.
        Raises GeneraError for images of another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise GeneraError(f"images of {self.name} are (N, 3, S, S), got {'x'.join(map(str, images.shape))}.")
        parts = [self._read(images[rows].astype(np.float32)) for rows in _chunks(len(images), 2 * images.shape[2])]
        columns = {
            f.name: np.concatenate([getattr(found, f.name) for found, _ in parts] or [np.empty(0, np.int64)])
            for f in fields(ShapeFactors)
        }
        return ShapeFactors(**columns), np.concatenate([far for _, far in parts] or [np.empty(0)])

    # -- inside -------------------------------------------------------------------------------------------------------

    @cached_property
    def _palette(self) -> NDArray[np.float32]:
        return np.array([(LIGHT | DARK)[name] for name in self.backgrounds], np.float32)

    def _coverage(self, factors: ShapeFactors, size: int) -> NDArray[np.float32]:
        """(N, size, size): the covered part of each pixel, 0..1."""
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
        """Background from the border, colour by projection, place and rotation from moments, shape and size by trying
        each shape with the size that gives the covered area."""
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

        # Moments see the shape alone: noise elsewhere would pull the centre and, far out, decide the rotation.
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
        found = ShapeFactors(**picked)
        again = self.render(found, side).astype(np.float32)
        missed = ((again - images) ** 2).sum((1, 2, 3), dtype=np.float64)
        made = ((again - back[:, :, None, None]) ** 2).sum((1, 2, 3), dtype=np.float64)
        return found, np.sqrt(missed / made)

    def _radius(self, area: NDArray, shape: int) -> NDArray:
        """R of the shape that covers `area`."""
        unit = _RAYS[shape] * _NOTCHES[shape] * np.sin(np.pi / _RAYS[shape])
        if not self.outlined:
            return np.sqrt(area / unit)
        shrink = OUTLINE / _APOTHEMS[shape]  # the inner outline is the outer one with R - shrink
        return (area / unit + shrink**2) / (2 * shrink)


@dataclass(frozen=True)
class ShapePairs:
    """Two domains, unpaired, between which the true translation is known: filled shapes on light backgrounds, and
    outlined shapes of the complementary colour on dark ones. Shape, place, size and rotation stay."""

    name: str
    a: ShapesWorld
    b: ShapesWorld

    def translated(self, factors: ShapeFactors) -> ShapeFactors:
        """The factors in the other domain; the map is its own inverse."""
        return replace(factors, colour=(factors.colour + len(COLOURS) // 2) % len(COLOURS))

    def translate(self, images: NDArray[np.uint8], to: str) -> NDArray[np.uint8]:
        """The true translation of images of one domain into domain `to` ("a" or "b"); (N, 3, S, S) uint8 both."""
        source, target = {"b": (self.a, self.b), "a": (self.b, self.a)}[to]
        return target.render(self.translated(source.read(images)[0]), images.shape[2])


def _arms(weight: NDArray, centres: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Every pixel's place x + iy relative to the centre of mass (N, S, S); that centre's x and y; the mass (N,)."""
    mass = np.maximum(weight.sum((1, 2)), 1e-6)
    x, y = (weight.sum(1) @ centres) / mass, (weight.sum(2) @ centres) / mass
    return (centres[None, None, :] - x[:, None, None]) + 1j * (centres[None, :, None] - y[:, None, None]), x, y, mass


def _centres(size: int) -> NDArray[np.float32]:
    """Of the pixels, in −1..1."""
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
"""Direction of the outline's outer normal in a half ray whose tip lies at angle 0."""
_APOTHEMS = np.cos(_NORMALS)
"""Distance of that line from the centre for R = 1."""

SHAPES = ShapesWorld("shapes")
SHAPES_OVERLAP = ShapesWorld("shapes-overlap", overlap=True, stream=3)
SHAPES_PAIRS = ShapePairs(
    "shapes-pairs",
    a=ShapesWorld("shapes-pairs/a", tuple(LIGHT), stream=1),
    b=ShapesWorld("shapes-pairs/b", tuple(DARK), outlined=True, stream=2),
)
