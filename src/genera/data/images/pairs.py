"""Two domains of images without known pairs, for image-to-image translation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from genera.console import say
from genera.data.batch import Batch
from genera.data.images.config import ImageConfig
from genera.data.images.dataset import ImageAssets, ImageData
from genera.data.images.sources import parse_pairs
from genera.data.images.store import ImageStore, augmented, counts, shape, stored
from genera.data.streams import Shuffled
from genera.errors import unknown

Domain = Literal["a", "b"]
DOMAINS: tuple[Domain, Domain] = ("a", "b")


@dataclass
class PairBatch(Batch):
    """B images of each domain, drawn independently; `ids` are those of domain A."""

    a: Tensor
    """(B, C, S, S) float32 in [-1, 1]"""
    b: Tensor
    """(B, C, S, S) float32 in [-1, 1]"""


class PairStream:
    """Batches of both domains; see `genera.data.batch.Stream`.

    Each domain is read in its own sequence of permutations; an epoch is one pass over the larger domain. Random crops
    and flips are drawn independently for each domain.
    """

    def __init__(
        self,
        stores: Mapping[Domain, ImageStore],
        *,
        batch: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        flip: bool,
        crop: bool,
    ) -> None:
        """Raises GeneraError when a domain cannot fill one batch, or the ranks cannot share one."""
        self._stores, self._seed = stores, seed
        self._flip, self._crop = flip, crop
        self._domains = {
            domain: Shuffled(
                len(store),
                batch=batch,
                seed=(seed, i),
                rank=rank,
                ranks=ranks,
                kind=f"images in domain {domain.upper()}",
                endless=True,
            )
            for i, (domain, store) in enumerate(stores.items())
        }
        self.steps_per_epoch = max(stream.steps_per_epoch for stream in self._domains.values())

    def batch(self, step: int) -> PairBatch:
        """This rank's rows of the global batch of `step`."""
        draws = {domain: stream.draw(step) for domain, stream in self._domains.items()}
        a, b = (
            augmented(self._stores[domain], draw, (self._seed, step, i), self._flip, self._crop)
            for i, (domain, draw) in enumerate(draws.items())
        )
        return PairBatch(ids=torch.from_numpy(draws["a"].mine), a=a, b=b)


@dataclass(frozen=True)
class PairData:
    """Train, valid and test images of two domains, in one shape."""

    kind: ClassVar[str] = "image-pairs"
    assets_type: ClassVar[type[ImageAssets]] = ImageAssets

    config: ImageConfig
    assets: ImageAssets
    """`classes` is empty."""
    domains: Mapping[Domain, Mapping[str, ImageStore]]
    world: Any
    """the world that the images are drawn from, which knows the true translation, or None"""
    key: str
    """A hash of everything that the stored images depend on; the key of derived cache entries."""

    @classmethod
    def open(cls, config: ImageConfig, assets: ImageAssets | None = None, *, whole: bool = False) -> Self:
        """Read the two domains of `config`, from the cache if possible.

        whole: hold nothing out, for example to evaluate a whole folder; see `Dataset.open`.
        Raises GeneraError when the data cannot be read, is not pair data, or lacks a domain.
        """
        *sources, world = parse_pairs(config.data)
        opened = {domain: stored(source, config, whole) for domain, source in zip(DOMAINS, sources, strict=True)}
        domains = {domain: stores for domain, (stores, _) in opened.items()}
        for domain, stores in domains.items():
            say(f"{config.data}: domain {domain.upper()} of {counts(stores)} images, {shape(config)}.")
        key = "-".join(key for _, key in opened.values())
        return cls(config, ImageAssets(config.image_size, config.channels, ()), domains, world, key)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of both domains."""
        return tuple(split for split in self.domains["a"] if split in self.domains["b"])

    def size(self, split: str) -> int:
        """Of the smaller domain."""
        if split not in self.splits:
            raise unknown("split of this data", split, self.splits)
        return min(len(self.domains[domain][split]) for domain in DOMAINS)

    def items(self, split: str, count: int, domain: Domain = "a") -> list[Tensor]:
        """The first `count` images of a domain, each (C, S, S) in [-1, 1]."""
        return list(self.domains[domain][split].images(slice(count)))

    def domain(self, domain: Domain) -> ImageData:
        """One domain alone, as a data set of images without labels."""
        world = None if self.world is None else getattr(self.world, domain)
        return ImageData(self.config, self.assets, self.domains[domain], world, f"{self.key}-{domain}")

    def labels(self, split: str, count: int) -> None:
        return None

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> PairStream:
        """Shuffled batches of a split; `batch_size` is the global batch size. Only training images are augmented."""
        training = split == "train"
        return PairStream(
            {domain: self.domains[domain][split] for domain in DOMAINS},
            batch=batch_size,
            seed=seed,
            rank=rank,
            ranks=ranks,
            flip=training and self.config.flip,
            crop=training and self.config.crop == "random",
        )

    @classmethod
    def sketch(cls, config: ImageConfig, batch_size: int) -> tuple[ImageAssets, PairBatch]:
        """Assets, and a batch of the right shapes, without reading any data."""
        images = torch.zeros(batch_size, config.channels, config.image_size, config.image_size)
        ids = torch.zeros(batch_size, dtype=torch.int64)
        return ImageAssets(config.image_size, config.channels, ()), PairBatch(ids=ids, a=images, b=images.clone())
