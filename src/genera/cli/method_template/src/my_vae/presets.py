"""Named runs. No torch."""

from genera.data.images.config import ImageConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset

from my_vae.config import MyVaeConfig

PRESETS = {
    "nano": Preset(
        summary="16 latents on world:shapes at 32x32; about a minute on a CPU",
        model=MyVaeConfig(width=16),
        train=TrainConfig(steps=1500, batch_size=64, validate_every=250, checkpoint_every=250),
        data=ImageConfig(data="world:shapes", image_size=32, limit=10_000),
    ),
    "small": Preset(
        summary="64 latents on world:shapes at 64x64",
        model=MyVaeConfig(latent_size=64, width=32),
        train=TrainConfig(epochs=20, batch_size=64),
        data=ImageConfig(data="world:shapes", image_size=64),
    ),
}
