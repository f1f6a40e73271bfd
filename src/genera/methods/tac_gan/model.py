"""The discriminator of TAC-GAN: heads on the features of BigGAN's trunk."""

from typing import NamedTuple

from torch import Tensor, nn

from genera.blocks.resnet_gan import Trunk
from genera.blocks.resnet_gan_config import ResNetGanConfig
from genera.blocks.spectral import SpectralLinear


class Verdict(NamedTuple):
    score: Tensor
    """(B,), higher for real"""
    classes: Tensor | None
    """(B, K) logits of the classifier C, which learns on real images; None without classifiers"""
    twins: Tensor | None
    """(B, K) logits of the twin C^mi, which learns on fakes; None without one"""


class ClassifyingDiscriminator(Trunk):
    """Score, classifier and, if wanted, its twin. No head sees the class."""

    conditional = False

    def __init__(self, config: ResNetGanConfig, size: int, channels: int, classes: int, *, twin: bool) -> None:
        super().__init__(config, size, channels)
        eps = config.spectral_eps
        self.linear = SpectralLinear(self.outputs, 1, eps=eps)
        self.classifier = SpectralLinear(self.outputs, classes, eps=eps)
        self.twin: nn.Module | None = SpectralLinear(self.outputs, classes, eps=eps) if twin else None

    def forward(self, x: Tensor) -> Verdict:
        phi = self.features(x)
        return Verdict(self.linear(phi).squeeze(1), self.classifier(phi), None if self.twin is None else self.twin(phi))
