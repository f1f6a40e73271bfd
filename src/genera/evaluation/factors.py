"""What do the generated images show, and as often as the data does?"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from genera.engine.capabilities import Samples
from genera.evaluation.blocks import Shares
from genera.evaluation.evaluator import Evaluation, Evaluator, require
from genera.evaluation.image_options import ImageOptions
from genera.evaluation.image_uses import CLASSES, IMAGES
from genera.evaluation.verdict import verdict
from genera.measures.schema import Definition, Estimate, Figures, Finding, evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genera.evaluation.generated_images import GeneratedImages

_define = partial(Definition, group="What the images show")
MEASURES = (
    _define(
        "valid_images",
        "Valid images",
        "share",
        "higher",
        "Share of generated images that the world could have rendered, up to small errors.",
        headline=True,
    ),
    _define(
        "class_accuracy",
        "Class accuracy",
        "share",
        "higher",
        "Share of generated images that show the class that was asked for. A world reads the class itself and counts "
        "images that it could not have rendered as wrong; for other data a classifier reads it and makes errors of its "
        "own.",
    ),
    _define(
        "class_accuracy_of_data",
        "Class accuracy of real images",
        "share",
        "neither",
        "Share of real images whose class is read right: what a perfect model reaches.",
    ),
    _define(
        "class_accuracy_ignored",
        "Class accuracy with labels ignored",
        "share",
        "neither",
        "Share of generated images that show the class asked for in place of another image: what the same images reach "
        "if the model ignores the label.",
    ),
    _define(
        "modes_covered",
        "Modes covered",
        "share",
        "higher",
        "Number of different combinations of the world's factors among the generated images, relative to as many real "
        "images.",
        headline=True,
    ),
    _define(
        "factor_distance",
        "Distance of factor histograms",
        "share",
        "lower",
        "Total variation between how often each value occurs in generated images and in the data, averaged over the "
        "factors: the share of images that would have to change their value.",
    ),
    _define(
        "rarest_value",
        "Rarest value",
        "ratio",
        "higher",
        "How often the most neglected value of a factor (or class) is generated, relative to the data: 0 if never, 1 "
        "if as often. Only values of which at least 10 images are expected count.",
    ),
)
ByValue = dict[str, dict[str, float]]
"""{value: {"generated": share, "data": share}}"""

DROPPED = 0.2
"""A value that is generated less than this often, relative to the data, counts as dropped."""
MOST_REAL = 500
"""Real images whose class is read."""
FEWEST = 10
"""Images of a value that must be expected from its share in the data before its absence means anything."""


def measure(evaluation: Evaluation, options: ImageOptions) -> None:
    """What the images show, as read by the world that they come from or by a classifier, against the data's truth."""
    data = evaluation.data
    of_world = data.world is not None and data.assets.channels == 3
    several_classes = data.world is None and len(data.assets.classes) > 1
    require(of_world or several_classes, "needs colour images of a world, or data with at least two classes")

    from genera.evaluation.generated_images import GeneratedImages

    (_by_world if of_world else _by_classifier)(evaluation, GeneratedImages.of(evaluation, options))


def _by_world(evaluation: Evaluation, generated: "GeneratedImages") -> None:
    import numpy as np

    from genera.evaluation.generated_images import REFERENCE
    from genera.measures.estimate import mean_estimate

    data, world, count = evaluation.data, evaluation.data.world, len(generated.pixels)
    read, distance = world.read(generated.pixels)
    valid = distance < world.valid
    evaluation.record("valid_images", mean_estimate(valid))
    truth = data.factors(generated.reference_split, REFERENCE)
    shares = {
        name: _shares(getattr(read, name)[valid], getattr(truth, name), values)
        for name, values in world.factors.items()
    }
    _record_shares(evaluation, shares, int(valid.sum()))
    sizes = [len(values) for values in world.factors.values()]
    modes = np.ravel_multi_index([getattr(read, name)[valid] for name in world.factors], sizes)
    as_many = data.factors(generated.reference_split, count)
    real_modes = np.ravel_multi_index([getattr(as_many, name) for name in world.factors], sizes)
    covered = min(1.0, len(np.unique(modes)) / len(np.unique(real_modes)))
    evaluation.record("modes_covered", Estimate(covered, None, count))
    if generated.labels is not None:
        asked = generated.labels.numpy()
        evaluation.record("class_accuracy", mean_estimate(world.belongs(read, asked) & valid))
        evaluation.record("class_accuracy_ignored", mean_estimate(world.belongs(read, _others(asked)) & valid))
        evaluation.record("class_accuracy_of_data", mean_estimate(_recognised(generated, world)))


