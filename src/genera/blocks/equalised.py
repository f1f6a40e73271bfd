"""Layers with an equalised learning rate: weights are drawn from N(0, 1) and scaled at run time, so that all layers
learn at the same relative speed with Adam (Karras et al. 2018, section 4.1; Karras et al. 2020)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

from genera.blocks.fir import filter2d, upfirdn2d
from genera.blocks.precision import full_precision


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, times √2 to preserve the variance."""
    return leaky_relu(x, 0.2) * math.sqrt(2)


class EqualisedLinear(nn.Module):
    """y = (w·m / √inputs) x + m·b, with w ~ N(0, 1)/m and b = 0 at first: `rate` m scales the learning rate."""

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.rate, self.scale = rate, rate / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualisedConv2d(nn.Module):
    """y = (w / √fan_in) * x + b at the same size, or at half of it behind a low-pass filter.

    x: (B, inputs, H, W) → (B, outputs, H, W), or (B, outputs, H/2, W/2) with `down`.
    """

    kernel: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, *, down: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.down, self.size = 1 / math.sqrt(inputs * size**2), down, size
        self.register_buffer("kernel", filter2d(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if not self.down:
            return conv2d(x, weight, self.bias, padding=self.size // 2)
        around = len(self.kernel) + self.size - 3  # padding such that filter, convolution and stride give H/2
        x = upfirdn2d(x, self.kernel, padding=((around + 1) // 2, around // 2))
        return conv2d(x, weight, self.bias, stride=2)


class ModulatedConv2d(nn.Module):
    """A convolution whose weights each sample scales by its style (Karras et al. 2020, equations 1 to 3).

    w'_oi = s_i w_oi, w'' = w' / √(Σ_i w'² + 1e-8). Implemented without per-sample weights: scale the input by s,
    convolve, scale the output. `up` doubles the size: transposed convolution, then the low-pass filter.
    """

    kernel: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, *, up: bool = False, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.scale, self.up, self.size, self.demodulate = 1 / math.sqrt(inputs * size**2), up, size, demodulate
        self.register_buffer("kernel", filter2d(), persistent=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x (B, inputs, H, W), style (B, inputs) → (B, outputs, H, W), or (B, outputs, 2H, 2W) with `up`."""
        weight = self.weight * self.scale
        x = x * style[:, :, None, None].to(x.dtype)
        if self.up:
            x = conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            around = len(self.kernel) - self.size + 1  # crop such that the filter leaves 2H of 2H + size - 2 pixels
            x = upfirdn2d(x, self.kernel * 4, padding=((around + 1) // 2, around // 2))
        else:
            x = conv2d(x, weight, padding=self.size // 2)
        if self.demodulate:
            with full_precision(x):
                factor = torch.rsqrt(style.to(weight.dtype).square() @ weight.square().sum((2, 3)).T + 1e-8)
            x = x * factor[:, :, None, None].to(x.dtype)
        return x
