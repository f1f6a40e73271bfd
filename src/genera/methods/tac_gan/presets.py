"""Presets of TAC-GAN, each with feature quantisation (`-fq`) and without, and its baselines at the small size.

The batch size is that of one D update times the number of D updates per step. No dictionaries were published for
TAC-GAN; the presets use BigGAN's for the same data.
"""

from dataclasses import replace

from genera.blocks.quantiser_config import QuantiserConfig
from genera.data.images.config import ImageConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.tac_gan.config import TacGanConfig

BLOCKS = ("blocks.0", "blocks.1", "blocks.2", "blocks.3")

CIFAR = TacGanConfig()
CIFAR_TRAIN = TrainConfig(epochs=500, batch_size=200, clip=0, ema=0.9999, ema_start=10_000, validate_every=0)
IMAGENET = TacGanConfig(
    latent_size=120,
    shared_embedding=128,
    hierarchical=True,
    attention=64,
    test_statistics="running",
    first_weights="orthogonal",
    spectral_eps=1e-6,
    d_steps=2,
    g_steps=2,
    g_lr=1e-4,
    d_lr=4e-4,
    adam_eps=1e-6,
)
# As biggan:nano. In short runs Adam must forget the steep gradients of the first steps soon, hence β2 = 0.9.
NANO = TacGanConfig(
    width=8,
    latent_size=32,
    d_steps=1,
    d_lr=4e-4,
    betas=(0.0, 0.9),
    test_statistics="running",
    first_weights="orthogonal",
    spectral_iterations=3,
)
NANO_TRAIN = TrainConfig(steps=3000, batch_size=16, clip=0, ema=0.99, ema_start=100, validate_every=0)

RUNS = {
    "nano": (
        Preset(
            summary="width 8, 28 or 32 px; minutes on a laptop's CPU",
            model=NANO,
            train=NANO_TRAIN,
            data=ImageConfig(classes=10),
        ),
        QuantiserConfig(
            after=BLOCKS[:3], codes=(64,), decay=0.9, weight=1.0, init="data", ema="ones", revive_below=0.1
        ),
    ),
    "cifar10": (
        Preset(
            summary="CIFAR-10, 32 px, width 64, 2 D updates per step",
            model=CIFAR,
            train=CIFAR_TRAIN,
            data=ImageConfig(data="cifar:cifar-10", classes=10),
        ),
        QuantiserConfig(after=BLOCKS, codes=(1024,), decay=0.8, weight=1.0),
    ),
    "cifar100": (
        Preset(
            summary="CIFAR-100, 32 px, width 64, 2 D updates per step",
            model=CIFAR,
            train=CIFAR_TRAIN,
            data=ImageConfig(data="cifar:cifar-100", classes=100),
        ),
        QuantiserConfig(after=BLOCKS, codes=(64,), decay=0.9, weight=10.0),
    ),
    "imagenet128": (
        Preset(
            summary="ImageNet, 128 px, width 64, attention at 64, 2 D and 2 G updates per step",
            model=IMAGENET,
            train=replace(
                CIFAR_TRAIN, epochs=100, ema_start=20_000, batch_size=2048, accumulate=4, checkpoint_every=2000
            ),
            data=ImageConfig(data="images:imagenet", image_size=128, classes=1000),
        ),
        QuantiserConfig(after=BLOCKS, codes=(1024,), decay=0.8, weight=15.0),
    ),
}

PRESETS = {}
for name, (run, quantiser) in RUNS.items():
    PRESETS[name] = run
    PRESETS[f"{name}-fq"] = replace(
        run,
        summary=f"{run.summary}; quantised after {len(quantiser.after)} blocks of D",
        model=replace(run.model, quantiser=quantiser),
    )
NANO_RUN = RUNS["nano"][0]
PRESETS["nano-ac"] = replace(
    NANO_RUN, summary="nano as AC-GAN: without the twin classifier", model=replace(NANO, classifier="auxiliary")
)
PRESETS["nano-projection"] = replace(
    NANO_RUN,
    summary="nano with the projection discriminator: without classifiers",
    model=replace(NANO, classifier="projection"),
)
