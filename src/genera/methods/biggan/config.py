"""Config of BigGAN. No torch."""

from dataclasses import dataclass

from genera.blocks.resnet_gan_config import ResNetGanConfig


@dataclass(frozen=True, kw_only=True)
class BigGanConfig(ResNetGanConfig):
    """BigGAN of Brock et al. 2019 with the projection discriminator; quantiser.after makes it FQ-BigGAN."""
