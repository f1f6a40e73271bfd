"""The networks. They know nothing of training.

Shapes: B images, C channels, S height and width, P latent dimensions. Images are float32 in [-1, 1].
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from my_vae.config import MyVaeConfig

HALF_BIN = 1 / 255
"""Half the distance of two 8-bit pixel values, which reach from -1 to 1."""
SMALLEST = 4
"""Height and width at which the image is no longer halved."""


class Network(nn.Module):
    """Encoder q(z|x), a diagonal Gaussian, and decoder p(x|z), a discretised logistic distribution of each pixel."""

    def __init__(self, config: MyVaeConfig, size: int, channels: int) -> None:
        super().__init__()
        sides = [size]
        while sides[-1] > SMALLEST:
            sides.append((sides[-1] + 1) // 2)
        widths = [config.width * 2**level for level in range(len(sides) - 1)] or [config.width]
        inner = (widths[-1], sides[-1], sides[-1]) if len(sides) > 1 else (channels, size, size)
        flat = inner[0] * inner[1] * inner[2]
        encoder: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths[: len(sides) - 1], strict=False):
            encoder += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(flat, 2 * config.latent_size))
        decoder: list[nn.Module] = [nn.Linear(config.latent_size, flat), nn.Unflatten(1, inner)]
        for level in reversed(range(len(sides) - 1)):
            after = widths[level - 1] if level else channels
            decoder += [nn.SiLU(), nn.Upsample(size=sides[level]), nn.Conv2d(widths[level], after, 3, padding=1)]
        self.decoder = nn.Sequential(*decoder)
        self.log_scale = nn.Parameter(torch.tensor(-1.0))

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images (B, C, S, S), noise (B, P) ~ N(0, I) → log p(x|z) (B,) in nats, mean and log variance of z (B, P)."""
        mean, log_variance = self.encode(images)
        z = mean + (0.5 * log_variance).exp() * noise
        return self.log_likelihood(images, z), mean, log_variance

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x), each (B, P)."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance

    def log_likelihood(self, images: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats (B,), of 8-bit pixels; the outermost of the 256 values have the tails."""
        scale, distance = self.log_scale.exp(), images - self.decoder(z)
        above, below = logsigmoid((distance + HALF_BIN) / scale), logsigmoid((HALF_BIN - distance) / scale)
        highest, lowest = images > 1 - HALF_BIN, images < HALF_BIN - 1
        width = (-torch.expm1(-2 * HALF_BIN / scale)).log()  # sigmoid(a) - sigmoid(b) is the product of the three
        terms = above.masked_fill(highest, 0) + below.masked_fill(lowest, 0)
        return (terms + torch.where(highest | lowest, 0, width)).sum(dim=(1, 2, 3))
