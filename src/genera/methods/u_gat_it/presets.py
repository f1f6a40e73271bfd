"""Named runs of U-GAT-IT: the published ones at 256 pixels, and `nano`, which trains in CPU minutes."""

from dataclasses import replace

from genera.blocks.quantiser_config import QuantiserConfig
from genera.data.images.config import ImageConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.u_gat_it.config import UGatItConfig

PAPER_TRAIN = TrainConfig(
    steps=1_000_000, batch_size=1, clip=0.0, log_every=100, checkpoint_every=10_000, validate_every=0
)
PAPER_DATA = ImageConfig(data="pairs:selfie2anime", image_size=256, crop="random", flip=True)
FQ = QuantiserConfig(
    after=("layers.1", "layers.2", "layers.3"), codes=(64, 128, 128), decay=0.85, weight=2.0, ema="debias"
)
"""The published dictionaries: 64, 32 and 16 pixels, one set for each domain."""
FQ_NANO = replace(FQ, after=("layers.1", "layers.2"), codes=(32,), init="data", ema="ones", revive_below=0.1)
"""Dictionaries that begin with data and keep their codes alive."""

RUNS = {
    "nano": Preset(
        summary="32 pixels, 16 channels, light, from scratch; minutes on a laptop's CPU",
        model=UGatItConfig(light=True, width=16, blocks=2, global_halvings=3, local_halvings=2, lr=4e-4),
        train=TrainConfig(steps=1500, batch_size=4, clip=0.0, validate_every=0),
        data=ImageConfig(data="world:shapes-pairs", image_size=32),
    ),
    "full": Preset(
        summary="256 pixels, 279 million parameters per generator: the published run",
        model=UGatItConfig(),
        train=PAPER_TRAIN,
        data=PAPER_DATA,
    ),
    "light": Preset(
        summary="256 pixels, 10.6 million parameters per generator: the authors' light variant",
        model=UGatItConfig(light=True),
        train=PAPER_TRAIN,
        data=PAPER_DATA,
    ),
}


def _quantised(preset: Preset, quantiser: QuantiserConfig) -> Preset:
    summary = f"{preset.summary}; with feature quantisation (Zhao et al. 2020)"
    return replace(preset, summary=summary, model=replace(preset.model, quantiser=quantiser))


PRESETS = {
    **RUNS,
    **{f"{name}-fq": _quantised(run, FQ_NANO if name == "nano" else FQ) for name, run in RUNS.items()},
}
