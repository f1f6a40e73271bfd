"""Named runs of StyleGAN2. `ffhqR` is the published config-e at R pixels; `nano` trains in CPU minutes."""

from genera.data.image_config import ImageConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.stylegan2.config import StyleGan2Config

BATCH = 32
IMAGES = 25_000_000
HALF_LIFE = 10_000
"""Images after which a weight counts half in the moving average of G."""


def _train(batch: int, images: int, **options: int) -> TrainConfig:
    return TrainConfig(
        steps=images // batch, batch_size=batch, clip=0.0, ema=0.5 ** (batch / HALF_LIFE), validate_every=0, **options
    )


def _ffhq(size: int, config: str = "e", **options: float) -> Preset:
    return Preset(
        summary=f"FFHQ at {size} pixels, config-{config}: the published 25 million images",
        model=StyleGan2Config(**options),
        train=_train(BATCH, IMAGES, checkpoint_every=5_000),
        data=ImageConfig(data="images:ffhq", image_size=size, flip=True),
    )


NANO = StyleGan2Config(base_width=1024, max_width=64, latent_size=64, mapping_layers=4, r1=1.0)

PRESETS = {
    "nano": Preset(
        summary="32 pixels, 64 channels, from scratch; minutes on a laptop's CPU",
        model=NANO,
        train=_train(16, 32_000),
        data=ImageConfig(image_size=32),
    ),
    **{f"ffhq{size}": _ffhq(size) for size in (32, 64, 128, 256, 512, 1024)},
    "ffhq1024-f": _ffhq(1024, "f", base_width=16384, r1=10.0),
}
