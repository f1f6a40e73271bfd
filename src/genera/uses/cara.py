"""Label and latent taken apart by adversaries: the variant of Optimus' released code for labels (CARA), corrected.

A copy of the VAE becomes an autoencoder z = mu(x) whose decoder is given z + e_y, with an embedding e_y of the label. A
reader tries to tell y from z and the encoder hides it, so that e_y must say it; G(eps) learns the distribution of z
against a discriminator. Then x ~ p(x | G(eps) + e_y) carries the label y.

In the released code one optimiser minimises the sum of all losses: the reader's and the encoder's add up to the
constant 1, those of G and D cancel in the same way, all is multiplied by 0, and the embedding of label 0 stays zero.
Here each player descends its own loss, as in the adversarially regularised autoencoder (Zhao et al. 2018). The released
classifier of sentences has no path back into the model, and is left out.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genera.console import track
from genera.uses.latent_guides import AVERAGE, BETAS, LEARNING_RATE, descend, mlp

BATCH = 64
HIDE = 10.0
"""Weight of hiding the label, in nats of reconstruction: what z tells of the label is worth at most ln K of them."""


class CaraGuide(nn.Module):
    """K labels, P latent dimensions. The state holds the model's copy too."""

    def __init__(self, model: Any, classes: int, hidden: int) -> None:
        super().__init__()
        self.model = model
        self.labels = nn.Embedding(classes, model.latent_size)
        nn.init.zeros_(self.labels.weight)  # at first the decoder sees what it was trained on
        self.sampler = mlp(model.latent_size, hidden, model.latent_size)

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
        lr: float,
        seed: int,
    ) -> "CaraGuide":
        """model: encodes, and scores items given latents; it stays as it is. classes: (N,), on its device. lr: of its
        copy's weights. A pure function of `seed` on a CPU."""
        device = classes.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            guide = cls(copy.deepcopy(model).train(), count, hidden).to(device)
            size = guide.model.latent_size
            critic, reader = mlp(size, hidden, 1).to(device), mlp(size, hidden, count).to(device)
            own = torch.optim.AdamW(guide.model.parameters(), lr=lr, weight_decay=0.0)
            own.add_param_group({"params": guide.labels.parameters(), "lr": LEARNING_RATE})
            sampling = torch.optim.Adam(guide.sampler.parameters(), lr=LEARNING_RATE, betas=BETAS)
            judging = torch.optim.Adam([*critic.parameters(), *reader.parameters()], lr=LEARNING_RATE, betas=BETAS)
            average = [p.detach().clone() for p in guide.sampler.parameters()]
            for _ in track(range(steps), "taking label and latent apart"):
                rows = torch.randint(len(items), (BATCH,), device=device)
                x, y = [items[i] for i in rows.tolist()], classes[rows]
                z = guide.model.encode(x).mean
                fake = guide.sampler(torch.randn(BATCH, size, device=device))

                seen = z.detach()
                told = F.softplus(-critic(seen)).mean() + F.softplus(critic(fake.detach())).mean()
                descend(judging, told + F.cross_entropy(reader(seen), y))
                descend(sampling, F.softplus(-critic(fake)).mean())
                # Against the uniform answer: the released 1 - CE has no lower end.
                hidden_label = -F.log_softmax(reader(z), 1).mean()
                log_likelihood = guide.model.score_given(x, z + guide.labels(y)).mean()
                descend(own, HIDE * hidden_label - log_likelihood)
                torch._foreach_lerp_(average, [p.data for p in guide.sampler.parameters()], 1 - AVERAGE)
        for parameter, kept in zip(guide.sampler.parameters(), average, strict=True):
            parameter.data.copy_(kept)
        return guide.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, label: int, count: int, generator: Generator, degree: float) -> Tensor:
        """(count, P): what the copy of the model decodes into items of `label`."""
        weight = self.labels.weight
        noise = torch.randn(count, weight.shape[1], generator=generator, device=weight.device)
        return self.sampler(noise) + weight[label]
