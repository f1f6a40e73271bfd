"""How image models are measured, part by part. Each part asks for the capability it needs and says whether it ran."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.images.store import to_uint8
from genera.engine.capabilities import Samples, SamplesByClass
from genera.evaluation.evaluate import Evaluation
from genera.measures import images as measured
from genera.measures.estimate import Estimate, mean_estimate
from genera.measures.features import Extractor, cached_features, extract, inception
from genera.measures.frechet import LEAST, fid, fid_infinity
from genera.measures.in_domain import in_domain
from genera.uses.grids import write_grid

COUNT = "images"
"""The option that says how many items of the split are measured."""
REFERENCE = 10_000
"""Training images at most that generated ones are compared with."""
SHOWN = 64
LOOKED_UP = 8
"""Generated images that are shown with their nearest training images."""
NEIGHBOURS = 5
LAST_ROWS = 20
"""Log lines over which the end of training is averaged."""


def fidelity(evaluation: Evaluation) -> bool:
    """FID, KID, precision and recall of generated images against training images; the same of held-out real images
    beside them, since all of these depend on the number of images."""
    if not isinstance(evaluation.run.method, Samples):
        return False
    figures, extractor = evaluation.measures, extractor_of(evaluation)
    images, labels = drawn(evaluation)
    fake, reference, held = _features(evaluation, images), _reference(evaluation), _held_out(evaluation)
    generator = torch.Generator().manual_seed(evaluation.config.seed)

    evaluation.extras["features"] = extractor.name
    figures["feature_size"] = Estimate(fake.shape[1], None, len(fake))
    figures["fid"] = fid(fake, reference)
    if len(fake) >= LEAST:
        figures["fid_infinity"] = fid_infinity(fake, reference, generator=generator)
    if len(held) > 1:
        figures["fid_held_out"] = fid(fake, held)
        figures["fid_of_data"] = fid(held, reference)
        figures["kid_of_data"] = measured.kid(held, reference)
    figures |= measured.kids(fake, reference, generator=generator)
    figures |= _varieties(fake, reference, "")
    figures |= _varieties(held, reference, "_of_data")
    if extractor.logits is not None and len(images) >= 10:
        figures["inception_score"] = measured.inception_score(_logits(extractor, images))
        if len(held) >= 10:
            real = evaluation.data.stores[evaluation.config.split].pixels[: len(held)]
            figures["inception_score_of_data"] = measured.inception_score(_logits(extractor, real))
    if labels is not None:
        known = torch.from_numpy(evaluation.data.stores["train"].labels[: len(reference)].copy())
        figures["fid_within_classes"], by_class = measured.intra_class_fid(fake, labels, reference, known)
        names = evaluation.data.assets.classes
        evaluation.extras["fid_by_class"] = {names[label]: round(value, 4) for label, value in by_class.items()}
    return True


def _varieties(features: Tensor, reference: Tensor, suffix: str) -> dict[str, Estimate]:
    """Precision and its kin of equal numbers of both kinds."""
    count = min(len(features), len(reference))
    if count <= 5:
        return {}
    found = measured.precision_recall_density_coverage(features[:count], reference[:count])
    return {name + suffix: estimate for name, estimate in found.items()}


def factors(evaluation: Evaluation) -> bool:
    """What the images show, by a judge that can tell (the world itself, or a classifier), against the data's truth."""
    if not isinstance(evaluation.run.method, Samples):
        return False
    if evaluation.data.world is not None and evaluation.data.assets.channels == 3:
        _factors_of_world(evaluation)
    elif len(evaluation.data.assets.classes) > 1 and evaluation.data.world is None:
        _classes(evaluation)
    else:
        return False
    return True


def _factors_of_world(evaluation: Evaluation) -> None:
    world, figures = evaluation.data.world, evaluation.measures
    images, labels = drawn(evaluation)
    found, far = world.read(images)
    valid = far < world.valid
    figures["valid_images"] = mean_estimate(valid)
    truth = evaluation.data.factors("train", REFERENCE)
    shares = {}
    for name, values in world.factors.items():
        made = getattr(found, name)[valid]
        shares[name] = _shares(made, getattr(truth, name), values)
    _record_shares(evaluation, shares, int(valid.sum()))
    sizes = [len(values) for values in world.factors.values()]
    modes = np.ravel_multi_index([getattr(found, name)[valid] for name in world.factors], sizes)
    same = evaluation.data.factors("train", len(images))
    fair = len(np.unique(np.ravel_multi_index([getattr(same, name) for name in world.factors], sizes)))
    figures["modes_covered"] = Estimate(min(1.0, len(np.unique(modes)) / fair), None, len(images))
    if labels is not None:
        figures["class_accuracy"] = mean_estimate(world.belongs(found, labels.numpy()) & valid)


