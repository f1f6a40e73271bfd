"""Shared by the evaluators of image translation: images of both domains and their translations."""

import numpy as np
import torch
from numpy.typing import NDArray

from genera.data.images.pairs import Domain
from genera.data.images.store import to_float, to_uint8
from genera.evaluation.evaluator import Evaluation
from genera.evaluation.image_options import ImageOptions

DIRECTIONS: dict[str, tuple[Domain, Domain]] = {"a2b": ("a", "b"), "b2a": ("b", "a")}
"""direction → domains from and to"""


def domain_images(evaluation: Evaluation, options: ImageOptions, domain: Domain) -> NDArray[np.uint8]:
    """(N, C, S, S) of the measured split."""
    store = evaluation.data.domains[domain][evaluation.split]
    return to_uint8(store.images(slice(options.images))).numpy()


def training_images(evaluation: Evaluation, options: ImageOptions, domain: Domain) -> NDArray[np.uint8] | None:
    """(N, C, S, S) of the training split; None where that is the measured split, or there is none."""
    store = evaluation.data.domains[domain].get("train")
    if store is None or evaluation.split == "train":
        return None
    return to_uint8(store.images(slice(options.images))).numpy()


def translated(
    evaluation: Evaluation, options: ImageOptions, direction: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images of the source domain and their translations, (N, C, S, S) both; the same for all evaluators."""

    def make() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        source = domain_images(evaluation, options, DIRECTIONS[direction][0])
        images = evaluation.run.translate(list(to_float(source)), direction)
        return source, to_uint8(torch.stack(images).cpu().float()).numpy()

    return evaluation.once(("translated", options, direction), make)


def returned(evaluation: Evaluation, options: ImageOptions, direction: str) -> NDArray[np.uint8] | None:
    """Translations of the translations back to the source domain, (N, C, S, S); None if the model has no way back."""
    back = direction[::-1]
    if back not in evaluation.model.directions:
        return None
    _, translations = translated(evaluation, options, direction)
    images = evaluation.run.translate(list(to_float(translations)), back)
    return to_uint8(torch.stack(images).cpu().float()).numpy()


def measured_directions(evaluation: Evaluation) -> dict[str, tuple[Domain, Domain]]:
    """Those that the model can translate in."""
    return {name: domains for name, domains in DIRECTIONS.items() if name in evaluation.model.directions}
