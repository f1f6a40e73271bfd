"""Named runs of StyleGAN2. `ffhqR` is the published config-e at R pixels; `nano` trains in CPU minutes."""

from dataclasses import replace

from genera.blocks.quantiser_config import QuantiserConfig
from genera.data.images.config import ImageConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.stylegan2.config import StyleGan2Config

BATCH = 32
IMAGES = 25_000_000
HALF_LIFE = 10_000
"""Images after which a weight counts half in the moving average of G."""


def _train(batch: int, images: int) -> TrainConfig:
    return TrainConfig(
        steps=images // batch, batch_size=batch, clip=0.0, ema=0.5 ** (batch / HALF_LIFE), validate_every=0
    )


def _ffhq(size: int, model: StyleGan2Config | None = None) -> Preset:
    return Preset(
        summary=f"FFHQ at {size} pixels, config-{'f' if model else 'e'}: the published 25 million images",
        model=model or StyleGan2Config(),
        train=replace(_train(BATCH, IMAGES), checkpoint_every=5_000),
        data=ImageConfig(data="images:ffhq", image_size=size, flip=True),
    )


def _quantised(preset: Preset, quantiser: QuantiserConfig) -> Preset:
    summary = f"{preset.summary}; with feature quantisation (Zhao et al. 2020)"
    return replace(preset, summary=summary, model=replace(preset.model, quantiser=quantiser))


FQ = QuantiserConfig(
    after=("blocks.5", "blocks.4"), codes=(128,), decay=0.8, weight=0.25, init="variance_scaling", ema="debias"
)
"""The published run on config-e: dictionaries at 16 and 8 pixels."""
FQ_SMALL = replace(FQ, after=("blocks.3",), codes=(1024,), weight=5.0)
"""What was published for 32 to 128 pixels, on the older StyleGAN: one dictionary at 4 pixels."""
FQ_NANO = replace(FQ, codes=(64,), init="data", ema="ones", revive_below=0.1)
"""Dictionaries that begin with data and keep their codes alive."""

SIZES = (32, 64, 128, 256, 512, 1024)
NANO = Preset(
    summary="32 pixels, 64 channels, from scratch; minutes on a laptop's CPU",
    model=StyleGan2Config(base_width=1024, max_width=64, latent_size=64, mapping_layers=4, r1=1.0),
    train=_train(16, 32_000),
    data=ImageConfig(image_size=32),
)

PRESETS = {
    "nano": NANO,
    "nano-fq": _quantised(NANO, FQ_NANO),
    **{f"ffhq{size}": _ffhq(size) for size in SIZES},
    **{f"ffhq{size}-fq": _quantised(_ffhq(size), FQ_SMALL if size <= 128 else FQ) for size in SIZES},
    "ffhq1024-f": _ffhq(1024, StyleGan2Config(base_width=16384, r1=10.0)),
}
