"""Image models by construction: samplers, autoencoders and translators, on Fashion-MNIST where $GENERA_DATA has it,
else on the shapes world."""

import os
from copy import copy
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

import genera
import small_methods  # noqa: F401  (registers the small image VAE)
from gallery import Specimen, Truth
from genera.data.images.config import ImageConfig
from genera.data.images.dataset import ImageData
from genera.data.images.pairs import PairData
from genera.data.images.store import to_float, to_uint8
from genera.engine.capabilities import Posterior
from genera.engine.config import RunConfig, TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.method import Method
from genera.evaluation.evaluate import evaluate
from genera.evaluation.storage import Stored
from genera.files import write_text
from genera.run import Run
from genera.testing.runs import configured
from genera.worlds.shapes import SHAPES_PAIRS

IMAGES = 300
SIZE = 14


def source() -> ImageConfig:
    fashion = Path(os.environ.get("GENERA_DATA", "")) / "fashion_mnist"
    if fashion.is_dir():
        return ImageConfig(data=f"idx:{fashion}", image_size=SIZE, channels=1, limit=3000)
    return ImageConfig(data="world:shapes", image_size=SIZE, channels=1, limit=3000)


@cache
def data() -> ImageData:
    opened = ImageData.open(source())
    return replace(opened, world=None)  # a classifier reads the classes, as of any images


def stored_images(split: str) -> tuple[Tensor, Tensor]:
    """Images (N, C, S, S) and labels (N,)."""
    store = data().stores[split]
    return store.images(slice(3000)), torch.from_numpy(np.array(store.labels[:3000]))


# -- samplers ---------------------------------------------------------------------------------------------------------


