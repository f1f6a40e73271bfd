"""U-GAT-IT's layers: reflected borders, layer-instance normalisation, and attention from a domain classifier.

B rows, C channels, H × W positions. Where the authors' two programs differ, `release` picks one.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.precision import full, full_precision
from genera.blocks.spectral import Spectral, SpectralLinear

Release = Literal["tensorflow", "pytorch"]

EPSILON = 1e-5
SMOOTHING = 0.1
"""What the TensorFlow program takes off AdaLIN's ρ before it is used."""
SPECTRAL_EPSILON = 1e-12


class ReflectConv2d(nn.Conv2d):
    """Convolution behind reflected borders, which keep H or leave H / stride. TensorFlow's are uneven where an even
    number of pixels would be too many."""

    def __init__(
        self, inputs: int, outputs: int, size: int, *, stride: int = 1, bias: bool = True, release: Release
    ) -> None:
        super().__init__(inputs, outputs, size, stride=stride, bias=bias)
        before = (size - 1) // 2
        after = size - stride - before if release == "tensorflow" else before
        self.borders = (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, self.borders, mode="reflect"), self.kernel(), self.bias, self.stride)

    def kernel(self) -> Tensor:
        return self.weight


class SpectralReflectConv2d(Spectral, ReflectConv2d):
    """The same with its kernel divided by the largest singular value."""

    def __init__(
        self, inputs: int, outputs: int, size: int, *, stride: int = 1, bias: bool = True, release: Release
    ) -> None:
        super().__init__(inputs, outputs, size, stride=stride, bias=bias, release=release)
        self.begin(SPECTRAL_EPSILON)

    def kernel(self) -> Tensor:
        return self.normalised()


def layer_instance_norm(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, *, correction: int = 0) -> Tensor:
    """γ (ρ IN(x) + (1 - ρ) LN(x)) + β (equation 1 of the paper), as one multiplication and addition per channel.

    x (B, C, H, W), rho (C,), gamma and beta (B or 1, C). IN has the moments of H × W, LN of C × H × W; `correction` 1
    takes the unbiased variances; that of a single value is 0. Computes in float32, or in float64 for such an x.
    """
    with full_precision(x):
        wide = full(x)
        rho, gamma, beta = (weight.to(wide.dtype) for weight in (rho, gamma, beta))
        variance, mean = torch.var_mean(wide, (2, 3), correction=0)  # (B, C)
        all_mean = mean.mean(1, keepdim=True)
        all_variance = (variance + (mean - all_mean).square()).mean(1, keepdim=True)
        if correction:
            positions = x.shape[2] * x.shape[3]
            variance = variance * (positions / max(1, positions - 1))
            all_variance = all_variance * (x[0].numel() / max(1, x[0].numel() - 1))
        of_instance, of_layer = rho * torch.rsqrt(variance + EPSILON), (1 - rho) * torch.rsqrt(all_variance + EPSILON)
        scale = gamma * (of_instance + of_layer)
        shift = beta - gamma * (of_instance * mean + of_layer * all_mean)
    return torch.addcmul(shift[:, :, None, None], x, scale[:, :, None, None]).to(x.dtype)


class MixedNorm(nn.Module):
    """Has ρ (C,), the share of instance normalisation in [0, 1]; `clip` brings it back there after each step."""

    def __init__(self, channels: int, share: float, release: Release) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), share))
        self.correction = int(release == "pytorch")

    @torch.no_grad()
    def clip(self) -> None:
        self.rho.clamp_(0, 1)


class AdaLIN(MixedNorm):
    """Layer-instance normalisation whose γ and β (B, C) are given."""

    def __init__(self, channels: int, release: Release) -> None:
        super().__init__(channels, 1.0 if release == "tensorflow" else 0.9, release)
        self.smoothing = SMOOTHING if release == "tensorflow" else 0.0

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        rho = (self.rho - self.smoothing).clamp(0, 1)
        return layer_instance_norm(x, rho, gamma, beta, correction=self.correction)


class LIN(MixedNorm):
    """Layer-instance normalisation with a γ and β of its own; ρ is 0 at first."""

    def __init__(self, channels: int, release: Release) -> None:
        super().__init__(channels, 0.0, release)
        self.gamma, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return layer_instance_norm(x, self.rho, self.gamma[None], self.beta[None], correction=self.correction)


class ClassActivation(nn.Module):
    """Attention from a classifier: features, weighted by what tells the domains apart (class activation maps).

    Channel means and maxima are classified by a linear layer each (TensorFlow: one layer for both); x times the one's
    weights and x times the other's are mapped back to C channels by a 1×1 convolution.
    """

    def __init__(self, channels: int, *, slope: float, spectral: bool, release: Release) -> None:
        """slope: of the leaky ReLU at the end; spectral: divide the classifier's weights by their norm."""
        super().__init__()
        self.slope, self.spectral, self.release = slope, spectral, release
        count, bias = (1, True) if release == "tensorflow" else (2, False)
        self.classifiers = nn.ModuleList(
            SpectralLinear(channels, 1, bias=bias, eps=SPECTRAL_EPSILON)
            if spectral
            else nn.Linear(channels, 1, bias=bias)
            for _ in range(count)
        )
        self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, C, H, W) → attended features (B, C, H, W), their sum over channels (B, H, W), domain logits (B, 2)."""
        average, maximum = self.classifiers[0], self.classifiers[-1]
        logits = torch.cat([average(x.mean((2, 3))), maximum(x.amax((2, 3)))], 1)
        # Weighting x by channel and then convolving 1×1 is one convolution of x.
        first, second = self.merge.weight.chunk(2, 1)
        kernel = first * self.weights(average) + second * self.weights(maximum)
        attended = F.leaky_relu(F.conv2d(x, kernel, self.merge.bias), self.slope)
        return attended, attended.sum(1), logits

    def weights(self, classifier: nn.Module) -> Tensor:
        """(1, C, 1, 1) what features are weighted by. TensorFlow's are the normalised weights plus the bias; PyTorch's
        are read before normalisation."""
        if self.release == "pytorch":
            weight = classifier.weight
        else:
            weight = (classifier.normalised() if self.spectral else classifier.weight) + classifier.bias  # type: ignore[operator]
        return weight[:, :, None, None]  # type: ignore[index]
