"""TAC-GAN: the losses of its two players and one training step, with AC-GAN and projection beside it."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genera.blocks.adversarial import hinge_discriminator, hinge_generator
from genera.blocks.resnet_gan import ProjectionDiscriminator
from genera.data.images.dataset import ImageAssets, ImageBatch
from genera.engine.player import Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.methods.families.conditional_gan import ConditionalGan
from genera.methods.tac_gan.config import TacGanConfig
from genera.methods.tac_gan.model import ClassifyingDiscriminator, Verdict


class TacGan(ConditionalGan):
    """Gong et al., "Twin Auxiliary Classifiers GAN", NeurIPS 2019; AC-GAN: Odena et al., ICML 2017."""

    def __init__(self, config: TacGanConfig, assets: ImageAssets) -> None:
        if len(assets.classes) < 2:
            problem = f"has one class, {assets.classes[0]!r}" if assets.classes else "has no labels"
            raise GeneraError(f"tac-gan learns from classes and the data {problem}; give labelled data, or use biggan.")
        super().__init__(config, assets)
        self.config: TacGanConfig = config

    def make_discriminator(self, size: int, channels: int) -> Any:
        config: TacGanConfig = self.config
        if config.classifier == "projection":
            return ProjectionDiscriminator(config, size, channels, self.classes)
        return ClassifyingDiscriminator(config, size, channels, self.classes, twin=config.classifier == "twin")

    def update(self, batch: ImageBatch, step: Step) -> None:
        turns = self.turns(batch)
        for rows in turns:
            step.minimise("discriminator", self.discriminator_loss, rows)
        step.record(**self.quantisation.telemetry("quantiser/"))
        for _ in range(self.config.g_steps):
            step.minimise("generator", self.generator_loss, turns[0])

    def discriminator_loss(self, batch: ImageBatch, step: Step) -> Terms:
        """hinge + w [ℓ(C(x), y) + ℓ(C^mi(G(z, y)), y)] + α L_Q: C learns on reals alone, its twin on fakes alone."""
        n, labels = len(batch), self.labels(batch)
        with torch.no_grad():
            fake, classes = self.fake(step, n)
        with self.quantisation.learning(fake=slice(n), real=slice(n, None)):
            verdict = self.judge(torch.cat([fake, batch.images]), torch.cat([classes, labels]))
        on_fake, on_real = verdict.score.split(n)
        terms = {"adversarial": hinge_discriminator(on_real, on_fake), **self.quantisation.terms()}
        if verdict.classes is not None:
            terms["classifier"] = self.learning_loss(verdict.classes[n:], labels)
        if verdict.twins is not None:
            terms["twin"] = self.learning_loss(verdict.twins[:n], classes)
        return {**self.total(terms), "real": on_real.mean(), "fake": on_fake.mean()}

    def generator_loss(self, batch: ImageBatch, step: Step) -> Terms:
        """-D + w [ℓ(C(G(z, y)), y) - ℓ(C^mi(G(z, y)), y)] + α L_Q. Of the batch only the number of rows is used."""
        n = len(batch)
        fake, classes = self.fake(step, n)
        with self.quantisation.learning(fake=slice(n), generator_step=True):
            verdict = self.judge(fake, classes)
        terms = {"adversarial": hinge_generator(verdict.score), **self.quantisation.terms()}
        if verdict.classes is not None:
            terms["classifier"] = self.fooling_loss(verdict.classes, classes)
        if verdict.twins is not None:
            terms["twin"] = -self.fooling_loss(verdict.twins, classes)
        return self.total(terms)

    def judge(self, images: Tensor, classes: Tensor) -> Verdict:
        if self.discriminator.conditional:
            return Verdict(self.discriminator(images, classes).float(), None, None)
        score, logits, twins = self.discriminator(images)
        return Verdict(score.float(), logits.float(), None if twins is None else twins.float())

    def total(self, terms: Terms) -> Terms:
        weights = {"classifier": self.config.classifier_weight, "twin": self.config.classifier_weight}
        return {"loss": sum(weights.get(name, 1.0) * term for name, term in terms.items()), **terms}  # type: ignore[dict-item]

    def learning_loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        """ℓ of a classifier that learns: cross-entropy, or the mean over all classes j of max(0, 1 - p_y + p_j)."""
        if self.config.classifier_loss == "cross-entropy":
            return F.cross_entropy(logits, classes)
        return F.relu(1 - logits.gather(1, classes[:, None]) + logits).mean()

    def fooling_loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        """ℓ as the generator sees it: the hinge without its corner, p_j - p_y."""
        if self.config.classifier_loss == "cross-entropy":
            return F.cross_entropy(logits, classes)
        return (logits - logits.gather(1, classes[:, None])).mean()
