"""Adversarial separation of label and latent: the label-conditional variant of Optimus (CARA), corrected.

A copy of the VAE becomes an autoencoder z = mu(x) whose decoder receives z + e_y, with an embedding e_y of the label. A
reader predicts y from z and the encoder works against it, so that e_y must carry the label. A GAN then learns the
distribution of z, and x ~ p(x | G(eps) + e_y) has the label y.

In the released code one optimiser minimises the sum of all losses: the reader's and the encoder's add up to the
constant 1, those of G and D cancel in the same way, all is multiplied by 0, and the embedding of label 0 stays zero.
Here each player minimises its own loss, and G trains after the autoencoder. The released sentence classifier does not
backpropagate into the model and is omitted.
"""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genera.blocks.fitting import Fit, drawn, seeded
from genera.engine.capabilities import Posterior
from genera.uses.latent_guides import BETAS, LEARNING_RATE, GanGuide, mlp

BATCH = 64
ENCODED_AT_ONCE = 512
HIDE = 10.0
"""Weight of hiding the label, in nats of reconstruction: what z tells of the label is worth at most ln K of them."""


class CaraGuide(nn.Module):
    """K labels, P latent dimensions. The state holds the model's copy too."""

    def __init__(self, model: Any, classes: int, hidden: int) -> None:
        super().__init__()
        self.model = model
        self.labels = nn.Embedding(classes, model.latent_size)
        nn.init.zeros_(self.labels.weight)  # the decoder initially sees the latents it was trained on
        self.sampler = GanGuide(1, model.latent_size, hidden)

    @classmethod
    def fit(
        cls,
        model: Any,
        items: Sequence[str],
        classes: Tensor,
        count: int,
        *,
        hidden: int,
        steps: int,
        gan_steps: int,
        lr: float,
        seed: int,
    ) -> Self:
        """model: encodes, and scores items given latents; it stays as it is. classes: (N,), on its device. lr: of its
        copy's weights, which decays to 0. A pure function of `seed` on a CPU."""
        device = classes.device
        with seeded(seed, device):
            guide = cls(copy.deepcopy(model).train(), count, hidden).to(device)
            guide.separate(items, classes, mlp(model.latent_size, hidden, count).to(device), steps, lr)
            guide.eval().requires_grad_(False)
            parts = [items[i : i + ENCODED_AT_ONCE] for i in range(0, len(items), ENCODED_AT_ONCE)]
            z = torch.cat([guide.model.encode(part).mean for part in parts])
            everyone = torch.zeros_like(classes)
            guide.sampler = GanGuide.fit(Posterior(z), everyone, 1, hidden=hidden, steps=gan_steps, seed=seed)
        return guide

    def separate(self, items: Sequence[str], classes: Tensor, reader: nn.Module, steps: int, lr: float) -> None:
        """Alternate one update of the reader and one of the autoencoder that hides the label from it."""
        labels = {"params": self.labels.parameters(), "lr": LEARNING_RATE}
        fit = Fit("separating label and latent", steps)
        descend_autoencoder = fit.optimiser(
            [{"params": self.model.parameters()}, labels], "adamw", lr=lr, schedule="linear"
        )
        descend_reader = fit.optimiser(reader.parameters(), "adam", lr=LEARNING_RATE, betas=BETAS)
        for rows in fit.batches(drawn(len(items), BATCH, device=classes.device)):
            x, y = [items[i] for i in rows.tolist()], classes[rows]
            z = self.model.encode(x).mean
            descend_reader(F.cross_entropy(reader(z.detach()), y))
            # Against the uniform answer: the released 1 - CE has no lower end.
            hidden_label = -F.log_softmax(reader(z), 1).mean()
            log_likelihood = self.model.score_given(x, z + self.labels(y)).mean()
            descend_autoencoder(HIDE * hidden_label - log_likelihood)

    @torch.no_grad()
    def forward(self, label: int, count: int, generator: Generator, degree: float) -> Tensor:
        """(count, P): latents that the copy of the model decodes to items of `label`."""
        return self.sampler(0, count, generator, degree) + self.labels.weight[label]
