"""Errors of reconstructed images. N images (N, C, S, S) in [-1, 1]; errors are of pixel values as 0..1."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from genera.measures.schema import Estimate

PERFECT = 1e-10
"""Errors below this count as this: 100 dB."""


def squared_error(outputs: Tensor, images: Tensor) -> Tensor:
    """(N,) mean squared difference over the values of each image, 0..1."""
    return ((outputs - images) / 2).square().mean((1, 2, 3))


def psnr(errors: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log₁₀ (1 / error), of mean squared errors (N,); 100 at most."""
    return -10 * errors.clamp(min=PERFECT).log10()


def explained_variance(outputs: Tensor | NDArray[np.uint8], images: Tensor | NDArray[np.uint8]) -> Estimate:
    """1 − Σ ‖output − image‖² / Σ ‖image − mean image‖²: 1 where all images come back, 0 where their mean does, below 0
    for worse. 0 where all images are the same."""
    made, wanted = (torch.as_tensor(x).double() for x in (outputs, images))
    total = float((wanted - wanted.mean(0, keepdim=True)).square().sum())
    value = 1 - float((made - wanted).square().sum()) / total if total > 0 else 0.0
    return Estimate(value, None, len(wanted))


def blurred(images: Tensor) -> Tensor:
    """Each pixel is the mean of the square around it, of an eighth of the image's side (at least 3 pixels)."""
    side = max(3, images.shape[2] // 8) // 2 * 2 + 1
    return avg_pool2d(images, side, stride=1, padding=side // 2, count_include_pad=False)


def details_kept(outputs: Tensor, images: Tensor) -> Estimate:
    """The explained variance of the details, which are what `blurred` takes away from an image."""
    return explained_variance(outputs - blurred(outputs), images - blurred(images))
