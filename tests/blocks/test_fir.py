"""Resampling against scipy's upfirdn, and what a good resampler keeps."""

import pytest
import torch
from scipy.signal import upfirdn
from torch.testing import assert_close

from genera.blocks.fir import downsample2d, filter2d, upfirdn2d, upsample2d


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("padding", [(0, 0), (2, 1), (-1, 3)])
def test_it_is_scipys_upfirdn_along_both_axes(up, down, padding):
    """Scipy pads nothing: its filter runs over the whole of the zero-inserted signal, which padding here cuts out."""
    torch.manual_seed(0)
    x, taps = torch.randn(2, 3, 7, 8, dtype=torch.float64), torch.tensor([1.0, -2, 3, 0.5], dtype=torch.float64)
    ours = upfirdn2d(x, torch.outer(taps, taps), up=up, down=down, padding=padding)

    def along(values, axis):
        """All outputs of the padded signal: pad by hand in the zero-inserted signal, then `down` of the valid ones."""
        inserted = upfirdn([1.0], values, up=up, axis=axis)
        trailing = [(0, 0)] * 4
        trailing[axis] = (0, values.shape[axis] * up - inserted.shape[axis])
        inserted = torch.nn.functional.pad(torch.from_numpy(inserted), _pads(axis, (0, trailing[axis][1])))
        inserted = torch.nn.functional.pad(inserted, _pads(axis, padding))
        full = torch.from_numpy(upfirdn(taps.numpy(), inserted.numpy(), axis=axis))
        return full.narrow(axis, 3, inserted.shape[axis] - 3)[(slice(None),) * axis + (slice(None, None, down),)]

    assert_close(ours, along(along(x.numpy(), 2).numpy(), 3))


def _pads(axis, amounts):
    return (0, 0, *amounts) if axis == 2 else (*amounts, 0, 0)


def test_up_and_down_change_the_size_and_keep_constants():
    x, kernel = torch.full((1, 2, 8, 8), 3.0), filter2d()
    up, down = upsample2d(x, kernel), downsample2d(x, kernel)
    assert up.shape == (1, 2, 16, 16)
    assert down.shape == (1, 2, 4, 4)
    assert_close(up[..., 2:-2, 2:-2], torch.full((1, 2, 12, 12), 3.0))
    assert_close(down[..., 1:-1, 1:-1], torch.full((1, 2, 2, 2), 3.0))


def test_down_is_the_transpose_of_up():
    """<up(x), y> = 4 <x, down(y)>: the filter is symmetric and up has the gain of four."""
    x, y = torch.randn(1, 1, 6, 6, dtype=torch.float64), torch.randn(1, 1, 12, 12, dtype=torch.float64)
    kernel = filter2d().double()
    assert_close((upsample2d(x, kernel) * y).sum(), 4 * (x * downsample2d(y, kernel)).sum())


@pytest.mark.parametrize("resample", [upsample2d, downsample2d])
def test_second_derivatives(resample):
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    kernel = filter2d().double()
    assert torch.autograd.gradgradcheck(lambda x: resample(x, kernel).pow(3), (x,))