def _by_classifier(evaluation: Evaluation, generated: "GeneratedImages") -> None:
    import torch

    from genera.evaluation.generated_images import extractor, logits
    from genera.measures.estimate import mean_estimate

    classifier = extractor(evaluation, "in-domain")
    predicted = logits(classifier, generated.pixels).argmax(1)
    of_data = logits(classifier, generated.reference_pixels).argmax(1)
    by_class = _shares(predicted.numpy(), of_data.numpy(), evaluation.data.assets.classes)
    _record_shares(evaluation, {"class": by_class}, len(predicted))
    if generated.labels is not None:
        evaluation.record("class_accuracy", mean_estimate(predicted == generated.labels))
        others = torch.from_numpy(_others(generated.labels.numpy()))
        evaluation.record("class_accuracy_ignored", mean_estimate(predicted == others))
        pixels, labels = generated.real_labelled(MOST_REAL)
        read = logits(classifier, pixels).argmax(1).numpy()
        evaluation.record("class_accuracy_of_data", mean_estimate(read == labels))


def _others(labels: "NDArray[Any]") -> "NDArray[Any]":
    """The labels in another order."""
    import numpy as np

    return np.random.default_rng(0).permutation(labels)


def _recognised(generated: "GeneratedImages", world: Any) -> "NDArray[Any]":
    """Whether the world reads the class of each real image right."""
    pixels, labels = generated.real_labelled(MOST_REAL)
    read, distance = world.read(pixels)
    right: NDArray[Any] = world.belongs(read, labels) & (distance < world.valid)
    return right


def _shares(made: "NDArray[Any]", real: "NDArray[Any]", names: tuple[str, ...]) -> ByValue:
    import numpy as np

    counts = [np.bincount(column, minlength=len(names)) / max(1, len(column)) for column in (made, real)]
    return {
        name: {"generated": round(float(g), 4), "data": round(float(d), 4)}
        for name, g, d in zip(names, *counts, strict=True)
    }


def _record_shares(evaluation: Evaluation, shares: Mapping[str, ByValue], count: int) -> None:
    """The histograms of `count` images, their distance from the data's, and the rarest value of all."""
    away = [sum(abs(value["generated"] - value["data"]) for value in values.values()) / 2 for values in shares.values()]
    expected = [v for values in shares.values() for v in values.values() if v["data"] * count >= FEWEST]
    evaluation.record("factor_distance", Estimate(sum(away) / len(away), None, count))
    if expected:
        rarest = min(value["generated"] / value["data"] for value in expected)
        evaluation.record("rarest_value", Estimate(rarest, None, count))
    evaluation.note(factor_shares=shares)
    evaluation.show(*share_blocks(shares))


def share_blocks(shares: Mapping[str, ByValue]) -> list[Shares]:
    """A chart for each factor."""
    lead = "How often each value occurs in generated images; the line is how often it occurs in the data."
    return [
        Shares(section="What the images show", title=factor, lead="" if i else lead, values=values)
        for i, (factor, values) in enumerate(shares.items())
    ]


def dropped_values(figures: Figures) -> Iterator[Finding]:
    """Mode dropping, against the truth of a world or by class."""
    shares: Mapping[str, ByValue] = figures.facts.get("factor_shares", {})
    if not shares or "factor_distance" not in figures:
        return
    images = figures.n("factor_distance")
    expected = [
        (values["generated"] / values["data"], f"{factor} {value}")
        for factor, by_value in shares.items()
        for value, values in by_value.items()
        if values["data"] * images >= FEWEST
    ]
    lost = sorted((ratio, name) for ratio, name in expected if ratio < DROPPED)
    used = evidence(figures, "rarest_value", "factor_distance", "modes_covered", "recall")
    if lost:
        named = ", ".join(f"{name} ({ratio:.0%} as often as in the data)" for ratio, name in lost[:4])
        more = f" and {len(lost) - 4} more" if len(lost) > 4 else ""
        adversarial = (
            " For a GAN, lower the generator's learning rate, use a larger batch or more discriminator steps, and "
            "check whether the discriminator wins."
            if "discriminator_gap" in figures
            else ""
        )
        yield Finding(
            "warning",
            f"Mode dropping: {len(lost)} of {len(expected)} values are missing or nearly so: {named}{more}.",
            used,
            f"The model never generates part of the data. Precision and single samples do not show this.{adversarial}",
            IMAGES.name,
        )


EVALUATOR = Evaluator(
    name="factors",
    question="What do the generated images show, and does every value occur as often as in the data?",
    measure=measure,
    measures=MEASURES,
    needs=(Samples,),
    items=("images",),
    options_of="fidelity",
    rules=(dropped_values, verdict(CLASSES)),
)
