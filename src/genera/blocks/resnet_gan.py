"""The residual networks of BigGAN (Brock et al. 2019): a class-conditional generator and the discriminator trunk.

Shapes: B rows, z (B, Z), classes y (B,), images (B, 3, S, S) in [-1, 1], condition c (B, E) or the classes themselves.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.norms import AffineNorm, ConditionalNorm, normalisation
from genera.blocks.resnet_gan_config import ResNetGanConfig, architecture
from genera.blocks.spectral import SpectralConv2d, SpectralEmbedding, SpectralLinear
from genera.errors import GeneraError


class Generator(nn.Module):
    """z, y → images. classes: number of classes. size: height and width of images. channels: of images."""

    def __init__(self, config: ResNetGanConfig, size: int, channels: int, classes: int) -> None:
        super().__init__()
        plan, eps = architecture(size), config.spectral_eps
        widths = [config.width * m for m in plan.up]
        blocks = len(widths) - 1
        self.bottom, self.chunks = plan.bottom, blocks + 1 if config.hierarchical else 1
        if config.latent_size % self.chunks:
            nearest = round(config.latent_size / self.chunks) * self.chunks
            raise GeneraError(
                f"--latent-size {config.latent_size} does not divide into {self.chunks} chunks at {size} x {size}; "
                f"use {max(nearest, self.chunks)}."
            )
        chunk = config.latent_size // self.chunks
        condition = config.shared_embedding + (chunk if config.hierarchical else 0)

        def norm(width: int) -> nn.Module:
            if config.shared_embedding:
                maps = [SpectralLinear(condition, width, bias=False, eps=eps) for _ in range(2)]
            else:  # without spectral normalisation, which would cripple G here
                maps = [nn.Embedding(classes, width) for _ in range(2)]  # type: ignore[misc]
            return ConditionalNorm(normalisation(config.norm, width, config.test_statistics), *maps)

        self.embedding = nn.Embedding(classes, config.shared_embedding) if config.shared_embedding else nn.Identity()
        self.first = SpectralLinear(chunk, widths[0] * plan.bottom**2, eps=eps)
        self.blocks = nn.ModuleList(UpBlock(*pair, norm, eps) for pair in pairwise(widths))
        sides = [plan.bottom * 2 ** (i + 1) for i in range(blocks)]
        self.attention = attention_at(config.attention, sides, widths[1:], eps)
        self.norm = AffineNorm(normalisation(config.norm, widths[-1], config.test_statistics), widths[-1])
        self.last = SpectralConv2d(widths[-1], channels, 3, eps=eps)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        c, chunks = self.embedding(y), z.chunk(self.chunks, 1)
        x = self.first(chunks[0])
        x = x.view(len(x), -1, self.bottom, self.bottom)
        for i, block in enumerate(self.blocks):
            x = block(x, torch.cat([c, chunks[i + 1]], 1) if self.chunks > 1 else c)
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        return torch.tanh(self.last(F.relu(self.norm(x))))


class UpBlock(nn.Module):
    """norm, ReLU, ×2 (nearest), 3×3, norm, ReLU, 3×3; shortcut ×2, 1×1."""

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], nn.Module], eps: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.conv1 = SpectralConv2d(inputs, outputs, 3, eps=eps)
        self.conv2 = SpectralConv2d(outputs, outputs, 3, eps=eps)
        self.shortcut = SpectralConv2d(inputs, outputs, 1, eps=eps)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h = self.conv1(F.interpolate(F.relu(self.norm1(x, c)), scale_factor=2))
        h = self.conv2(F.relu(self.norm2(h, c)))
        return h + F.interpolate(self.shortcut(x), scale_factor=2)  # a 1×1 commutes with nearest upsampling


class Trunk(nn.Module):
    """Images → features φ (B, `outputs`), summed over positions; discriminators add heads."""

    def __init__(self, config: ResNetGanConfig, size: int, channels: int) -> None:
        super().__init__()
        plan, eps = architecture(size), config.spectral_eps
        widths = [channels, *(config.width * m for m in plan.down)]
        self.blocks = nn.ModuleList(
            DownBlock(widths[i], widths[i + 1], first=i == 0, pool=i < plan.pooled, eps=eps)
            for i in range(len(plan.down))
        )
        sides = [size // 2 ** min(i + 1, plan.pooled) for i in range(len(plan.down))]
        self.attention = attention_at(config.attention, sides, widths[1:], eps)
        self.outputs = widths[-1]

    def features(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.blocks):
            x = block(x)
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        return F.relu(x).sum((2, 3))


class DownBlock(nn.Module):
    """[ReLU,] 3×3, ReLU, 3×3[, average pool]; shortcut 1×1 if width or side changes. The first block takes images: no
    ReLU, and its shortcut pools before the 1×1."""

    def __init__(self, inputs: int, outputs: int, *, first: bool, pool: bool, eps: float) -> None:
        super().__init__()
        self.first, self.pool = first, pool
        self.conv1 = SpectralConv2d(inputs, outputs, 3, eps=eps)
        self.conv2 = SpectralConv2d(outputs, outputs, 3, eps=eps)
        changes = inputs != outputs or pool
        self.shortcut = SpectralConv2d(inputs, outputs, 1, eps=eps) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if not self.pool:
            return h + self.shortcut(x)
        # pooling commutes with 1×1 and with the sum: use the cheaper order
        return F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))


class ProjectionDiscriminator(Trunk):
    """D(x, y) = linear(φ) + ⟨embedding(y), φ⟩ (Miyato & Koyama 2018)."""

    conditional = True

    def __init__(self, config: ResNetGanConfig, size: int, channels: int, classes: int) -> None:
        super().__init__(config, size, channels)
        self.linear = SpectralLinear(self.outputs, 1, eps=config.spectral_eps)
        self.embedding = SpectralEmbedding(classes, self.outputs, eps=config.spectral_eps)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """images, classes → scores (B,), higher for real"""
        phi = self.features(x)
        return self.linear(phi).squeeze(1) + (self.embedding(y) * phi).sum(1)


class SelfAttention(nn.Module):
    """x + gain · attention over positions, gain initially 0, keys and values max-pooled 2×2 (Zhang et al. 2019)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        narrow, half = max(1, width // 8), max(1, width // 2)
        self.query = SpectralConv2d(width, narrow, 1, bias=False, eps=eps)
        self.key = SpectralConv2d(width, narrow, 1, bias=False, eps=eps)
        self.value = SpectralConv2d(width, half, 1, bias=False, eps=eps)
        self.out = SpectralConv2d(half, width, 1, bias=False, eps=eps)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2).transpose(1, 2)
        key = F.max_pool2d(self.key(x), 2).flatten(2).transpose(1, 2)
        value = F.max_pool2d(self.value(x), 2).flatten(2).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.gain * self.out(mixed.transpose(1, 2).unflatten(2, x.shape[2:]))


def attention_at(resolution: int, sides: list[int], widths: list[int], eps: float) -> nn.ModuleDict:
    """Attention after the first block whose output has this resolution, keyed by the number of the block."""
    if not resolution:
        return nn.ModuleDict()
    if resolution not in sides:
        known = ", ".join(str(s) for s in dict.fromkeys(sides))
        raise GeneraError(f"--attention {resolution}: no feature map has this resolution; use {known}, or 0 for none.")
    at = sides.index(resolution)
    return nn.ModuleDict({str(at): SelfAttention(widths[at], eps)})


def initialise(network: nn.Module, how: str) -> None:
    """Initialise all convolutions, linear layers and embeddings: `normal`, N(0, 0.02²), or `orthogonal`."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            if how == "normal":
                nn.init.normal_(module.weight, std=0.02)
            else:
                nn.init.orthogonal_(module.weight)
