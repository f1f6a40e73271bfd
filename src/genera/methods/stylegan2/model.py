"""StyleGAN2's networks (Karras et al. 2020): style-modulated generator with skips, residual discriminator.

B rows, L style layers, Z latent size, C channels, R resolution (a power of two).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from genera.blocks.equalised import EqualisedConv2d, EqualisedLinear, ModulatedConv2d, activate
from genera.blocks.fir import filter2d, upsample2d
from genera.blocks.precision import full
from genera.blocks.running_mean import RunningMean
from genera.errors import GeneraError
from genera.methods.stylegan2.config import StyleGan2Config


class Mapping(nn.Module):
    """z (B, Z) → w (B, Z): normalised to unit mean square, then fully connected layers of a small learning rate."""

    def __init__(self, size: int, layers: int, rate: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EqualisedLinear(size, size, rate=rate) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = activate(layer(w))
        return w


class StyledConv(nn.Module):
    """Modulated 3×3 convolution, noise of a learnt strength, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, latent: int, *, up: bool = False) -> None:
        super().__init__()
        self.affine = EqualisedLinear(latent, inputs)
        self.conv = ModulatedConv2d(inputs, outputs, 3, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """x (B, C, H, W), w (B, Z), noise (B or 1, 1, H', W')"""
        x = self.conv(x, self.affine(w) + 1)
        return activate(x + noise * self.strength + self.bias[:, None, None])


class ToRGB(nn.Module):
    """Modulated 1×1 convolution to the image's channels, linear and not demodulated."""

    def __init__(self, inputs: int, channels: int, latent: int) -> None:
        super().__init__()
        self.affine = EqualisedLinear(latent, inputs)
        self.conv = ModulatedConv2d(inputs, channels, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.conv(x, self.affine(w) + 1) + self.bias[:, None, None]


class Generator(nn.Module):
    """`mapping` is z → w; `forward` is the synthesis network: one w for each of L = 2·log2(R) - 2 layers → an image."""

    kernel: Tensor

    def __init__(self, config: StyleGan2Config, resolution: int, channels: int) -> None:
        super().__init__()
        levels, latent = int(math.log2(resolution)), config.latent_size
        width = config.width
        self.style_layers = 2 * levels - 2
        self.noise_sizes = [4] + [2**level for level in range(3, levels + 1) for _ in range(2)]
        self.mapping = Mapping(latent, config.mapping_layers, config.mapping_rate)
        self.mean_w = RunningMean(latent, decay=config.mean_w_decay)
        self.mean_length = RunningMean(decay=config.path_decay)  # of |Jᵀy|, which its penalty holds lengths to
        self.constant = nn.Parameter(torch.randn(1, width(2), 4, 4))
        self.convs = nn.ModuleList([StyledConv(width(2), width(2), latent)])
        self.to_rgb = nn.ModuleList([ToRGB(width(2), channels, latent)])
        for level in range(3, levels + 1):
            self.convs.append(StyledConv(width(level - 1), width(level), latent, up=True))
            self.convs.append(StyledConv(width(level), width(level), latent))
            self.to_rgb.append(ToRGB(width(level), channels, latent))
        self.register_buffer("kernel", filter2d(), persistent=False)

    def forward(self, w: Tensor, noise: list[Tensor]) -> Tensor:
        """w (B, L, Z), noise as `noise` deals it → images (B, C, R, R), about [-1, 1] and not clamped."""
        x = self.constant.expand(len(w), -1, -1, -1)
        x = self.convs[0](x, w[:, 0], noise[0])
        image = self.to_rgb[0](x, w[:, 1])
        for i in range(1, len(self.to_rgb)):
            x = self.convs[2 * i - 1](x, w[:, 2 * i - 1], noise[2 * i - 1])
            x = self.convs[2 * i](x, w[:, 2 * i], noise[2 * i])
            image = upsample2d(image, self.kernel) + self.to_rgb[i](x, w[:, 2 * i + 1])  # shares w with the next level
        return image

    def noise(self, normal: Callable[..., Tensor], rows: int) -> list[Tensor]:
        """One (rows, 1, H, H) map for every convolution, from a source of N(0, 1) that is called with shapes."""
        return [normal(rows, 1, size, size) for size in self.noise_sizes]

    def styles(self, w: Tensor, other: Tensor | None = None, cutoff: int = 0) -> Tensor:
        """w (B, Z) → (B, L, Z): the same w for every layer, or `other` from layer `cutoff` on (style mixing)."""
        layers = w[:, None].expand(-1, self.style_layers, -1)
        if other is None:
            return layers
        late = torch.arange(self.style_layers, device=w.device) >= cutoff
        return torch.where(late[:, None], other[:, None], layers)

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """w̄ + ψ(w - w̄) (Karras et al. 2019, appendix B): ψ = 1 leaves w, ψ = 0 is the mean."""
        return self.mean_w.mean.lerp(w, psi)


class DownBlock(nn.Module):
    """Residual block to half the size: (conv conv↓ + skip↓) / √2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualisedConv2d(inputs, inputs, 3)
        self.second = EqualisedConv2d(inputs, outputs, 3, down=True)
        self.skip = EqualisedConv2d(inputs, outputs, 1, down=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (activate(self.second(activate(self.first(x)))) + self.skip(x)) / math.sqrt(2)


class Discriminator(nn.Module):
    """Images (B, C, R, R) → logits (B,). A block is named by the log2 of the size that it receives: 10, 9, … 3."""

    def __init__(self, config: StyleGan2Config, resolution: int, channels: int) -> None:
        super().__init__()
        levels, width = int(math.log2(resolution)), config.width
        self.group = config.stddev_group
        self.from_rgb = EqualisedConv2d(channels, width(levels), 1)
        self.blocks = nn.ModuleDict({str(i): DownBlock(width(i), width(i - 1)) for i in range(levels, 2, -1)})
        self.conv = EqualisedConv2d(width(2) + 1, width(2), 3)
        self.hidden = EqualisedLinear(width(2) * 16, width(2))
        self.out = EqualisedLinear(width(2), 1)

    def forward(self, images: Tensor) -> Tensor:
        x = activate(self.from_rgb(images))
        for block in self.blocks.values():
            x = block(x)
        x = activate(self.conv(minibatch_stddev(x, self.group)))
        return self.out(activate(self.hidden(x.flatten(1)))).squeeze(1)


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """x (B, C, H, W) → (B, C + 1, H, W): one more channel, the standard deviation within groups of rows, averaged over
    channels and positions (Karras et al. 2018, section 3).

    Groups are `group` neighbouring rows, all of them if there are fewer. The published run forms them of the 4 images
    of each GPU, which are neighbours in the global batch: so ranks and accumulated parts form the same groups as one
    process does, if each holds a multiple of `group` rows.

    Raises GeneraError if the rows do not divide into groups.
    """
    rows, _, height, width = x.shape
    size = min(group, rows)
    if rows % size:
        raise GeneraError(
            f"{rows} images of one rank and part do not divide into groups of {size}; change --batch-size."
        )
    groups = full(x).unflatten(0, (-1, size))  # (groups, size, C, H, W)
    deviation = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    channel = deviation.repeat_interleave(size)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([x, channel.to(x.dtype)], 1)
