"""The Fréchet distance between two sets of features, from moments accumulated in one pass."""

import math

import numpy as np
import torch
from torch import Generator, Tensor

from genera.console import say
from genera.errors import GeneraError
from genera.measures.schema import Estimate

SIZES = 10
"""Sample sizes from which the distance at infinity is extrapolated."""
LEAST = 50
"""Minimum number of images for the extrapolation."""

ROWS_AT_ONCE = 1024
"""Rows of features converted to float64 at once."""
COLUMNS_AT_ONCE = 128
"""Columns of a symmetric product computed at once; the part below the diagonal block is skipped."""


class Moments:
    """Mean and covariance of features, added batch by batch in float64 on their device.

    Features are shifted by the mean of the first batch, so that precision is kept if the mean is far from 0 (Chan,
    Golub & LeVeque 1983, shifted data). The result does not depend on how the features were split into batches.
    """

    def __init__(self, features: Tensor | None = None) -> None:
        self.count = 0
        self._origin: Tensor | None = None
        if features is not None:
            self.add(features)

    def add(self, features: Tensor) -> None:
        """features: (B, D). Raises GeneraError for another shape or a value that is not finite."""
        if features.ndim != 2 or (self._origin is not None and features.shape[1] != len(self._origin)):
            raise GeneraError(f"features must be a table (items, dimensions), got {tuple(features.shape)}.")
        for part in features.split(ROWS_AT_ONCE) if len(features) else ():
            self._add(part.double())

    def _add(self, features: Tensor) -> None:
        mean = features.mean(0)
        if not torch.isfinite(mean).all():
            raise GeneraError("some features are not finite (NaN or infinite); check the images and the extractor.")
        if self._origin is None:
            self._origin, self._sum = mean, torch.zeros_like(mean)
            self._products = mean.new_zeros(len(mean), len(mean))
        shifted = features - self._origin
        for columns in _columns(shifted):
            self._products[columns, columns.start :].addmm_(shifted[:, columns].T, shifted[:, columns.start :])
        self._sum += shifted.sum(0)
        self.count += len(features)

    @property
    def mean(self) -> Tensor:
        """(D,) float64"""
        self._enough(1)
        assert self._origin is not None
        return self._origin + self._sum / self.count

    @property
    def covariance(self) -> Tensor:
        """(D, D) float64, unbiased"""
        self._enough(2)
        covariance = torch.addr(self._products, self._sum, self._sum, alpha=-1 / self.count).div_(self.count - 1)
        for columns in _columns(covariance):
            covariance[columns.stop :, columns] = covariance[columns, columns.stop :].T
        return covariance

    def _enough(self, least: int) -> None:
        if self.count < least:
            raise GeneraError(f"moments of {self.count} items do not exist; at least {least} are needed.")


def _columns(table: Tensor) -> list[slice]:
    return [slice(i, i + COLUMNS_AT_ONCE) for i in range(0, table.shape[1], COLUMNS_AT_ONCE)]


def frechet_distance(one: Moments, other: Moments) -> float:
    """‖μ₁ − μ₂‖² + tr(C₁ + C₂ − 2 (C₁C₂)^½), the squared 2-Wasserstein distance of two Gaussians (Dowson & Landau
    1982). Works for singular covariances: it only takes eigenvalues of symmetric matrices."""
    if one.mean.shape != other.mean.shape:
        raise GeneraError(f"features of {len(one.mean)} and of {len(other.mean)} dimensions cannot be compared.")
    gap = (one.mean - other.mean).square().sum()
    first, second = one.covariance, other.covariance
    return float(gap + first.trace() + second.trace() - 2 * _trace_of_root(first, second))


def _trace_of_root(first: Tensor, second: Tensor) -> Tensor:
    """tr (C₁C₂)^½ = tr (Lᵀ C₂ L)^½ for any L with LLᵀ = C₁: the eigenvalues are the same, but of a symmetric
    matrix. L is from Cholesky, or from the eigenvectors if C₁ is singular."""
    root, failed = torch.linalg.cholesky_ex(first)
    if failed:
        values, vectors = torch.linalg.eigh(first)
        root = vectors * values.clamp(min=0).sqrt()
    return torch.linalg.eigvalsh(root.T @ second @ root).clamp(min=0).sqrt().sum()


def fid(features: Tensor, reference: Tensor | Moments) -> Estimate:
    """Fréchet distance of `features` (N, D) from those of the reference images; 0 or above, lower is better.

    Biased upwards by about (dimensions / N): compare only at equal N, or use `fid_infinity`. Warns if N ≤ D, so that
    the covariance is singular.
    """
    reference = reference if isinstance(reference, Moments) else Moments(reference)
    for count in (len(features), reference.count):
        if count <= features.shape[1]:
            say(
                f"FID of {count:,} images with {features.shape[1]:,} features each: the covariance is singular and the "
                "figure far too high; use more images, or features of fewer dimensions."
            )
    return Estimate(frechet_distance(Moments(features), reference), None, len(features))


def fid_infinity(features: Tensor, reference: Tensor | Moments, *, generator: Generator | None = None) -> Estimate:
    """FID extrapolated to infinitely many generated images (Chong & Forsyth 2020): the intercept of a straight line
    through FID over 1/N at sizes from N/5 to N. Its error is that of the fit; the bias from the size of the
    reference remains. Raises GeneraError for fewer than `LEAST` images."""
    count = len(features)
    if count < LEAST:
        raise GeneraError(f"FID cannot be extrapolated from {count} images; give at least {LEAST}.")
    reference = reference if isinstance(reference, Moments) else Moments(reference)
    sizes = np.linspace(count // 5, count, SIZES).astype(int)
    values = []
    for size in sizes:
        rows = torch.randperm(count, generator=generator)[:size].to(features.device)
        values.append(frechet_distance(Moments(features[rows]), reference))
    design = np.stack([np.ones(SIZES), 1 / sizes], 1)
    solution, *_ = np.linalg.lstsq(design, np.array(values), rcond=None)
    noise = np.array(values) - design @ solution
    variance = (noise @ noise) / (SIZES - 2) * np.linalg.inv(design.T @ design)[0, 0]
    return Estimate(float(solution[0]), math.sqrt(variance), count)
