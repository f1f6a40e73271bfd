"""Samplers of latents with a given label: mean differences, or a conditional GAN.

A guide is a module that maps a class, a count and a generator to latents (B, P); its state dict is its full state. K
classes, P latent dimensions, A anchors.
"""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genera.blocks.fitting import Fit, drawn, seeded
from genera.engine.capabilities import Posterior

ANCHORS = 2000
"""Number of start items for vectors, the same for each class."""
BATCH = 256
LEARNING_RATE = 1e-3
BETAS = (0.0, 0.9)  # with momentum the players oscillate and some dimensions collapse
AVERAGE = 0.995
"""Decay per step of the generator's moving average, which is the result."""


class VectorGuide(nn.Module):
    """An item of another class, moved by the difference of the two classes' mean latents."""

    centres: Tensor
    mean: Tensor
    log_variance: Tensor
    classes: Tensor

    def __init__(self, classes: int, size: int, anchors: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, size))  # mean posterior mean of each class
        self.register_buffer("mean", torch.zeros(anchors, size))
        self.register_buffer("log_variance", torch.zeros(anchors, size))
        self.register_buffer("classes", torch.zeros(anchors, dtype=torch.int64))

    @classmethod
    def fit(cls, posterior: Posterior, classes: Tensor, count: int) -> "VectorGuide":
        """posterior: of N items in random order; classes: (N,), each of the `count` classes among them."""
        mean, log_variance = _moments(posterior)
        members = [(classes == c).nonzero()[:, 0] for c in range(count)]
        anchors = torch.cat([rows[: max(1, ANCHORS // count)] for rows in members])
        guide = cls(count, mean.shape[1], len(anchors)).to(mean.device)
        guide.centres = torch.stack([mean[rows].mean(0) for rows in members])
        guide.mean, guide.log_variance, guide.classes = mean[anchors], log_variance[anchors], classes[anchors]
        return guide

    def forward(self, label: int, count: int, generator: Generator, degree: float) -> Tensor:
        others = (self.classes != label).nonzero()[:, 0]
        rows = others[torch.randint(len(others), (count,), generator=generator, device=others.device)]
        z = _sample(self.mean[rows], self.log_variance[rows], generator)
        return z + degree * (self.centres[label] - self.centres[self.classes[rows]])


class GanGuide(nn.Module):
    """G(eps, y) of the two-stage conditional GAN (Li et al. 2020, section 4.2): D tells it from q(z|x) of class y."""

    mean: Tensor
    spread: Tensor

    def __init__(self, classes: int, size: int, hidden: int) -> None:
        super().__init__()
        self.count, self.size = classes, size
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.network = mlp(size + classes, hidden, size)

    @classmethod
    def fit(
        cls, posterior: Posterior, classes: Tensor, count: int, *, hidden: int, steps: int, seed: int
    ) -> "GanGuide":
        """Alternate one update of D and one of G; the VAE is frozen. A pure function of `seed` on a CPU.

        The standard cross-entropy GAN loss, with the non-saturating loss -log D(G) for G.
        """
        mean, log_variance = _moments(posterior)
        device = mean.device
        with seeded(seed, device):
            guide = cls(count, mean.shape[1], hidden).to(device)
            critic = mlp(guide.size + count, hidden, 1).to(device)
            fit = Fit("training the guide", steps)
            descend_generator, descend_critic = (
                fit.optimiser(network.parameters(), "adam", lr=LEARNING_RATE, betas=BETAS)
                for network in (guide.network, critic)
            )
            guide.mean, guide.spread = mean.mean(0), mean.std(0) + 1e-6
            generator = torch.Generator(device).manual_seed(seed)
            average = [p.detach().clone() for p in guide.network.parameters()]
            for rows in fit.batches(drawn(len(mean), BATCH, generator=generator, device=device)):
                y = F.one_hot(classes[rows], count).to(mean.dtype)
                real = (_sample(mean[rows], log_variance[rows], generator) - guide.mean) / guide.spread
                fake = guide.standard(y, generator)

                truth, lie = critic(torch.cat([real, y], 1)), critic(torch.cat([fake.detach(), y], 1))
                descend_critic(F.softplus(-truth).mean() + F.softplus(lie).mean())  # -log D(z), -log(1 - D(G))
                descend_generator(F.softplus(-critic(torch.cat([fake, y], 1))).mean())  # -log D(G)
                torch._foreach_lerp_(average, [p.data for p in guide.network.parameters()], 1 - AVERAGE)
        for parameter, kept in zip(guide.network.parameters(), average, strict=True):
            parameter.data.copy_(kept)
        return guide.requires_grad_(False)

    def standard(self, y: Tensor, generator: Generator) -> Tensor:
        """y: (B, K) one-hot → (B, P) latents in units of the data's spread."""
        noise = torch.randn(len(y), self.size, generator=generator, device=y.device)
        return self.network(torch.cat([noise, y], 1))

    @torch.no_grad()
    def forward(self, label: int, count: int, generator: Generator, degree: float) -> Tensor:
        y = torch.zeros(count, self.count, device=self.mean.device)
        y[:, label] = 1
        return self.mean + self.spread * self.standard(y, generator)


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, outputs),
    )


def _moments(posterior: Posterior) -> tuple[Tensor, Tensor]:
    """Mean and log variance of N posteriors, each (N, P); points have a log variance of -inf."""
    mean = posterior.mean
    return mean, torch.full_like(mean, -torch.inf) if posterior.log_variance is None else posterior.log_variance


def _sample(mean: Tensor, log_variance: Tensor, generator: Generator) -> Tensor:
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return mean + (0.5 * log_variance).exp() * noise
