import io

import numpy as np
import pytest
from PIL import Image

from genera.data.images.pixels import Form, decode
from genera.errors import GeneraError

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (8, 8, 3), np.uint8)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def form(size=8, channels=3, crop="centre"):
    return Form(size, channels, crop)


def test_pixels_of_the_right_size_are_untouched():
    assert (form().fit(decode(encoded(Image.fromarray(RGB)), "a")) == RGB.transpose(2, 0, 1)).all()
    grey = RGB[..., 0]
    assert (form(channels=1).fit(Image.fromarray(grey)) == grey[None]).all()
    assert (form().fit(Image.fromarray(grey)) == grey).all()  # grey is the same in three channels


def test_sixteen_bits_keep_the_range():
    deep = np.array([[0, 257, 128 * 257, 65535]], np.uint16).repeat(4, 0)
    image = decode(encoded(Image.fromarray(deep)), "a")
    assert image.mode.startswith("I")
    assert (form(4, 1).fit(image)[0, 0] == [0, 1, 128, 255]).all()


def test_transparent_parts_become_white():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255
    for image in (Image.fromarray(pixels), Image.fromarray(pixels).convert("LA")):
        fitted = form(4).fit(decode(encoded(image), "a"))
        assert (fitted[:, :2] == 0).all()
        assert (fitted[:, 2:] == 255).all()
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([200, 10, 10])
    assert (form(4).fit(decode(encoded(palette, transparency=0), "a")) == 255).all()
    assert (form(4).fit(decode(encoded(palette), "a"))[0] == 200).all()


def test_cmyk_and_floating_point():
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert (form().fit(decode(encoded(cmyk, "TIFF"), "a"))[:, 0, 0] == [255, 0, 0]).all()
    with pytest.raises(GeneraError, match="floating-point images"):
        form().fit(Image.new("F", (8, 8)))


def test_crops_keep_or_give_up_the_aspect_ratio():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    assert form(10).fit(Image.fromarray(wide)).min() == 255  # the middle square
    whole = form(10, crop="none").fit(Image.fromarray(wide))
    assert whole[0, 0, 0] == 0
    assert whole[0, 0, 5] == 255
    assert form(256, crop="random").side == 286
    assert form(32, crop="random").fit(Image.fromarray(wide)).shape == (3, 36, 36)


def test_shrinking_is_antialiased():
    """A fine chequerboard becomes its mean, not one of its two colours."""
    board = np.indices((64, 64)).sum(0) % 2 * 255
    small = form(8, 1).fit(Image.fromarray(board.astype(np.uint8)))
    assert abs(small.astype(int) - 128).max() < 3


def test_a_photograph_taken_sideways_is_turned_upright():
    image = Image.fromarray(RGB[:4])
    turned = image.getexif()
    turned[0x0112] = 6
    assert decode(encoded(image, exif=turned), "a").size == (4, 8)


@pytest.mark.parametrize("content", [b"", b"no image", encoded(Image.fromarray(RGB))[:-40]])
def test_a_damaged_image_is_named(content):
    with pytest.raises(
        GeneraError, match=r"photos/a\.png is not a readable image \(.*\); fetch it again or remove it"
    ) as e:
        decode(content, "photos/a.png")
    assert "\n" not in str(e.value)
