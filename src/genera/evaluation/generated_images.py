"""Shared by the evaluators of images: generated images, and the features of generated and real images."""

from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.images.dataset import ImageData
from genera.data.images.pairs import PairData
from genera.data.images.store import ImageStore, to_uint8
from genera.engine.capabilities import SamplesByClass
from genera.evaluation.evaluator import Evaluation
from genera.evaluation.image_options import ImageOptions
from genera.evaluation.untrained import untrained_run
from genera.measures.features import Extractor, cached_features, extract, inception
from genera.measures.in_domain import in_domain

REFERENCE = 10_000
"""Maximum number of reference images."""
ENOUGH = 100
"""Held-out images that are enough as a measure of what real images reach."""
TRIVIAL = 500
"""Maximum number of images of a trivial baseline."""


class GeneratedImages:
    """Images of one model and their features, computed on first use."""

    def __init__(self, evaluation: Evaluation, options: ImageOptions) -> None:
        self._evaluation, self._count, self._features = evaluation, options.images, options.features
        self.data: ImageData = evaluation.data

    @classmethod
    def of(cls, evaluation: Evaluation, options: ImageOptions) -> Self:
        """The same for every evaluator that has the same options."""
        return evaluation.once((cls, options), lambda: cls(evaluation, options))

    @property
    def reference_split(self) -> str:
        """Generated images are compared with training images; of other data that has none, with the measured ones."""
        return "train" if "train" in self.data.stores else self._evaluation.split

    @property
    def reference(self) -> ImageStore:
        return self.data.stores[self.reference_split]

    @cached_property
    def labels(self) -> Tensor | None:
        """(N,) classes to ask for, each as often as in the reference; None where the model knows no classes."""
        store = self.reference
        if not isinstance(self._evaluation.model, SamplesByClass) or store.labels is None:
            return None
        rows = np.random.default_rng(self._evaluation.seed).integers(len(store), size=self._count)
        return torch.from_numpy(store.labels[rows])

    @cached_property
    def images(self) -> list[Tensor]:
        """N images (C, S, S) in [-1, 1], of the classes `labels`."""
        classes = {} if self.labels is None else {"classes": self.labels.tolist()}
        return self._evaluation.run.sample(self._count, seed=self._evaluation.seed, **classes)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """(N, C, S, S)"""
        return to_uint8(torch.stack(self.images).cpu().float()).numpy()

    @property
    def reference_pixels(self) -> NDArray[np.uint8]:
        return self.reference.pixels[:REFERENCE]

    @property
    def held_out_pixels(self) -> NDArray[np.uint8]:
        """Real images that are not the reference; none where the reference itself is measured."""
        return self.data.stores[self._evaluation.split].pixels[: self._count if self._held_out else 0]

    def real_labelled(self, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The first `count` images with labels of the measured split: (N, C, S, S) and (N,)."""
        store = self.data.stores[self._evaluation.split]
        store = self.reference if store.labels is None else store
        assert store.labels is not None
        return store.pixels[:count], np.array(store.labels[:count])

    @property
    def _held_out(self) -> bool:
        return self._evaluation.split != self.reference_split

    @property
    def extractor(self) -> Extractor:
        return extractor(self._evaluation, self._features)

    @cached_property
    def features(self) -> Tensor:
        """(N, D), as are those of the reference and of held-out images."""
        return extract(self.extractor.features, self.pixels, device=self.extractor.device)

    @cached_property
    def reference_features(self) -> Tensor:
        return cached_features(self.extractor, self.reference_pixels, f"{self.data.key} {self.reference_split}")

    @cached_property
    def real(self) -> tuple[Tensor, Tensor, str]:
        """Features of real images, of the images that they are compared with, and what the former are.

        Held-out and training images; two halves of the training images where fewer than ENOUGH images are held out.
        """
        reference, held_out = self.reference_features, self.held_out_features
        if len(held_out) >= ENOUGH or len(reference) < 2 * ENOUGH:
            return held_out, reference, "held-out images"
        order = torch.randperm(len(reference), generator=torch.Generator().manual_seed(self._evaluation.seed))
        half = len(order) // 2
        halves = reference[order[:half]][: self._count], reference[order[half:]]
        return *halves, f"half of the images of the {self.reference_split} split"

    def trivial(self, count: int) -> dict[str, Tensor]:
        """Features of `count` images that take no training: baseline → (count, D)."""
        random = np.random.default_rng(self._evaluation.seed)
        shape = self.reference_pixels.shape[1:]
        mean = self.reference_pixels[: ENOUGH * 10].mean(0).round().astype(np.uint8)
        sets = {
            "noise": random.integers(256, size=(count, *shape), dtype=np.uint8),
            "mean_image": np.broadcast_to(mean, (count, *shape)),
        }
        if (fresh := untrained_run(self._evaluation)) is not None:
            classes = {} if self.labels is None else {"classes": self.labels[:count].tolist()}
            images = fresh.sample(count, seed=self._evaluation.seed, **classes)
            sets["untrained"] = to_uint8(torch.stack(images).cpu().float()).numpy()
        apply, device = self.extractor.features, self.extractor.device
        return {name: extract(apply, np.ascontiguousarray(pixels), device=device) for name, pixels in sets.items()}

    @cached_property
    def held_out_features(self) -> Tensor:
        if not len(self.held_out_pixels):
            return self.reference_features[:0]
        return cached_features(self.extractor, self.held_out_pixels, f"{self.data.key} {self._evaluation.split}")


def extractor(evaluation: Evaluation, features: str) -> Extractor:
    """What the option `features` asks for. Raises GeneraError for a file that holds no FID Inception."""
    data: ImageData | PairData = evaluation.data
    device = evaluation.run.device

    def make() -> Extractor:
        return in_domain(data, device) if features == "in-domain" else inception(features, device)

    return evaluation.once(("extractor", features), make)


def logits(network: Extractor, pixels: NDArray[np.uint8]) -> Tensor:
    """(N, classes) of a network that classifies."""
    assert network.logits is not None
    return extract(network.logits, pixels, device=network.device)
