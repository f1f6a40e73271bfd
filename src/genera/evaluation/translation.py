"""How translations between two domains of images are measured, part by part, in each direction."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.images.pairs import DOMAINS, Domain
from genera.data.images.store import to_float, to_uint8
from genera.engine.capabilities import Translates
from genera.evaluation.evaluate import Evaluation
from genera.evaluation.images import extractor_of, training
from genera.measures import images as measured
from genera.measures.estimate import mean_estimate
from genera.measures.features import extract
from genera.measures.frechet import LEAST, fid, fid_infinity
from genera.uses.grids import write_grid

COUNT = "images"
"""The option that says how many items of the split are measured."""
SHOWN = 8
"""Images of each direction that are shown with their translations."""
DIRECTIONS: dict[str, tuple[Domain, Domain]] = {"a2b": ("a", "b"), "b2a": ("b", "a")}
"""direction → domains from and to"""


def fidelity(evaluation: Evaluation) -> bool:
    """Translations against real images of the target domain: FID, KID, and the two figures that U-GAT-IT's tables call
    KID, which also look at the source."""
    if not isinstance(evaluation.run.method, Translates):
        return False
    generator = torch.Generator().manual_seed(evaluation.config.seed)
    own, extractor = evaluation.config.features == "in-domain", extractor_of(evaluation)
    for direction, (_, target) in DIRECTIONS.items():
        before, after = translated(evaluation, direction)
        wanted = _pixels(evaluation, target)
        fake, real, origin = (
            extract(extractor.features, images, device=extractor.device) for images in (after, wanted, before)
        )
        if min(len(fake), len(real)) < 2:
            continue
        found = {
            "fid": fid(fake, real),
            **measured.kids(fake, real, generator=generator),
            "kid_u_gat_it": measured.kid_u_gat_it(fake, real, origin),
            "kid_u_gat_it_early": measured.kid_u_gat_it_early(fake, real, origin),
            "kid_of_source": measured.kid(origin, real),
        }
        if len(fake) >= LEAST:
            found["fid_infinity"] = fid_infinity(fake, real, generator=generator)
        if own and extractor.logits:
            for name, images in (("domain", after), ("domain_of_source", before), ("domain_of_data", wanted)):
                said = extract(extractor.logits, images, device=extractor.device).argmax(1)
                found[f"translation_{name}"] = mean_estimate((said == DOMAINS.index(target)).numpy())
        evaluation.measures |= {f"{name}_{direction}": estimate for name, estimate in found.items()}
        evaluation.extras["features"] = extractor.name
    return True


def truth(evaluation: Evaluation) -> bool:
    """Against the true translation, where the world knows it."""
    world = evaluation.data.world
    if world is None or not isinstance(evaluation.run.method, Translates) or evaluation.data.assets.channels != 3:
        return False
    for direction, (_, target) in DIRECTIONS.items():
        before, after = translated(evaluation, direction)
        right = world.translate(before, target)
        judge = getattr(world, target)
        made, far = judge.read(after)
        asked, _ = judge.read(right)
        valid = far < judge.valid
        evaluation.measures[f"translation_error_{direction}"] = mean_estimate(_difference(after, right))
        evaluation.measures[f"untranslated_error_{direction}"] = mean_estimate(_difference(before, right))
        evaluation.measures[f"translation_valid_{direction}"] = mean_estimate(valid)
        for name in ("shape", "colour"):
            same = getattr(made, name) == getattr(asked, name)
            evaluation.measures[f"translation_{name}_{direction}"] = mean_estimate(same & valid)
    return True


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N,) mean absolute difference of pixels, as a share of their range."""
    return np.abs(one.astype(np.float64) - other).mean((1, 2, 3)) / 255


def samples(evaluation: Evaluation) -> bool:
    """Images beside their translations, and beside the true ones where they are known."""
    if not isinstance(evaluation.run.method, Translates):
        return False
    world = evaluation.data.world if evaluation.data.assets.channels == 3 else None
    for direction, (source, target) in DIRECTIONS.items():
        before, after = (images[:SHOWN] for images in translated(evaluation, direction))
        rows = [before, after] + ([] if world is None else [world.translate(before, target)])
        file = write_grid(
            evaluation.run.folder.samples / f"{direction}.png",
            [image for row in rows for image in to_float(row)],
            columns=len(before),
        )
        text = "Above: images of the source. Below them: their translations."
        evaluation.extras.setdefault("images", []).append(
            {
                "title": f"{source.upper()} to {target.upper()}",
                "text": text + ("" if world is None else " Last: the true ones."),
                "file": str(file.relative_to(evaluation.run.folder.path)),
            }
        )
    return True


PARTS: dict[str, Callable[[Evaluation], bool]] = {
    "fidelity": fidelity,
    "truth": truth,
    "samples": samples,
    "training": training,
}


# -- shared by the parts ----------------------------------------------------------------------------------------------


def translated(evaluation: Evaluation, direction: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images of the source domain and their translations, (N, C, S, S) uint8 both; translated once."""
    if direction not in evaluation.shared:
        before = _pixels(evaluation, DIRECTIONS[direction][0])
        made = evaluation.run.method.translate(list(to_float(before)), direction)  # type: ignore[operator]
        after: Tensor = to_uint8(torch.stack(made).cpu().float())
        evaluation.shared[direction] = before, after.numpy()
    return evaluation.shared[direction]


def _pixels(evaluation: Evaluation, domain: Domain) -> NDArray[np.uint8]:
    store: Any = evaluation.data.domains[domain][evaluation.config.split]
    return to_uint8(store.images(slice(evaluation.config.images))).numpy()
