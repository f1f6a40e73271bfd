"""Resampling of images through a finite impulse response (Karras et al. 2020, appendix B), in plain convolutions, so
that any order of derivative works on any device."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
"""Taps of StyleGAN2's low-pass filter, before normalisation."""


def filter2d(taps: tuple[float, ...] = BINOMIAL) -> Tensor:
    """(K, K) separable low-pass filter of unit sum."""
    row = torch.tensor(taps)
    kernel = torch.outer(row, row)
    return kernel / kernel.sum()


def upfirdn2d(x: Tensor, kernel: Tensor, *, up: int = 1, down: int = 1, padding: tuple[int, int] = (0, 0)) -> Tensor:
    """Insert zeros, pad or crop, convolve, decimate: (B, C, H, W) → (B, C, H', W').

    H' = (up·H + p0 + p1 - K) // down + 1. kernel: (K, K), applied as a true convolution. up: `up - 1` zeros after each
    pixel. padding: pixels before and after, on both axes; negative crops. down: keeps every `down`-th pixel.
    """
    channels, size = x.shape[1], len(kernel)
    weight = kernel.to(x.dtype).expand(channels, 1, size, size)
    before, after = padding
    if up == 1:
        x = pad(x, (before, after, before, after))
        return conv2d(x, weight.flip(2, 3), stride=down, groups=channels)
    # a transposed convolution is zero insertion and full convolution at once
    x = conv_transpose2d(x, weight, stride=up, groups=channels)
    before, after = before - (size - 1), after - (size - 1) + (up - 1)
    return pad(x, (before, after, before, after))[..., ::down, ::down]


def upsample2d(x: Tensor, kernel: Tensor, factor: int = 2) -> Tensor:
    """(B, C, H, W) → (B, C, H·factor, W·factor), constants kept."""
    size = len(kernel)
    return upfirdn2d(x, kernel * factor**2, up=factor, padding=((size + factor - 1) // 2, (size - factor) // 2))


def downsample2d(x: Tensor, kernel: Tensor, factor: int = 2) -> Tensor:
    """(B, C, H, W) → (B, C, H/factor, W/factor), constants kept away from the borders."""
    size = len(kernel)
    return upfirdn2d(x, kernel, down=factor, padding=((size - factor + 1) // 2, (size - factor) // 2))
