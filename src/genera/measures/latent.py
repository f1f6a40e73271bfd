"""Measures of a latent space with diagonal Gaussian posteriors q(z|x) = N(mean, exp(log_variance)).

Shapes: M items, P dimensions. Everything is in nats and computed in float64, which posteriors narrower than
σ² ≈ e⁻⁸ require. No result depends on how the items were batched.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from genera.errors import GeneraError


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z|x) ‖ N(0, I)) of each dimension: ½ (μ² + σ² − log σ² − 1). (M, P) → (M, P), nats ≥ 0."""
    return 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance)


def mutual_information(
    mean: Tensor,
    log_variance: Tensor,
    z: Tensor,
    *,
    entropy: Literal["sampled", "analytic"] = "sampled",
    chunk: int = 1024,
) -> float:
    """I_q(x; z) under the aggregated posterior of the M items, including the posterior of the item itself.

    mean_x [ log q(z_x|x) − log 1/M Σ_j q(z_x|x_j) ] with one sample z_x ~ q(z|x) an item; all inputs (M, P).
    "sampled" takes log q(z_x|x) at the sample in both terms, so the result never exceeds ln M, the maximum for
    M items; near ln M it is saturated. "analytic" replaces the first term by its expectation,
    as in Optimus (Li et al. 2020), which adds noise ≈ √(P/2M) in both directions.
    `chunk` rows are compared with all M at a time. Raises GeneraError when the shapes differ.
    """
    if not mean.shape == log_variance.shape == z.shape or mean.ndim != 2 or len(mean) == 0:
        shapes = ", ".join(str(tuple(t.shape)) for t in (mean, log_variance, z))
        raise GeneraError(f"mutual information needs three tensors of one shape (items, dimensions), got {shapes}.")
    mean, log_variance, z = _double(mean), _double(log_variance), _double(z)
    items = len(mean)
    precision = torch.exp(-log_variance)
    # log q(z_i|x_j) up to -½ P log 2π, which cancels; with Σ_p (z−μ)²/σ² as two matrix products.
    constant = (mean.square() * precision + log_variance).sum(1)
    weighted_mean = mean * precision
    conditional = -0.5 * ((z - mean).square() * precision + log_variance).sum(1)

    aggregated = []
    for start in range(0, items, chunk):
        rows = z[start : start + chunk]
        log_q = -0.5 * (rows.square() @ precision.T - 2 * rows @ weighted_mean.T + constant)
        log_q.diagonal(start).copy_(conditional[start : start + chunk])  # exact where cancellation matters most
        aggregated.append(torch.logsumexp(log_q, 1))
    if entropy == "analytic":
        conditional = -0.5 * (1 + log_variance).sum(1)
    return (conditional - torch.cat(aggregated)).mean().item() + math.log(items)


def latent_variances(mean: Tensor) -> Tensor:
    """Unbiased variance over the items of each dimension's posterior mean. (M, P) → (P,), M ≥ 2."""
    if len(mean) < 2:
        raise GeneraError(f"the variance of posterior means needs at least 2 items, got {len(mean)}.")
    return _double(mean).var(0)


def _double(tensor: Tensor) -> Tensor:
    """float64 on the same device, or on the CPU if the device has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def active_units(mean: Tensor, threshold: float = 0.01) -> int:
    """AU: how many of the P dimensions have a posterior mean whose variance over the items is above
    `threshold` (Burda et al. 2016). It shows that the encoder uses a dimension, not that the decoder does."""
    return int((latent_variances(mean) > threshold).sum())
