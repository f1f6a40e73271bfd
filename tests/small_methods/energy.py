"""Training state, and validation with gradients."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genera.engine.method import Method
from genera.engine.player import Player
from small_methods.ring import Points, Ring, RingAssets, SmallConfig, mlp


@dataclass
class Chains(Points):
    negatives: Tensor


class SmallEnergy(Method):
    """An energy model: Langevin chains start in a replay buffer, and the learning rate halves when validation does not
    improve. Both are training state."""

    dataset = Ring
    validation_gradients = True

    def __init__(self, config: SmallConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.energy = mlp(2, 1)
        self.register_training_state("replay", torch.randn(64, 2))
        self.register_training_state("rate", 1.0)

    def players(self) -> dict[str, Player]:
        optimiser = torch.optim.Adam(self.energy.parameters(), lr=self.config.lr, eps=1e-4)
        return {"energy": Player(self.energy, optimiser, lambda step, progress: self.rate)}

    def update(self, batch, step) -> None:
        rows, whole = len(batch), len(batch) * step.ranks.world
        chains = (step.index * whole + torch.arange(whole, device=batch.x.device)) % len(self.replay)
        starts = self.replay[chains[step.ranks.rank * rows :][:rows]]
        negatives = self.langevin(starts, step)
        step.minimise("energy", self.contrast, Chains(ids=batch.ids, x=batch.x, negatives=negatives))
        self.replay[chains] = step.gather(negatives)

    def langevin(self, x, step):
        for _ in range(3):
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(x).sum(), x)
            x = x - 0.1 * slope + 0.05 * step.normal(len(x), 2)
        return x.detach()

    def contrast(self, batch, step):
        real, fake = self.energy(batch.x), self.energy(batch.negatives)
        return {"loss": real.mean() - fake.mean() + 0.1 * (real.square() + fake.square()).mean()}

    def validate(self, batch, step):
        return {"loss": self.energy(batch.x).mean() - self.energy(self.langevin(batch.x, step)).mean()}

    def validated(self, figures, improved) -> None:
        if not improved:
            self.rate /= 2
