"""Auto-encoding variational Bayes (Kingma & Welling 2014): losses, training step, and uses of a trained model."""

from collections.abc import Sequence
from typing import Any

import torch
from genera.data.images.dataset import ImageAssets, ImageBatch, ImageData
from genera.engine.capabilities import Posterior, Score
from genera.engine.method import Method
from genera.engine.optimisers import player
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.measures.latent import gaussian_kl
from torch import Generator, Tensor

from my_vae.config import MyVaeConfig
from my_vae.model import Network


class MyVae(Method):
    dataset = ImageData

    def __init__(self, config: MyVaeConfig, assets: ImageAssets) -> None:
        super().__init__(config, assets)
        self.latent_size = config.latent_size
        self.network = Network(config, assets.size, assets.channels)

    # training

    def players(self) -> dict[str, Player]:
        return {"vae": player(self.network, self.config)}

    def update(self, batch: ImageBatch, step: Step) -> None:
        step.minimise("vae", self.objective, batch)

    def objective(self, batch: ImageBatch, step: Step) -> Terms:
        """E_q[-log p(x|z)] + beta KL(q(z|x) || N(0, I)), equation 10 of the paper. Means over the rows."""
        noise = step.normal(len(batch), self.latent_size)
        log_likelihood, mean, log_variance = self.network(batch.images, noise)
        reconstruction, kl = -log_likelihood.mean(), gaussian_kl(mean, log_variance).sum(1).mean()
        return {"loss": reconstruction + self.config.beta * kl, "reconstruction": reconstruction, "kl": kl}

    def validate(self, batch: ImageBatch, step: Step) -> Terms:
        return self.objective(batch, step)

    # what the trained model can do

    def encode(self, items: Sequence[Tensor]) -> Posterior:
        """Images (C, S, S) in [-1, 1] → q(z|x)."""
        return Posterior(*self.network.encode(self._batch(items)))

    def features(self, items: Sequence[Tensor]) -> Tensor:
        """Posterior means (B, P), for probes and classifiers."""
        return self.encode(items).mean

    @torch.no_grad()
    def decode(self, z: Tensor, *, generator: Generator | None = None, **options: Any) -> list[Tensor]:
        """z: (B, P) → the most likely images (C, S, S) in [-1, 1], on the CPU."""
        return list(self.network.decoder(z).clamp(-1, 1).cpu())

    def sample(self, count: int, *, generator: Generator | None = None, **options: Any) -> list[Tensor]:
        """Decode z ~ N(0, I)."""
        return self.decode(torch.randn(count, self.latent_size, generator=generator, device=self._device))

    @torch.no_grad()
    def score(self, items: Sequence[Tensor], samples: int, *, generator: Generator | None = None) -> Score:
        """Likelihood terms at `samples` draws of z ~ q(z|x) an image."""
        images = self._batch(items)
        mean, log_variance = self.network.encode(images)
        noise = torch.randn(samples, *mean.shape, generator=generator, device=mean.device)
        z = mean + (0.5 * log_variance).exp() * noise
        log_likelihood = torch.stack([self.network.log_likelihood(images, row) for row in z]).double()
        # log p(z) - log q(z|x): the normalising constants cancel
        ratio = 0.5 * (noise.double().square() + log_variance.double() - z.double().square()).sum(2)
        return Score(log_likelihood + ratio, log_likelihood, gaussian_kl(mean, log_variance).sum(1))

    def score_given(self, items: Sequence[Tensor], z: Tensor) -> Tensor:
        """log p(x|z) in nats, (B,) float64."""
        return self.network.log_likelihood(self._batch(items), z).double()

    @property
    def _device(self) -> torch.device:
        return self.network.log_scale.device

    def _batch(self, items: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(items)).to(self._device)
