import io

import numpy as np
import pytest
from PIL import Image

from genera import worlds
from genera.errors import GeneraError
from genera.worlds.shapes import VALID, ShapeFactors

SHAPES, OVERLAP, PAIRS = (worlds.load(name) for name in ("shapes", "shapes-overlap", "shapes-pairs"))
NAMED = ("shape", "colour", "background")


@pytest.mark.parametrize("world", [SHAPES, PAIRS.a, PAIRS.b], ids=["shapes", "a", "b"])
@pytest.mark.parametrize("size", [28, 32, 48])
def test_factors_are_read_back_from_pixels(world, size):
    factors = world.draw(400, split="test")
    found, far = world.read(world.render(factors, size))
    for name in NAMED:
        assert (getattr(found, name) == getattr(factors, name)).all(), name
    for name, tolerance in (("size", 0.03), ("x", 0.02), ("y", 0.02)):
        assert np.abs(getattr(found, name) - getattr(factors, name)).max() < tolerance, name
    rays = 2 * np.pi / np.array([2, 3, 4, 4, 5, 6])[factors.shape]
    turned = np.abs(found.rotation - factors.rotation) % rays
    assert np.minimum(turned, rays - turned).max() < 0.1
    assert far.max() < VALID
    assert np.median(far) < 0.1


def test_a_square_covers_the_pixels_that_it_should():
    """Hand-computed: side R√2, centred, unturned by 45°; area 2R² of the image's 4."""
    one = np.zeros(1, np.int64)
    square = ShapeFactors(one + 2, one, one, one + 0.5, one * 0.0, one * 0.0, one + np.pi / 4, one)
    image = SHAPES.render(square, 64)[0].astype(float)
    inside, outside = image[:, 32, 32], image[:, 0, 0]
    covered = (image - outside[:, None, None])[0] / (inside - outside)[0]
    assert covered.sum() / 64**2 == pytest.approx(2 * 0.5**2 / 4, rel=0.01)
    half = 32 * 0.5 / np.sqrt(2)
    edge = np.abs(np.arange(64) + 0.5 - 32)
    assert (covered[32] == 1).tolist() == (edge < half - 0.5).tolist()
    assert (covered[32] == 0).tolist() == (edge > half + 0.5).tolist()


def test_rendering_is_the_same_picture_at_every_size():
    factors = SHAPES.draw(50)
    large, small = SHAPES.render(factors, 128), SHAPES.render(factors, 32)
    shrunk = large.reshape(50, 3, 32, 4, 32, 4).mean((3, 5))
    assert np.abs(shrunk - small).mean() < 1.0


def test_draws_are_seeded_nested_and_uniform():
    many, few = SHAPES.draw(6000), SHAPES.draw(10)
    assert (many[:10].x == few.x).all()
    assert (many.shape[:10] == few.shape).all()
    assert (SHAPES.draw(10, seed=1).x != few.x).all()
    for name, values in SHAPES.factors.items():
        counts = np.bincount(getattr(many, name), minlength=len(values))
        assert counts.min() > 0.85 * 6000 / len(values), name
    assert set(many.label) == set(range(6))
    assert (many.label == many.shape).all()


def test_splits_and_domains_share_no_image():
    images = [world.render(world.draw(500, split=split), 16) for world in (SHAPES, OVERLAP, PAIRS.a, PAIRS.b)
              for split in ("train", "valid", "test")]  # fmt: skip
    every = {image.tobytes() for part in images for image in part}
    assert len(every) == 500 * len(images)
    with pytest.raises(GeneraError, match="unknown split 'tset'; did you mean test"):
        SHAPES.draw(1, split="tset")


def test_overlapping_classes_share_every_shape_by_halves():
    factors = OVERLAP.draw(6000)
    assert OVERLAP.classes[0] == "diamond-or-triangle"
    for label in range(6):
        counts = np.bincount(factors.shape[factors.label == label], minlength=6)
        assert set(np.flatnonzero(counts)) == {label, (label + 1) % 6}
        assert 0.4 < counts[label] / counts.sum() < 0.6


def test_the_true_translation_keeps_what_it_should_and_comes_back():
    images = PAIRS.a.render(PAIRS.a.draw(200), 48)
    there = PAIRS.translate(images, "b")
    a, b = PAIRS.a.read(images)[0], PAIRS.b.read(there)[0]
    assert (a.shape == b.shape).all()
    assert ((a.colour - b.colour) % 6 == 3).all()
    assert np.abs(a.x - b.x).max() < 0.03
    assert {PAIRS.b.factors["background"][i] for i in b.background} <= {"black", "brown", "slate"}
    back = PAIRS.translate(there, "a")
    same = a.background == PAIRS.a.read(back)[0].background
    assert same.all()
    assert np.abs(back.astype(float) - images).mean() < 3


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


def test_what_is_no_image_of_the_world_lies_far_from_it():
    factors = SHAPES.draw(200, split="valid")
    images = SHAPES.render(factors, 32)
    noise = np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
    empty = images[:, :, :1, :1].repeat(32, 2).repeat(32, 3)
    mixed = (images / 2 + images[::-1] / 2).astype(np.uint8)
    for wrong in (noise, empty, mixed):
        assert (SHAPES.read(wrong)[1] > VALID).mean() > 0.95
    found, far = SHAPES.read(np.stack([jpeg(image) for image in images]))
    assert (far < VALID).mean() > 0.95
    for name in NAMED:
        assert (getattr(found, name) == getattr(factors, name)).mean() > 0.85
    with pytest.raises(GeneraError, match="images of shapes are"):
        SHAPES.read(images[:, :1])


def test_reading_no_images():
    found, far = SHAPES.read(np.zeros((0, 3, 32, 32), np.uint8))
    assert len(found) == len(far) == 0