def _classes(evaluation: Evaluation) -> None:
    judge = in_domain(evaluation.data, evaluation.run.device)
    images, labels = drawn(evaluation)
    assert judge.logits is not None
    said = _logits(judge, images).argmax(1)
    real = _logits(judge, evaluation.data.stores["train"].pixels[:REFERENCE]).argmax(1)
    names = evaluation.data.assets.classes
    _record_shares(evaluation, {"class": _shares(said.numpy(), real.numpy(), names)}, len(images))
    if labels is not None:
        evaluation.measures["class_accuracy"] = mean_estimate(said == labels)


def _shares(made: NDArray[Any], real: NDArray[Any], names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """{value: {"generated": share, "data": share}}"""
    counts = [np.bincount(column, minlength=len(names)) / max(1, len(column)) for column in (made, real)]
    return {
        name: {"generated": round(float(g), 4), "data": round(float(d), 4)}
        for name, g, d in zip(names, *counts, strict=True)
    }


def _record_shares(evaluation: Evaluation, shares: dict[str, dict[str, dict[str, float]]], count: int) -> None:
    """The histograms, how far they are from the data's, and the rarest value of all."""
    evaluation.extras["factor_shares"] = shares
    away = [sum(abs(value["generated"] - value["data"]) for value in values.values()) / 2 for values in shares.values()]
    ratios = [v["generated"] / v["data"] for values in shares.values() for v in values.values() if v["data"] > 0]
    evaluation.measures["factor_distance"] = Estimate(float(np.mean(away)), None, count)
    evaluation.measures["rarest_value"] = Estimate(min(ratios), None, count)


def memorisation(evaluation: Evaluation) -> bool:
    """How many generated images are nearer to a training image than training images are to each other."""
    if not isinstance(evaluation.run.method, Samples):
        return False
    images, _ = drawn(evaluation)
    fake, training, held = _features(evaluation, images), _reference(evaluation), _held_out(evaluation)
    if len(training) < 2:
        return False
    share, distances, _ = measured.copies(fake, training)
    evaluation.measures["copies"] = share
    if len(held):
        evaluation.measures["copies_of_data"] = measured.copies(held, training)[0]
    nearest_first = distances.argsort()[:LOOKED_UP]
    _, places = measured.nearest(fake[nearest_first], training, min(NEIGHBOURS, len(training)))
    store, rows = evaluation.data.stores["train"], []
    for own, near in zip(nearest_first.tolist(), places.tolist(), strict=True):
        rows += [evaluation.shared["drawn"][0][own].cpu(), *store.images(np.array(near))]
    _show(
        evaluation,
        "neighbours",
        "Nearest training images",
        "Left: the generated images that lie nearest to a training image. Right of each: its nearest training images.",
        rows,
        columns=1 + places.shape[1],
    )
    return True


def samples(evaluation: Evaluation) -> bool:
    """Images for the eye: generated ones, by class where the model knows classes, and real ones beside them."""
    if not isinstance(evaluation.run.method, Samples):
        return False
    drawn(evaluation)
    images, labels = evaluation.shared["drawn"]
    if labels is None:
        shown, columns = images[:SHOWN], None
        text = "Fresh draws, not picked."
    else:
        names = evaluation.data.assets.classes
        rows = [[image for image, label in zip(images, labels, strict=True) if label == i] for i in range(len(names))]
        columns = min(8, *(len(row) for row in rows)) or None
        shown = [image for row in rows[:16] for image in row[:columns]] if columns else images[:SHOWN]
        text = "Fresh draws, not picked." + (f" One row a class: {', '.join(names[:16])}." if columns else "")
    _show(evaluation, "samples", "Samples", text, shown, columns)
    real = evaluation.data.items(evaluation.config.split, SHOWN)
    _show(evaluation, "data", "Real images", f"Of the {evaluation.config.split} split, for comparison.", real)
    return True


def training(evaluation: Evaluation) -> bool:
    """How the players stood at the end of training, and what the dictionaries of a quantiser did."""
    rows = [row for row in evaluation.run.folder.metrics() if not any(name.startswith("valid/") for name in row)]
    last = rows[-LAST_ROWS:]

    def end(name: str) -> float | None:
        values = [row[name] for row in last if isinstance(row.get(name), int | float)]
        return float(np.mean(values)) if values else None

    real, fake = end("discriminator/real"), end("discriminator/fake")
    if real is not None and fake is not None:
        evaluation.measures["discriminator_gap"] = Estimate(real - fake, None, len(last))
    for kind in ("usage", "perplexity"):
        names = {name for row in last for name in row if name.startswith("quantiser/") and name.endswith(f"/{kind}")}
        values = [value for name in names if (value := end(name)) is not None]
        if values:
            evaluation.measures[f"dictionary_{kind}"] = Estimate(min(values), None, len(last))
    return bool(last)


PARTS: dict[str, Callable[[Evaluation], bool]] = {
    "fidelity": fidelity,
    "factors": factors,
    "memorisation": memorisation,
    "samples": samples,
    "training": training,
}


# -- shared by the parts ----------------------------------------------------------------------------------------------


def drawn(evaluation: Evaluation) -> tuple[NDArray[np.uint8], Tensor | None]:
    """(N, C, S, S) uint8 and (N,) classes that were asked for, drawn once; None where the model knows no classes.

    Classes are asked for as often as the training data has them."""
    if "drawn" not in evaluation.shared:
        run, config, store = evaluation.run, evaluation.config, evaluation.data.stores["train"]
        if isinstance(run.method, SamplesByClass) and store.labels is not None:
            random = np.random.default_rng(config.seed)
            labels = torch.from_numpy(store.labels[random.integers(len(store), size=config.images)])
            images = run.sample(config.images, seed=config.seed, classes=labels.tolist())
        else:
            labels, images = None, run.sample(config.images, seed=config.seed)
        evaluation.shared["drawn"] = images, labels
        evaluation.shared["pixels"] = to_uint8(torch.stack(images).cpu().float()).numpy()
    return evaluation.shared["pixels"], evaluation.shared["drawn"][1]


def extractor_of(evaluation: Evaluation) -> Extractor:
    """What `--features` asks for, made once."""
    if "extractor" not in evaluation.shared:
        asked, device = evaluation.config.features, evaluation.run.device
        own = in_domain(evaluation.data, device) if asked == "in-domain" else inception(asked, device)
        evaluation.shared["extractor"] = own
    return evaluation.shared["extractor"]


def _features(evaluation: Evaluation, images: NDArray[np.uint8]) -> Tensor:
    if "features" not in evaluation.shared:
        extractor = extractor_of(evaluation)
        evaluation.shared["features"] = extract(extractor.features, images, device=extractor.device)
    return evaluation.shared["features"]


def _reference(evaluation: Evaluation) -> Tensor:
    pixels = evaluation.data.stores["train"].pixels[:REFERENCE]
    return cached_features(extractor_of(evaluation), pixels, f"{evaluation.data.key} train")


def _held_out(evaluation: Evaluation) -> Tensor:
    split = evaluation.config.split
    pixels = evaluation.data.stores[split].pixels[: evaluation.config.images]
    return cached_features(extractor_of(evaluation), pixels, f"{evaluation.data.key} {split}")


def _logits(extractor: Extractor, images: NDArray[np.uint8]) -> Tensor:
    assert extractor.logits is not None
    return extract(extractor.logits, images, device=extractor.device)


def _show(
    evaluation: Evaluation, name: str, title: str, text: str, images: list[Tensor], columns: int | None = None
) -> None:
    """Write samples/NAME.png into the run and list it for the report."""
    file = write_grid(evaluation.run.folder.samples / f"{name}.png", images, columns)
    listed = {"title": title, "text": text, "file": str(file.relative_to(evaluation.run.folder.path))}
    evaluation.extras.setdefault("images", []).append(listed)
