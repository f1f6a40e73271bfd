"""U-GAT-IT: the losses, one training step, and what the trained model can do."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

from genera.blocks.optimisers import build_optimiser
from genera.blocks.quantisation import insert
from genera.blocks.quantiser import ALL
from genera.blocks.schedules import schedule
from genera.data.images.dataset import ImageAssets
from genera.data.images.pairs import PairBatch, PairData
from genera.engine.method import Method
from genera.engine.optimisers import can_fuse
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.methods.u_gat_it.config import UGatItConfig
from genera.methods.u_gat_it.model import Discriminator, Generator, clip_shares, initialise, kernels

ROWS_AT_ONCE = 16
"""Images translated together."""


class UGatIt(Method):
    """Kim et al., "U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive Layer-Instance Normalization
    for Image-to-Image Translation", ICLR 2020; with dictionaries in D, Zhao et al., ICML 2020."""

    dataset = PairData
    directions = ("a2b", "b2a")

    def __init__(self, config: UGatItConfig, assets: ImageAssets) -> None:
        super().__init__(config, assets)
        self.config: UGatItConfig = config
        self.assets: ImageAssets = assets
        size, channels = assets.size, assets.channels
        self.generators = nn.ModuleDict({way: Generator(config, size, channels) for way in self.directions})
        halvings = {"global": config.global_halvings, "local": config.local_halvings}
        self.discriminators = nn.ModuleDict(
            {
                f"{scope}_{domain}": Discriminator(config, channels, halvings[scope])
                for domain in ("a", "b")
                for scope in halvings
            }
        )
        example = torch.zeros(1, channels, size, size)
        self.quantisations = {
            domain: insert(self.discriminators[f"global_{domain}"], config.quantiser, example) for domain in ("a", "b")
        }
        self.dictionaries = nn.ModuleDict(self.quantisations)

    # training

    def initialise(self) -> None:
        initialise(self.generators)
        initialise(self.discriminators)

    def players(self) -> dict[str, Player]:
        judges = nn.ModuleList([self.discriminators, self.dictionaries])
        return {"discriminators": self._player(judges), "generators": self._player(self.generators)}

    def _player(self, network: nn.Module) -> Player:
        """½|w|² in the loss; the rate is constant for one half of the training and falls to 0 in the other."""
        trained = [p for p in network.parameters() if p.requires_grad]
        held = set(kernels(network)) if self.config.release == "tensorflow" else set(trained)
        groups = [
            {"params": [p for p in trained if p in held], "weight_decay": self.config.weight_decay},
            {"params": [p for p in trained if p not in held], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        config, fused = self.config, can_fuse(network)
        optimiser = build_optimiser(
            config.optimiser, groups, lr=config.lr, fused=fused, betas=(0.5, 0.999), eps=config.adam_eps
        )
        return Player(network, optimiser, schedule("linear", decay_after=0.5), averaged=network is self.generators)

    def update(self, batch: PairBatch, step: Step) -> None:
        step.minimise("discriminators", self.discriminator_loss, batch)
        for domain, quantisation in self.quantisations.items():
            step.record(**quantisation.telemetry(f"quantiser/{domain}/"))
        step.minimise("generators", self.generator_loss, batch)
        clip_shares(self.generators)

    def discriminator_loss(self, batch: PairBatch, step: Step) -> Terms:
        """(D(x) - 1)² + D(G)² over the local and global discriminators' maps and domain logits, in both domains."""
        with torch.no_grad():
            to_b, to_a = self.generators["a2b"](batch.a)[0], self.generators["b2a"](batch.b)[0]
        real_a, fake_a = self.judge("a", batch.a, "real", 1.0), self.judge("a", to_a, "fake", 0.0)
        real_b, fake_b = self.judge("b", batch.b, "real", 1.0), self.judge("b", to_b, "fake", 0.0)
        said, quantised = {"real": real_a + real_b, "fake": fake_a + fake_b}, self.quantised()
        adversarial = self.config.adversarial * (said["real"] + said["fake"])
        return {"loss": adversarial + sum(quantised.values()), **said, **quantised}

    def generator_loss(self, batch: PairBatch, step: Step) -> Terms:
        """Adversarial + cycle + identity + attention losses of both directions (equations 3 to 6)."""
        a, b = batch.a, batch.b
        a2b, b2a = self.generators["a2b"], self.generators["b2a"]
        (to_b, source_a, _), (to_a, source_b, _) = a2b(a), b2a(b)
        (same_b, known_b, _), (same_a, known_a, _) = a2b(b), b2a(a)
        judged_a = self.judge("a", to_a, "fake", 1.0, generator_step=True)
        judged_b = self.judge("b", to_b, "fake", 1.0, generator_step=True)
        terms: Terms = {
            "adversarial": judged_a + judged_b,
            "cycle": l1_loss(b2a(to_b)[0], a) + l1_loss(a2b(to_a)[0], b),
            "identity": l1_loss(same_a, a) + l1_loss(same_b, b),
            "attention": _tells(source_a, known_b) + _tells(source_b, known_a),
        }
        weighted, quantised = [weight * terms[name] for name, weight in self.weights.items()], self.quantised()
        return {"loss": torch.stack([*quantised.values(), *weighted]).sum(), **terms, **quantised}

    @property
    def weights(self) -> dict[str, float]:
        return {name: getattr(self.config, name) for name in ("adversarial", "cycle", "identity", "attention")}

    def judge(
        self,
        domain: Literal["a", "b"],
        images: Tensor,
        kind: Literal["fake", "real"],
        target: float,
        *,
        generator_step: bool = False,
    ) -> Tensor:
        """Least-squares distance from `target` of all that the domain's discriminators say, summed."""
        everything = list(self.discriminators[f"local_{domain}"](images))
        with self.quantisations[domain].learning(**{kind: ALL}, generator_step=generator_step):
            everything += self.discriminators[f"global_{domain}"](images)
        return torch.stack([(said.float() - target).square().mean() for said in everything]).sum()

    def quantised(self) -> Terms:
        """The commitment losses of both domains' dictionaries, summed."""
        one, other = (quantisation.terms() for quantisation in self.quantisations.values())
        return {name: one[name] + other[name] for name in one}

    # what the trained model can do

    @torch.no_grad()
    def translate(self, items: Sequence[Tensor], direction: str) -> list[Tensor]:
        """Images (C, S, S) in [-1, 1] of one domain → as many of the other. direction: a2b or b2a."""
        return [image for part in self._parts(items) for image in self.generators[direction](part)[0].float().cpu()]

    @torch.no_grad()
    def attention(self, items: Sequence[Tensor], direction: str) -> list[Tensor]:
        """What the translation attends to: (S/4, S/4) in [0, 1] for each image, 1 at its most attended place."""
        maps = torch.cat([self.generators[direction](part)[2].float() for part in self._parts(items)])
        low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
        return list(((maps - low) / (high - low).clamp(min=1e-12)).cpu())

    def _parts(self, items: Sequence[Tensor]) -> list[Tensor]:
        device = next(self.parameters()).device
        return [torch.stack(list(items[i : i + ROWS_AT_ONCE])).to(device) for i in range(0, len(items), ROWS_AT_ONCE)]


def _tells(source: Tensor, other: Tensor) -> Tensor:
    """The generator's domain logits (B, 2) should be 1 for the domain it translates, 0 for the one it makes."""
    ones, zeros = torch.ones_like(source), torch.zeros_like(other)
    return binary_cross_entropy_with_logits(source, ones) + binary_cross_entropy_with_logits(other, zeros)
