"""Config of TAC-GAN. The defaults are the published CIFAR settings. No torch."""

from dataclasses import dataclass
from typing import Literal

from genera.blocks.resnet_gan_config import ResNetGanConfig


@dataclass(frozen=True, kw_only=True)
class TacGanConfig(ResNetGanConfig):
    """BigGAN's trunk with twin auxiliary classifiers (Gong et al. 2019) or one of the baselines."""

    d_steps: int = 2
    """Discriminator updates per step, each on its own rows."""
    g_steps: int = 1
    """Generator updates per step."""
    classifier: Literal["twin", "auxiliary", "projection"] = "twin"
    """twin: TAC-GAN. auxiliary: AC-GAN, without the twin classifier. projection: BigGAN's projection discriminator."""
    classifier_loss: Literal["cross-entropy", "hinge"] = "cross-entropy"
    """Loss of the classifiers; hinge: the multi-class hinge of the variant Twin-AC-M."""
    classifier_weight: float = 1.0
    """Weight of the classifier terms relative to the adversarial terms."""

    def check(self) -> list[str]:
        rules = [
            (self.g_steps >= 1, f"--g-steps must be at least 1, got {self.g_steps}"),
            (self.classifier_weight >= 0, f"--classifier-weight must be 0 or above, got {self.classifier_weight}"),
            (
                self.classifier != "projection" or self.classifier_loss == "cross-entropy",
                "--classifier-loss is for classifiers, but --classifier projection has none",
            ),
        ]
        return super().check() + [complaint for holds, complaint in rules if not holds]
