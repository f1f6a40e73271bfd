"""BigGAN: the losses and one training step; with a quantiser in the discriminator it is FQ-BigGAN."""

import torch

from genera.blocks.adversarial import hinge_discriminator, hinge_generator
from genera.blocks.resnet_gan import ProjectionDiscriminator
from genera.data.images.dataset import ImageBatch
from genera.engine.player import Terms
from genera.engine.step import Step
from genera.methods.families.conditional_gan import ConditionalGan


class BigGan(ConditionalGan):
    """Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", ICLR 2019; and Zhao et al.,
    "Feature Quantization Improves GAN Training", ICML 2020."""

    def make_discriminator(self, size: int, channels: int) -> ProjectionDiscriminator:
        return ProjectionDiscriminator(self.config, size, channels, self.classes)

    def update(self, batch: ImageBatch, step: Step) -> None:
        for rows in self.turns(batch):
            step.minimise("discriminator", self.discriminator_loss, rows)
        step.record(**self.quantisation.telemetry("quantiser/"))
        step.minimise("generator", self.generator_loss, rows)

    def discriminator_loss(self, batch: ImageBatch, step: Step) -> Terms:
        """L_D + α L_Q. Fakes and reals pass D as one batch."""
        n = len(batch)
        with torch.no_grad():
            fake, classes = self.fake(step, n)
        with self.quantisation.learning(fake=slice(n), real=slice(n, None)):
            scores = self.discriminator(torch.cat([fake, batch.images]), torch.cat([classes, self.labels(batch)]))
        on_fake, on_real = scores.float().split(n)
        adversarial, quantised = hinge_discriminator(on_real, on_fake), self.quantisation.terms()
        return {
            "loss": adversarial + sum(quantised.values()),
            "adversarial": adversarial,
            "real": on_real.mean(),
            "fake": on_fake.mean(),
            **quantised,
        }

    def generator_loss(self, batch: ImageBatch, step: Step) -> Terms:
        """L_G + α L_Q, whose gradient reaches G through D. Of the batch only the number of rows is used."""
        n = len(batch)
        fake, classes = self.fake(step, n)
        with self.quantisation.learning(fake=slice(n), generator_step=True):
            scores = self.discriminator(fake, classes)
        adversarial, quantised = hinge_generator(scores.float()), self.quantisation.terms()
        return {"loss": adversarial + sum(quantised.values()), "adversarial": adversarial, **quantised}
