"""Two players."""

import torch
from torch import nn
from torch.nn.functional import softplus

from genera.engine.method import Method
from genera.engine.optimisers import can_fuse
from genera.engine.player import Player
from small_methods.ring import LINEAR, Ring, RingAssets, SmallConfig, mlp


class SmallGan(Method):
    """Two players that alternate; the second's loss runs through the first's network."""

    dataset = Ring

    def __init__(self, config: SmallConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.generator, self.discriminator = mlp(4, 2), mlp(2, 1)

    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(self.discriminator, self._adam(self.discriminator), LINEAR, averaged=False),
            "generator": Player(self.generator, self._adam(self.generator), LINEAR),
        }

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=self.config.lr, fused=can_fuse(network))

    def update(self, batch, step) -> None:
        step.minimise("discriminator", self.discriminator_loss, batch)
        step.minimise("generator", self.generator_loss, batch)

    def discriminator_loss(self, batch, step):
        with torch.no_grad():
            fake = self.generator(step.normal(len(batch), 4))
        real_score, fake_score = self.discriminator(batch.x), self.discriminator(fake)
        loss = softplus(-real_score).mean() + softplus(fake_score).mean()
        return {"loss": loss, "real": real_score.mean()}

    def generator_loss(self, batch, step):
        return {"loss": -self.discriminator(self.generator(step.normal(len(batch), 4))).mean()}
