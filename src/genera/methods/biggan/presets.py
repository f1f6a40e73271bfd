"""Presets of BigGAN: the runs of the FQ-GAN paper, each with feature quantisation (`-fq`) and without.

The batch size is that of one D update times the number of D updates per step.
"""

from dataclasses import replace

from genera.blocks.quantiser_config import QuantiserConfig
from genera.data.images.config import ImageConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.biggan.config import BigGanConfig

BLOCKS = ("blocks.0", "blocks.1", "blocks.2", "blocks.3")

CIFAR = BigGanConfig()
IMAGENET = BigGanConfig(
    latent_size=120,
    shared_embedding=128,
    hierarchical=True,
    attention=64,
    test_statistics="running",
    first_weights="orthogonal",
    spectral_eps=1e-6,
    d_steps=1,
    g_lr=1e-4,
    d_lr=4e-4,
    adam_eps=1e-6,
)
# In short runs Adam must forget the steep gradients of the first steps soon, hence β2 = 0.9.
NANO = BigGanConfig(
    width=8,
    latent_size=32,
    d_steps=1,
    d_lr=4e-4,
    betas=(0.0, 0.9),
    test_statistics="running",
    first_weights="orthogonal",
    spectral_iterations=3,
)

PAPER_TRAIN = TrainConfig(epochs=500, batch_size=256, clip=0, ema=0.9999, ema_start=1000, validate_every=0)
IMAGENET_TRAIN = replace(PAPER_TRAIN, epochs=100, ema_start=20_000, checkpoint_every=2000)
NANO_TRAIN = TrainConfig(steps=3000, batch_size=16, clip=0, ema=0.99, ema_start=100, validate_every=0)

RUNS = {
    "nano": (
        "width 8, 28 or 32 px; minutes on a laptop's CPU",
        NANO,
        NANO_TRAIN,
        ImageConfig(classes=10),
        QuantiserConfig(
            after=BLOCKS[:3], codes=(64,), decay=0.9, weight=1.0, init="data", ema="ones", revive_below=0.1
        ),
    ),
    "cifar10": (
        "CIFAR-10, 32 px, width 64, 4 D updates per step",
        CIFAR,
        PAPER_TRAIN,
        ImageConfig(data="cifar:cifar-10", classes=10),
        QuantiserConfig(after=BLOCKS, codes=(1024,), decay=0.8, weight=1.0),
    ),
    "cifar100": (
        "CIFAR-100, 32 px, width 64, 4 D updates per step",
        CIFAR,
        PAPER_TRAIN,
        ImageConfig(data="cifar:cifar-100", classes=100),
        QuantiserConfig(after=BLOCKS, codes=(64,), decay=0.9, weight=10.0),
    ),
    "imagenet64": (
        "ImageNet, 64 px, width 64, attention at 32",
        replace(IMAGENET, attention=32),
        replace(IMAGENET_TRAIN, batch_size=512, accumulate=4),
        ImageConfig(data="images:imagenet", image_size=64, classes=1000),
        QuantiserConfig(after=BLOCKS[2:3], codes=(1024,), decay=0.7, weight=0.5),
    ),
    "imagenet128": (
        "ImageNet, 128 px, width 64, attention at 64",
        IMAGENET,
        replace(IMAGENET_TRAIN, batch_size=1024, accumulate=4),
        ImageConfig(data="images:imagenet", image_size=128, classes=1000),
        QuantiserConfig(after=BLOCKS, codes=(1024,), decay=0.8, weight=15.0),
    ),
    "imagenet256": (
        "ImageNet, 256 px, width 64, attention at 64, 140-dimensional z; not published with quantisation",
        replace(IMAGENET, latent_size=140),
        replace(IMAGENET_TRAIN, batch_size=1024, accumulate=16),
        ImageConfig(data="images:imagenet", image_size=256, classes=1000),
        None,
    ),
}

PRESETS = {}
for name, (summary, model, schedule, data, quantiser) in RUNS.items():
    PRESETS[name] = Preset(summary=summary, model=model, train=schedule, data=data)
    if quantiser:
        where = f"quantised after {len(quantiser.after)} block{'s' * (len(quantiser.after) > 1)} of D"
        PRESETS[f"{name}-fq"] = Preset(
            summary=f"{summary}; {where}", model=replace(model, quantiser=quantiser), train=schedule, data=data
        )
