"""A loss over the rows of all ranks."""

import torch
from torch.nn.functional import cross_entropy, normalize

from genera.engine.method import Method
from genera.engine.player import Player
from small_methods.ring import LINEAR, Ring, RingAssets, SmallConfig, mlp


class SmallContrastive(Method):
    """Two noisy views of each point, told apart from those of all other points of the batch."""

    dataset = Ring

    def __init__(self, config: SmallConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.encoder = mlp(2, 4)

    def players(self) -> dict[str, Player]:
        optimiser = torch.optim.Adam(self.encoder.parameters(), lr=self.config.lr, eps=1e-4)
        return {"encoder": Player(self.encoder, optimiser, LINEAR)}

    def update(self, batch, step) -> None:
        step.minimise("encoder", self.info_nce, batch)

    def info_nce(self, batch, step):
        one, two = (normalize(self.encoder(batch.x + 0.1 * step.normal(len(batch), 2))) for _ in range(2))
        similarity = one @ step.gather(two).T / 0.2
        own = torch.arange(len(batch), device=batch.x.device) + step.ranks.rank * len(batch)
        return {"loss": cross_entropy(similarity, own)}