class Sampler(Method):
    """Draws images in one of several states of health."""

    dataset = ImageData

    def __init__(self, health: str, opened: ImageData) -> None:
        super().__init__(None, opened.assets)
        self.place = nn.Parameter(torch.zeros(1))
        self.health, self.classes = health, len(opened.assets.classes)

    def sample(self, count, *, generator=None, classes=None, truncation=1.0):
        images, labels = stored_images("valid")
        if classes is None:
            classes = labels[torch.randint(len(labels), (count,), generator=generator)].tolist()
        wanted = torch.as_tensor(classes)
        if self.health == "label ignored":
            wanted = wanted[torch.randperm(count, generator=generator)]
        if self.health == "one class dropped":
            wanted = torch.where(wanted == 0, 1, wanted)
        if self.health == "copies of the training images":
            images, labels = stored_images("train")
        if self.health == "few images":
            images, labels = images[:30], labels[:30]
        rows = torch.empty(count, dtype=torch.long)
        for label in wanted.unique():
            of_class, asked = (labels == label).nonzero()[:, 0], wanted == label
            if self.health == "latent zeroed":
                of_class = of_class[:1]
            if not len(of_class):
                of_class = torch.arange(len(labels))
            number = int(asked.sum())
            order = torch.randperm(len(of_class), generator=generator).repeat(1 + number // len(of_class))
            rows[asked] = of_class[order[:number]]
        drawn = images[rows]
        if self.health == "noise":
            drawn = 2 * torch.rand(drawn.shape, generator=generator) - 1
        elif self.health == "one image":
            drawn = images[:1].expand(count, -1, -1, -1)
        elif self.health == "the mean image":
            drawn = images.mean(0, keepdim=True).expand(count, -1, -1, -1)
        elif self.health == "blobs":
            drawn = avg_pool2d(drawn, 7, stride=1, padding=3, count_include_pad=False)
        elif self.health == "noisy":
            drawn = (drawn + 0.5 * torch.randn(drawn.shape, generator=generator)).clamp(-1, 1)
        return list(drawn)


def run_of(method: Method, config: ImageConfig, folder: Path) -> Run:
    """A run of a method that is not registered."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "config.yaml", f"method: made\npreset: made\ndata: {{data: '{config.data}'}}\n")
    made = RunConfig(method="made", preset="made", data=config, train=TrainConfig(steps=1), model=None)
    return Run(RunFolder(folder), made, method, step=1)


def sampled(health: str, folder: Path, held_out: int | None = None) -> Stored:
    """held_out: use so many test images only."""

    class Opened(ImageData):
        @classmethod
        def open(cls, config, assets=None, **options):
            whole = data()
            if held_out is None:
                return whole
            few = copy(whole.stores["test"])
            few.pixels, few.labels = few.pixels[:held_out], few.labels[:held_out]
            return replace(whole, stores=dict(whole.stores) | {"test": few}, key=f"{whole.key}-{held_out}")

    method = Sampler(health, data())
    method.dataset = Opened
    run = run_of(method, source(), folder)
    return evaluate(run, measures=("fidelity", "factors", "memorisation"), fidelity={"images": IMAGES})


# -- autoencoders -----------------------------------------------------------------------------------------------------


class Autoencoder(Method):
    """Whose latent is the image, and whose decoder is in one of several states of health."""

    dataset = ImageData

    def __init__(self, health: str) -> None:
        super().__init__(None, data().assets)
        self.place = nn.Parameter(torch.zeros(1))
        self.health, self.latent_size = health, data().assets.channels * SIZE**2

    def encode(self, items):
        return Posterior(torch.stack(list(items)).flatten(1), None)

    def decode(self, z, *, generator=None):
        images = z.view(len(z), -1, SIZE, SIZE)
        if self.health == "blurred":
            images = avg_pool2d(images, 5, stride=1, padding=2, count_include_pad=False)
        elif self.health == "the mean image":
            images = stored_images("train")[0].mean(0, keepdim=True).expand(len(z), -1, -1, -1)
        elif self.health == "another image":
            images = images.roll(1, 0)
        elif self.health == "noisy":
            images = images + 0.5 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        return list(images.clamp(-1, 1))


def reconstructed(health: str, folder: Path) -> Stored:
    class Opened(ImageData):
        @classmethod
        def open(cls, config, assets=None, **options):
            return data()

    method = Autoencoder(health)
    method.dataset = Opened
    return evaluate(run_of(method, source(), folder), measures=("reconstruction",), reconstruction={"items": IMAGES})


def trained(steps: int, folder: Path) -> Stored:
    """A small VAE after so many steps."""
    config = replace(
        configured(
            "small-image-vae:tiny",
            {
                "train.steps": max(1, steps),
                "train.batch_size": 64,
                "train.log_every": 500,
                "train.checkpoint_every": 10_000,
                "train.validate_every": 0,
                "model.latent_size": 16,
                "model.width": 128,
                "model.lr": 3e-3 if steps else 1e-9,
            },
        ),
        data=source(),
    )
    genera.train(config, folder / "run")
    return evaluate(
        genera.load(folder / "run", device="cpu"),
        measures=("reconstruction", "fidelity", "memorisation"),
        fidelity={"images": IMAGES},
        reconstruction={"items": IMAGES},
    )


# -- translators ------------------------------------------------------------------------------------------------------


class Translator(Method):
    dataset = PairData
    directions = ("a2b", "b2a")

    def __init__(self, health: str, opened: PairData) -> None:
        super().__init__(None, opened.assets)
        self.place = nn.Parameter(torch.zeros(1))
        self.health, self.opened = health, opened

    def translate(self, items, direction):
        images = torch.stack(list(items))
        if self.health == "untranslated":
            return list(images)
        if self.health == "noise":
            return list(2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) - 1)
        if self.health == "other images of the target domain":
            return list(self.opened.domains[direction[2]]["valid"].images(slice(len(images))))
        true = to_float(SHAPES_PAIRS.translate(to_uint8(images).numpy(), direction[2]))
        return list(true[:1].expand_as(true) if self.health == "one image" else true)


def translated(health: str, folder: Path) -> Stored:
    config = ImageConfig(data="world:shapes-pairs", image_size=24, limit=1000)
    run = run_of(Translator(health, PairData.open(config)), config, folder)
    return evaluate(run, measures=("translation", "translation-truth"), translation={"images": 150})


# -- the gallery ------------------------------------------------------------------------------------------------------

SAMPLES, LABELS, RECONSTRUCTIONS = "generated images", "class labels", "reconstructions"
BOTH = ("translations from A to B", "translations from B to A")


def _samplers() -> list[Specimen]:
    def made(name: str, samples: Truth, labels: Truth | None = None, **changes) -> Specimen:
        uses = {SAMPLES: samples} | ({} if labels is None else {LABELS: labels})
        return Specimen("Generated images", name, uses, partial(sampled, changes.pop("health", name), **changes))

    return [
        made("real images", "sound", "sound"),
        made("noise", "broken", "broken"),
        made("one image", "broken", "broken"),
        made("few images", "broken"),
        made("the mean image", "broken", "broken"),
        made("latent zeroed", "broken", "sound"),
        made("blobs", "broken"),
        made("noisy", "broken"),
        made("one class dropped", "broken"),
        made("copies of the training images", "broken", "sound"),
        made("label ignored", "sound", "broken"),
        made("real images, 7 held out", "undecidable", health="real images", held_out=7),
        made("noise, 7 held out", "broken", health="noise", held_out=7),
    ]


def _autoencoders() -> list[Specimen]:
    made: list[tuple[str, Truth]] = [
        ("the image itself", "sound"),
        ("blurred", "broken"),
        ("the mean image", "broken"),
        ("another image", "broken"),
        ("noisy", "broken"),
    ]
    return [
        Specimen("Reconstructed images", name, {RECONSTRUCTIONS: truth}, partial(reconstructed, name))
        for name, truth in made
    ]


def _trained() -> list[Specimen]:
    return [
        Specimen(
            "A small VAE of images",
            f"after {steps} steps" if steps else "untrained",
            {SAMPLES: "broken", RECONSTRUCTIONS: "sound" if steps > 1000 else "broken"},
            partial(trained, steps),
            poor=steps < 100,
        )
        for steps in (0, 20, 200, 1500)
    ]


def _translators() -> list[Specimen]:
    made: list[tuple[str, Truth]] = [
        ("true translations", "sound"),
        ("untranslated", "broken"),
        ("noise", "broken"),
        ("one image", "broken"),
        ("other images of the target domain", "broken"),
    ]
    return [
        Specimen("Translated images", name, dict.fromkeys(BOTH, truth), partial(translated, name))
        for name, truth in made
    ]


SPECIMENS = [*_samplers(), *_autoencoders(), *_trained(), *_translators()]
