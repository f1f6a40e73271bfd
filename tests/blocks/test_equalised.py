"""Equalised and modulated layers against their definitions, sample by sample."""

import math

import pytest
import torch
from torch.nn.functional import conv2d
from torch.testing import assert_close

from genera.blocks.equalised import EqualisedConv2d, EqualisedLinear, ModulatedConv2d, activate
from genera.blocks.fir import downsample2d, filter2d, upfirdn2d


def test_activation_keeps_the_second_moment_of_a_rectified_normal():
    """E activate(x)² = 2 (1 + 0.04)/2 for x ~ N(0, 1)."""
    torch.manual_seed(0)
    assert activate(torch.randn(1_000_000)).square().mean().item() == pytest.approx(1.04, rel=0.01)


def test_a_rate_changes_the_speed_and_not_the_function_at_the_start():
    torch.manual_seed(0)
    slow = EqualisedLinear(400, 400, rate=0.01)
    x = torch.randn(400, 400)
    assert slow(x).std().item() == pytest.approx(1.0, rel=0.02)
    assert slow.weight.std().item() == pytest.approx(100, rel=0.02)
    with torch.no_grad():
        before = slow(x)
        slow.bias += 1
    assert_close(slow(x) - before, torch.full_like(x, 0.01), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [1, 3])
def test_a_half_size_convolution_is_filter_then_every_second_pixel(size):
    """Away from the borders, where one pads the image and the other the filtered image."""
    torch.manual_seed(0)
    layer = EqualisedConv2d(2, 3, size, down=True)
    x = torch.randn(1, 2, 16, 16)
    around = len(layer.kernel) + size - 3
    blurred = upfirdn2d(x, filter2d(), padding=((around + 1) // 2, around // 2))
    expected = conv2d(blurred, layer.weight / math.sqrt(2 * size**2), layer.bias)[..., ::2, ::2]
    assert layer(x).shape == (1, 3, 8, 8)
    assert_close(layer(x), expected)
    if size == 1:
        plain = downsample2d(x, filter2d())
        assert_close(layer(x), conv2d(plain, layer.weight / math.sqrt(2), layer.bias))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulated_convolution_is_a_convolution_per_sample(up, demodulate):
    torch.manual_seed(0)
    layer = ModulatedConv2d(4, 5, 3, up=up, demodulate=demodulate).double()
    x, style = torch.randn(3, 4, 6, 6).double(), torch.randn(3, 4).double()
    out = layer(x, style)
    for row in range(3):
        weight = layer.weight / math.sqrt(4 * 9) * style[row][None, :, None, None]  # w'
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()  # w''
        if up:  # zeros between the pixels, true convolution with w'', then the filter with the gain of four
            sparse = torch.zeros(1, 4, 15, 15).double()
            sparse[..., 2:13:2, 2:13:2] = x[row]
            wide = conv2d(sparse, weight.flip(2, 3))
            expected = upfirdn2d(wide, filter2d().double() * 4, padding=(1, 1))
        else:
            expected = conv2d(x[row : row + 1], weight, padding=1)
        assert_close(out[row : row + 1], expected, rtol=1e-5, atol=1e-5)


def test_demodulation_gives_unit_variance_whatever_the_style():
    torch.manual_seed(0)
    layer = ModulatedConv2d(64, 64, 3)
    x, style = torch.randn(8, 64, 16, 16), 10 * torch.randn(8, 64)
    assert layer(x, style)[..., 1:-1, 1:-1].std().item() == pytest.approx(1.0, rel=0.05)


def test_demodulation_is_exact_under_bf16():
    torch.manual_seed(0)
    layer = ModulatedConv2d(64, 64, 1)
    x, style = torch.randn(4, 64, 8, 8), torch.randn(4, 64)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x, style)
    assert_close(half.float(), layer(x, style), atol=0.05, rtol=0.02)
