"""A VAE of images, for evaluators and uses of any item type."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from genera.data.images.dataset import ImageAssets, ImageBatch, ImageData
from genera.engine.capabilities import Posterior, Score
from genera.engine.config import MethodConfig
from genera.engine.method import Method
from genera.engine.optimisers import can_fuse
from genera.engine.player import Player
from genera.engine.registry import configure
from genera.engine.train import train
from small_methods.ring import LINEAR


@dataclass(frozen=True, kw_only=True)
class ImageVaeConfig(MethodConfig):
    lr: float = 3e-3
    latent_size: int = 4
    width: int = 32


HALF_BIN = 1 / 255
"""Of an 8-bit pixel value, where they reach from -1 to 1."""


class SmallImageVae(Method):
    """A VAE of images whose p(x|z) is a logistic distribution over 256 pixel values. B images, P latent dimensions."""

    dataset = ImageData

    def __init__(self, config: ImageVaeConfig, assets: ImageAssets) -> None:
        super().__init__(config, assets)
        shape, self.latent_size = (assets.channels, assets.size, assets.size), config.latent_size
        self.network = nn.ModuleDict(
            {
                "encoder": nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), config.width), nn.Tanh()),
                "posterior": nn.Linear(config.width, 2 * config.latent_size),
                "decoder": nn.Sequential(
                    nn.Linear(config.latent_size, config.width),
                    nn.Tanh(),
                    nn.Linear(config.width, math.prod(shape)),
                    nn.Unflatten(1, shape),
                ),
                "scale": nn.ParameterDict({"log": torch.full((), -1.0)}),
            }
        )

    def players(self) -> dict[str, Player]:
        optimiser = torch.optim.Adam(self.network.parameters(), lr=self.config.lr, fused=can_fuse(self.network))
        return {"vae": Player(self.network, optimiser, LINEAR)}

    def update(self, batch: ImageBatch, step) -> None:
        step.minimise("vae", self.loss, batch)

    def loss(self, batch: ImageBatch, step):
        mean, log_variance = self.posterior(batch.images)
        z = mean + (0.5 * log_variance).exp() * step.normal(len(batch), self.latent_size)
        reconstruction, kl = -self.log_likelihood(batch.images, z).mean(), divergence(mean, log_variance).mean()
        return {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}

    validate = loss

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.network["posterior"](self.network["encoder"](images)).chunk(2, 1)
        return mean, log_variance

    def log_likelihood(self, images: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, (B,); the outermost values have the tails."""
        apart, scale = images - self.network["decoder"](z), self.network["scale"]["log"].exp()
        above, below = logsigmoid((apart + HALF_BIN) / scale), logsigmoid((HALF_BIN - apart) / scale)
        high, low = images > 1 - HALF_BIN, images < HALF_BIN - 1
        inside = (-torch.expm1(-2 * HALF_BIN / scale)).log()  # sigmoid(a) - sigmoid(b) is the product of the three
        return (torch.where(high, 0, above) + torch.where(low, 0, below) + torch.where(high | low, 0, inside)).sum(
            (1, 2, 3)
        )

    # -- capabilities ---------------------------------------------------------------------------------------------

    def features(self, items: Sequence[Tensor]) -> Tensor:
        return self.network["encoder"](self.stacked(items))

    def encode(self, items: Sequence[Tensor]) -> Posterior:
        return Posterior(*self.posterior(self.stacked(items)))

    @torch.no_grad()
    def decode(self, z: Tensor, *, generator=None) -> list[Tensor]:
        return list(self.network["decoder"](z).clamp(-1, 1))

    def sample(self, count: int, *, generator=None) -> list[Tensor]:
        device = next(self.parameters()).device
        return self.decode(torch.randn(count, self.latent_size, generator=generator, device=device))

    def score_given(self, items: Sequence[Tensor], z: Tensor) -> Tensor:
        return self.log_likelihood(self.stacked(items), z).double()

    @torch.no_grad()
    def score(self, items: Sequence[Tensor], samples: int, *, generator=None) -> Score:
        images = self.stacked(items)
        mean, log_variance = self.posterior(images)
        noise = torch.randn(samples, *mean.shape, generator=generator, device=mean.device)
        z = mean + (0.5 * log_variance).exp() * noise
        log_likelihood = torch.stack([self.log_likelihood(images, each).double() for each in z])
        log_ratio = 0.5 * (noise.square() + log_variance - z.square()).double().sum(2)  # log p(z) - log q(z|x)
        return Score(log_likelihood + log_ratio, log_likelihood, divergence(mean, log_variance))

    def stacked(self, items: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(items)).to(next(self.parameters()).device)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) in nats, (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def train_image_vae(out: Path) -> Path:
    """The small VAE of images, trained for seconds until its latent is used."""
    torch.set_num_threads(1)
    sizes = {"image_size": 8, "limit": 1000, "latent_size": 6, "width": 64}
    seldom = {"log_every": 100, "validate_every": 0, "checkpoint_every": 1000}
    return train(configure("small-image-vae:tiny", **sizes, **seldom, steps=300, batch_size=64, device="cpu"), out).path
