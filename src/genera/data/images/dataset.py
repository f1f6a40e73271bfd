"""Images ready for training: source → one shape → a memory-mapped cache of uint8 → batches of floats in [-1, 1]."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from genera.console import say
from genera.data.batch import Batch
from genera.data.images.config import ImageConfig
from genera.data.images.parts import ImageSource
from genera.data.images.sources import parse_images
from genera.data.images.store import ImageStore, augmented, counts, shape, stored
from genera.data.streams import Draw, Shuffled
from genera.errors import GeneraError, unknown
from genera.files import write_json
from genera.typed import read_typed


@dataclass
class ImageBatch(Batch):
    """B images."""

    images: Tensor
    """(B, C, S, S) float32 in [-1, 1]"""
    labels: Tensor | None
    """(B,) int64, or None where the data has no labels"""


@dataclass(frozen=True)
class ImageAssets:
    """What an image model needs to be used without its data."""

    size: int
    """height and width"""
    channels: int
    classes: tuple[str, ...]
    """names of labels 0, 1, …; empty without labels"""

    def save(self, folder: Path) -> None:
        write_json(folder / "images.json", asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises GeneraError when the file is missing or damaged."""
        path = folder / "images.json"
        values = read_typed(path, cls)
        if not (1 <= values["size"] <= 1 << 16 and values["channels"] in (1, 3)):
            raise GeneraError(f"{path} is damaged (size {values['size']}, channels {values['channels']}); restore it.")
        return cls(values["size"], values["channels"], tuple(values["classes"]))


@dataclass(frozen=True)
class ImageData:
    """Train, valid and test images of one shape."""

    kind: ClassVar[str] = "images"
    assets_type: ClassVar[type[ImageAssets]] = ImageAssets

    config: ImageConfig
    assets: ImageAssets
    stores: Mapping[str, ImageStore]
    world: Any
    """the world that the images are drawn from, or None"""
    key: str
    """A hash of everything that the stored images depend on; the key of derived cache entries."""

    @classmethod
    def open(cls, config: ImageConfig, assets: ImageAssets | None = None, *, whole: bool = False) -> Self:
        """Read the data of `config`, from the cache (`cache_folder()`) if possible.

        assets: those of an existing run; labels are then numbered as in that run.
        whole: hold nothing out, for example to evaluate a whole folder; see `Dataset.open`.
        Raises GeneraError when the data cannot be read, is not image data, or has no training image.
        """
        source = parse_images(config.data)
        stores, key = stored(source, config, whole)
        classes = source.classes
        if assets is not None and classes and assets.classes and classes != assets.classes:
            _renumber(stores, source, assets)
            classes = assets.classes
        say(f"{config.data}: {counts(stores)} images, {len(classes) or 'no'} classes, {shape(config)}.")
        if len(classes) == 1:
            say(f"all images have one class, {classes[0]!r}; the folders directly below the given one are the classes.")
        return cls(config, ImageAssets(config.image_size, config.channels, classes), stores, source.world, key)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.stores)

    def size(self, split: str) -> int:
        return len(self.split(split))

    def split(self, name: str) -> ImageStore:
        """Raises GeneraError for a split that this data does not have."""
        if name not in self.stores:
            raise unknown("split of this data", name, self.stores)
        return self.stores[name]

    def items(self, split: str, count: int) -> list[Tensor]:
        """The first `count` images of a split, each (C, S, S) in [-1, 1]. Stored splits are already shuffled."""
        return list(self.split(split).images(slice(count)))

    def labels(self, split: str, count: int) -> list[str] | None:
        """The label names of `items(split, count)`; None if the data has no labels."""
        labels = self.split(split).labels
        return None if labels is None else [self.assets.classes[label] for label in labels[:count]]

    def factors(self, split: str, count: int) -> Any:
        """The true factors of `items(split, count)` in the world; None without a world."""
        return None if self.world is None else self.world.draw(self.size(split), split=split)[:count]

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> Shuffled:
        """Shuffled batches of a split; `batch_size` is the global batch size. Only training images are augmented."""
        store = self.split(split)
        flip, crop = split == "train" and self.config.flip, split == "train" and self.config.crop == "random"

        def collate(draw: Draw) -> ImageBatch:
            return ImageBatch(
                ids=torch.from_numpy(draw.mine),
                images=augmented(store, draw, (seed, draw.step), flip, crop),
                labels=None if store.labels is None else torch.from_numpy(store.labels[draw.mine]),
            )

        return Shuffled(len(store), batch=batch_size, seed=seed, rank=rank, ranks=ranks, collate=collate, kind="images")

    @classmethod
    def sketch(cls, config: ImageConfig, batch_size: int) -> tuple[ImageAssets, ImageBatch]:
        """Assets, and a batch of the right shapes, without reading any data."""
        assets = ImageAssets(config.image_size, config.channels, tuple(map(str, range(config.classes))))
        ids = torch.zeros(batch_size, dtype=torch.int64)
        images = torch.zeros(batch_size, config.channels, config.image_size, config.image_size)
        return assets, ImageBatch(ids=ids, images=images, labels=ids.clone() if config.classes else None)


def _renumber(stores: Mapping[str, ImageStore], source: ImageSource, assets: ImageAssets) -> None:
    """Renumber the labels to match `assets`. Raises GeneraError for a class that `assets` does not have."""
    place = {name: label for label, name in enumerate(assets.classes)}
    for name in source.classes:
        if name not in place:
            raise unknown(f"class of {source.spec} (the run was trained on other classes):", name, assets.classes)
    places = np.array([place[name] for name in source.classes])
    for store in stores.values():
        if store.labels is not None:
            store.labels = places[store.labels]
