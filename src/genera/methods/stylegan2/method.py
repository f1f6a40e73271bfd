"""StyleGAN2: the two losses, their lazy regularisers, one training step, and what the trained model can do."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Literal

import torch
from torch import Generator as RandomGenerator
from torch import Tensor, nn
from torch.nn.functional import softplus

from genera.blocks.precision import full_precision
from genera.blocks.quantisation import insert
from genera.blocks.quantiser import ALL
from genera.data.images.dataset import ImageAssets, ImageBatch, ImageData
from genera.engine.method import Method
from genera.engine.optimisers import player
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.methods.stylegan2.config import StyleGan2Config
from genera.methods.stylegan2.model import Discriminator, Generator

PIXELS_AT_ONCE = 2**22
"""Pixels made together outside of training."""


class StyleGan2(Method):
    """Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020; with dictionaries in D, Zhao
    et al., ICML 2020."""

    dataset = ImageData

    def __init__(self, config: StyleGan2Config, assets: ImageAssets) -> None:
        super().__init__(config, assets)
        self.config: StyleGan2Config = config
        self.assets: ImageAssets = assets
        self.latent_size = config.latent_size
        self.generator = Generator(config, assets.size, assets.channels)
        self.discriminator = Discriminator(config, assets.size, assets.channels)
        example = torch.zeros(1, assets.channels, assets.size, assets.size)
        self.quantisation = insert(self.discriminator, config.quantiser, example)

    # training

    def players(self) -> dict[str, Player]:
        config = self.config
        judge = nn.ModuleList([self.discriminator, self.quantisation])
        return {
            "generator": self._player(self.generator, config.path_every if config.path_weight else 0, averaged=True),
            "discriminator": self._player(judge, config.r1_every if config.r1 else 0, averaged=False),
        }

    def _player(self, network: nn.Module, lazy: int, averaged: bool) -> Player:
        """A penalty every k steps makes k + 1 moves of k steps, so that Adam goes by c = k / (k + 1) of its pace
        (appendix B)."""
        c = lazy / (lazy + 1) if lazy else 1.0
        lr, (first, second) = self.config.lr, self.config.betas
        return player(network, self.config, lr=c * lr, betas=(first**c, second**c), averaged=averaged)

    def update(self, batch: ImageBatch, step: Step) -> None:
        config = self.config
        step.minimise("generator", self.generator_loss, batch)
        if config.path_weight and step.index % config.path_every == 0:
            step.minimise("generator", self.path_length_penalty, batch, turn="path")
        step.minimise("discriminator", self.discriminator_loss, batch)
        if config.r1 and step.index % config.r1_every == 0:
            step.minimise("discriminator", self.gradient_penalty, batch, turn="r1")
        step.record(**self.quantisation.telemetry("quantiser/"))

    def generator_loss(self, batch: ImageBatch, step: Step) -> Terms:
        """E softplus(-D(G(z))) [+ commitment of fakes]"""
        w = self.styles(step, len(batch))
        self.generator.mean_w.add(w[:, 0])  # the first layer's is never a mixed one
        fake = self.generator(w, self.generator.noise(step.normal, len(batch)))
        logits = self.judge(fake, "fake", generator_step=True)
        quantised = self.quantisation.terms()
        return {"loss": softplus(-logits).mean() + sum(quantised.values()), **quantised}

    def path_length_penalty(self, batch: ImageBatch, step: Step) -> Terms:
        """E (|Jᵀy| - a)² over y ~ N(0, I), with a the running mean of |Jᵀy| (section 3.2).

        a is that of before this turn, so that all rows of all ranks and parts are measured by the same; the released
        code moves it first, which makes the mean's own distance from it 1% less.
        """
        rows = max(1, len(batch) // self.config.path_shrink)
        with full_precision(batch.images):
            w = self.styles(step, rows)
            images = self.generator.forward(w, self.generator.noise(step.normal, rows))  # compiled, it has no ∇²
            y = step.normal(*images.shape) / math.sqrt(images[0, 0].numel())
            length = path_lengths(images, w, y)
        self.generator.mean_length.add(length)
        penalty = (length - self.generator.mean_length.mean).square().mean()
        loss = self.config.path_weight * self.config.path_every * penalty
        return {"loss": loss + _all_take_part(images), "penalty": penalty, "length": length.mean()}

    def discriminator_loss(self, batch: ImageBatch, step: Step) -> Terms:
        """E softplus(D(G(z))) + E softplus(-D(x)) [+ commitment of fakes + of reals]"""
        with torch.no_grad():
            w = self.styles(step, len(batch))
            fake = self.generator(w, self.generator.noise(step.normal, len(batch)))
        of_fake, of_real = self.judge(fake, "fake"), self.judge(batch.images, "real")
        quantised = self.quantisation.terms()
        loss = softplus(of_fake).mean() + softplus(-of_real).mean() + sum(quantised.values())
        return {"loss": loss, "fake": of_fake.mean(), "real": of_real.mean(), **quantised}

    def gradient_penalty(self, batch: ImageBatch, step: Step) -> Terms:
        """R1: γ/2 E |∇D(x)|² on real images (Mescheder et al. 2018)."""
        with full_precision(batch.images):
            images = batch.images.detach().requires_grad_()
            logits = self.judge(images)
            penalty = squared_gradients(logits, images).mean()
        loss = self.config.r1 / 2 * self.config.r1_every * penalty
        return {"loss": loss + _all_take_part(logits), "penalty": penalty}

    def judge(self, images: Tensor, kind: Literal["fake", "real", ""] = "", *, generator_step: bool = False) -> Tensor:
        """D's logits (B,). kind: what the images are, and so whether dictionaries learn from them; for a penalty they
        do not, and D runs as it is written, since compiled it has no second derivative."""
        network = self.discriminator if kind else self.discriminator.forward
        with self.quantisation.learning(**({kind: ALL} if kind else {}), generator_step=generator_step):
            return network(images)

    def styles(self, step: Step, rows: int) -> Tensor:
        """w (B, L, Z) of fresh latents, in a share of the steps mixed of two at one layer for the whole batch."""
        w = self.generator.mapping(step.normal(rows, self.latent_size))
        if step.chance() >= self.config.mixing:
            return self.generator.styles(w)
        cutoff = 1 + int(step.chance() * (self.generator.style_layers - 1))
        return self.generator.styles(w, self.generator.mapping(step.normal(rows, self.latent_size)), cutoff)

    # what the trained model can do

    @torch.no_grad()
    def sample(
        self,
        count: int,
        *,
        generator: RandomGenerator | None = None,
        truncation: float = 1.0,
        classes: Sequence[str] | None = None,
    ) -> list[Tensor]:
        """Images (C, R, R) in [-1, 1] of z ~ N(0, I), each with noise of its own. truncation: ψ, 1 for none."""
        if classes:
            raise GeneraError("stylegan2 is trained without labels and cannot sample by class; leave the classes out.")
        z = self._normal(generator)(count, self.latent_size)
        images = []
        for part in z.split(self._rows_at_once):
            noise = self.generator.noise(self._normal(generator), len(part))
            images += self._images(self._w(part, truncation), noise)
        return images

    @torch.no_grad()
    def decode(self, z: Tensor, *, generator: RandomGenerator | None = None, truncation: float = 1.0) -> list[Tensor]:
        """z (B, Z) → B images (C, R, R) in [-1, 1] that share their noise, so that they differ by z alone."""
        noise = self.generator.noise(self._normal(generator), 1)
        parts = z.split(self._rows_at_once)
        return [image for part in parts for image in self._images(self._w(part, truncation), noise)]

    @torch.no_grad()
    def mix(
        self,
        coarse: Tensor,
        fine: Tensor,
        *,
        layer: int,
        generator: RandomGenerator | None = None,
        truncation: float = 1.0,
    ) -> list[Tensor]:
        """Style mixing: images with the styles of latents `coarse` (B, Z) below layer `layer` and of `fine` from it on.

        Raises GeneraError when there is no such layer (they are 0 to L - 1; L leaves `coarse` as it is).
        """
        layers = self.generator.style_layers
        if not 0 <= layer <= layers:
            raise GeneraError(f"styles are mixed at a layer from 0 to {layers}, got {layer}.")
        noise, images = self.generator.noise(self._normal(generator), 1), []
        for a, b in zip(coarse.split(self._rows_at_once), fine.split(self._rows_at_once), strict=True):
            w = self.generator.styles(self._w(a, truncation)[:, 0], self._w(b, truncation)[:, 0], layer)
            images += self._images(w, noise)
        return images

    def _w(self, z: Tensor, truncation: float) -> Tensor:
        if not isinstance(truncation, Real) or not math.isfinite(truncation):
            raise GeneraError(f"truncation must be a finite number (1 is none), got {truncation!r}.")
        return self.generator.styles(self.generator.truncate(self.generator.mapping(z), truncation))

    def _images(self, w: Tensor, noise: list[Tensor]) -> list[Tensor]:
        return list(self.generator(w, noise).float().clamp(-1, 1).cpu())

    def _normal(self, generator: RandomGenerator | None):  # type: ignore[no-untyped-def]
        device = self.generator.constant.device
        return lambda *shape: torch.randn(shape, generator=generator, device=device)

    @property
    def _rows_at_once(self) -> int:
        return max(1, PIXELS_AT_ONCE // self.assets.size**2)


def path_lengths(images: Tensor, w: Tensor, y: Tensor) -> Tensor:
    """|Jᵀy| (B,) of images = G(w) with J = ∂G/∂w: the norm over w's dimensions, root mean square over its layers.

    images, y: (B, C, R, R), w: (B, L, Z)
    """
    (gradient,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def squared_gradients(logits: Tensor, images: Tensor) -> Tensor:
    """|∇D(x)|² (B,) of logits (B,) = D(x), images x (B, C, R, R)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def _all_take_part(output: Tensor) -> Tensor:
    """0, with a gradient of 0 for every parameter: ranks average gradients and wait for each one."""
    return 0 * output.sum()
