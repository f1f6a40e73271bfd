"""What can be chosen in TAC-GAN. The defaults are the published CIFAR settings. No torch."""

from dataclasses import dataclass
from typing import Literal

from genera.blocks.resnet_gan_config import ResNetGanConfig


@dataclass(frozen=True, kw_only=True)
class TacGanConfig(ResNetGanConfig):
    """BigGAN's trunk judged by twin auxiliary classifiers (Gong et al. 2019) or by one of their rivals."""

    d_steps: int = 2
    """Turns of the discriminator in a step, each on its own rows."""
    g_steps: int = 1
    """Turns of the generator in a step."""
    classifier: Literal["twin", "auxiliary", "projection"] = "twin"
    """twin: TAC-GAN; auxiliary: AC-GAN, without the twin; projection: BigGAN's discriminator, without classifiers."""
    classifier_loss: Literal["cross-entropy", "hinge"] = "cross-entropy"
    """hinge: the multi-class hinge of the variant Twin-AC-M."""
    classifier_weight: float = 1.0
    """Weight of the classifiers' terms beside the adversarial ones."""

    def check(self) -> list[str]:
        rules = [
            (self.g_steps >= 1, f"--g-steps must be at least 1, got {self.g_steps}"),
            (self.classifier_weight >= 0, f"--classifier-weight must be 0 or above, got {self.classifier_weight}"),
            (
                self.classifier != "projection" or self.classifier_loss == "cross-entropy",
                "--classifier-loss is for classifiers, and --classifier projection has none",
            ),
        ]
        return super().check() + [complaint for holds, complaint in rules if not holds]
