import numpy as np
import pytest
import torch
from PIL import Image

from genera.errors import GeneraError
from genera.uses.grids import GAP, grid, write_grid


def flat(*values, size=64, channels=3):
    return [torch.full((channels, size, size), value) for value in values]


def test_images_stand_row_by_row_between_white_gaps():
    picture = np.asarray(grid(flat(-1.0, 0.0, 1.0), columns=2))
    assert picture.shape == (128 + GAP, 128 + GAP, 3)
    assert (picture[:64, :64] == 0).all()
    assert (picture[:64, 64 + GAP :] == 128).all()
    assert (picture[64 : 64 + GAP] == 255).all()
    assert grid(flat(*[0.0] * 9)).size == (3 * 64 + 2 * GAP, 3 * 64 + 2 * GAP)


def test_small_and_grey_images_can_be_seen():
    assert grid(flat(0.0, size=28, channels=1)).size == (56, 56)
    assert grid(flat(0.0, size=128)).size == (128, 128)


def test_written_whole_as_png(tmp_path):
    path = write_grid(tmp_path / "new" / "grid.png", flat(1.0, -1.0))
    assert Image.open(path).format == "PNG"
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]
    with pytest.raises(GeneraError, match=r"grid\.jpg must end in \.png"):
        write_grid(tmp_path / "grid.jpg", flat(1.0))
    with pytest.raises(GeneraError, match="a grid needs at least one image"):
        grid([])
