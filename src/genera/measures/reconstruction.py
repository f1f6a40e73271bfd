"""Errors of reconstructed images. N images (N, C, S, S) in [-1, 1]; errors are of pixel values as 0..1."""

from torch import Tensor

PERFECT = 1e-10
"""Errors below this count as this: 100 dB."""


def squared_error(outputs: Tensor, images: Tensor) -> Tensor:
    """(N,) mean squared difference over the values of each image, 0..1."""
    return ((outputs - images) / 2).square().mean((1, 2, 3))


def psnr(errors: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log₁₀ (1 / error), of mean squared errors (N,); 100 at most."""
    return -10 * errors.clamp(min=PERFECT).log10()
