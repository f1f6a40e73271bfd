"""The network of Optimus: the text VAE of `blocks.text_vae`, with the fixed variance that the released code offers."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genera.blocks.size import TransformerSize
from genera.data.text.batches import TextBatch
from genera.methods.families.text_vae import TextVae, drawn
from genera.methods.optimus.config import OptimusConfig


class OptimusNetwork(TextVae):
    """As TextVae; `config.unit_variance` takes the place of the posterior's own variance."""

    config: OptimusConfig
    feature_mean: Tensor
    """of frozen features, (H,), as is feature_scale, their standard deviation"""
    feature_scale: Tensor

    def __init__(self, config: OptimusConfig, encoder: TransformerSize, *sizes: Any, **options: Any) -> None:
        frozen = "encoder" in config.freeze
        super().__init__(config, replace(encoder, dropout=0.0) if frozen else encoder, *sizes, **options)
        for part in config.freeze:
            getattr(self, part).requires_grad_(False)
        if frozen:
            self.register_buffer("feature_mean", torch.zeros(encoder.hidden))
            self.register_buffer("feature_scale", torch.ones(encoder.hidden))

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """The trained parameters of the encoder, the decoder, and the rest, the latent maps."""
        parts: dict[str, list[nn.Parameter]] = {"encoder": [], "decoder": [], "latent": []}
        for name, parameter in self.named_parameters():
            child = name.partition(".")[0]
            if parameter.requires_grad:
                parts[child if child in parts else "latent"].append(parameter)
        return {name: parameters for name, parameters in parts.items() if parameters}

    @property
    def reads_states(self) -> bool:
        """Whether what is read of a frozen encoder is its states, which a trained part pools, and not features."""
        return "encoder" in self.config.freeze and self.pooling is not None

    @torch.no_grad()
    def standardise(self, mean: Tensor, scale: Tensor) -> None:
        """Read features or states by their mean and standard deviation, (H,) each, from now on."""
        self.feature_mean.copy_(mean)
        self.feature_scale.copy_(scale.clamp(min=1e-6))

    def summary(self, states: Tensor, mask: Tensor) -> Tensor:
        if self.reads_states:
            states = (states - self.feature_mean) / self.feature_scale
        return super().summary(states, mask)

    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, H) → mean and log variance of q(z|x), each (B, P)."""
        if "encoder" in self.config.freeze and not self.reads_states:
            features = (features - self.feature_mean) / self.feature_scale
        mean, log_variance = super().posterior(features)
        return mean, torch.zeros_like(log_variance) if self.config.unit_variance else log_variance

    def forward(self, batch: TextBatch, noise: Tensor, dropped: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """noise: (B, P) of N(0, 1). dropped: as `log_likelihood`.

        Returns log p(x|z) at one z ~ q(z|x), and q's mean and log variance.
        """
        features = batch.features
        if features is None or self.reads_states:
            assert batch.encoder is not None
            mask = batch.encoder != self.encoder_pad
            features = self.features(batch.encoder) if features is None else self.summary(features, mask)
        mean, log_variance = self.posterior(features)
        z = drawn(mean, log_variance, noise)
        return self.log_likelihood(batch.decoder, z, dropped), mean, log_variance
