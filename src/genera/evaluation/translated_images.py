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


def translated(
    evaluation: Evaluation, options: ImageOptions, direction: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images of the source domain and their translations, (N, C, S, S) both; the same for all evaluators."""

    def make() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        source = domain_images(evaluation, options, DIRECTIONS[direction][0])
        images = evaluation.run.translate(list(to_float(source)), direction)
        return source, to_uint8(torch.stack(images).cpu().float()).numpy()

    return evaluation.once(("translated", options, direction), make)


def measured_directions(evaluation: Evaluation) -> dict[str, tuple[Domain, Domain]]:
    """Those that the model can translate in."""
    return {name: domains for name, domains in DIRECTIONS.items() if name in evaluation.model.directions}
