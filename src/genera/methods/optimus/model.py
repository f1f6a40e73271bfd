"""The network of Optimus: the text VAE of `blocks.text_vae`, with the fixed variance that the released code offers."""

import torch
from torch import Tensor

from genera.methods.families.text_vae import TextVae, drawn
from genera.methods.optimus.config import OptimusConfig


class OptimusNetwork(TextVae):
    """As TextVae; `config.unit_variance` takes the place of the posterior's own variance."""

    config: OptimusConfig

    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, H) → mean and log variance of q(z|x), each (B, P)."""
        mean, log_variance = super().posterior(features)
        return mean, torch.zeros_like(log_variance) if self.config.unit_variance else log_variance

    def forward(self, encoder_ids: Tensor, decoder_ids: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """noise: (B, P) of N(0, 1). Returns log p(x|z) at one z ~ q(z|x), and q's mean and log variance."""
        mean, log_variance = self.encode(encoder_ids)
        return self.log_likelihood(decoder_ids, drawn(mean, log_variance, noise)), mean, log_variance
