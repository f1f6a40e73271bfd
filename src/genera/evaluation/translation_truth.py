"""Are translations the true ones, where the world knows the truth?"""

from collections.abc import Iterator
from functools import partial

from genera.engine.capabilities import Translates
from genera.evaluation.evaluator import Evaluation, Evaluator, require
from genera.evaluation.image_options import ImageOptions
from genera.evaluation.translation import direction_title
from genera.measures.schema import Definition, Figures, Finding, evidence

_define = partial(Definition, group="Translation")
MEASURES = (
    _define(
        "translation_error",
        "Error of translations",
        "share",
        "lower",
        "Mean absolute difference of pixels between a translation and the true one, as a share of the range of pixels.",
    ),
    _define(
        "untranslated_error",
        "Error of source images",
        "share",
        "neither",
        "Mean absolute difference of pixels between a source image and its true translation, as a share of the range "
        "of pixels: the error of a model that changes nothing.",
    ),
    _define(
        "translation_valid",
        "Valid translations",
        "share",
        "higher",
        "Share of translations that the world of the target domain could have rendered, up to small errors.",
    ),
    _define(
        "translation_shape",
        "Correct shape",
        "share",
        "higher",
        "Share of translations that are valid and show the shape of the true translation.",
        headline=True,
    ),
    _define(
        "translation_colour",
        "Correct colour",
        "share",
        "higher",
        "Share of translations that are valid and show the colour of the true translation.",
    ),
)


def measure(evaluation: Evaluation, options: ImageOptions) -> None:
    """Pixels, shapes and colours of translations against those of the true translations."""
    world = evaluation.data.world
    require(
        world is not None and evaluation.data.assets.channels == 3,
        "needs colour images of a world that knows the true translation",
    )

    import numpy as np

    from genera.evaluation.translated_images import measured_directions, translated
    from genera.measures.estimate import mean_estimate

    for direction, (_, target) in measured_directions(evaluation).items():
        source, translations = translated(evaluation, options, direction)
        truth = world.translate(source, target)
        reader = getattr(world, target)
        read, distance = reader.read(translations)
        wanted, _ = reader.read(truth)
        valid = distance < reader.valid
        for name, images in (("translation_error", translations), ("untranslated_error", source)):
            error = np.abs(images.astype(np.float64) - truth).mean((1, 2, 3)) / 255
            evaluation.record(name, mean_estimate(error), direction=direction)
        evaluation.record("translation_valid", mean_estimate(valid), direction=direction)
        for name in ("shape", "colour"):
            right = (getattr(read, name) == getattr(wanted, name)) & valid
            evaluation.record(f"translation_{name}", mean_estimate(right), direction=direction)


def against_the_truth(figures: Figures) -> Iterator[Finding]:
    for direction in figures.values_of("direction"):
        there = figures.of(direction=direction)
        valid, shape, colour = (there.get(f"translation_{name}") for name in ("valid", "shape", "colour"))
        if valid is None or shape is None or colour is None:
            continue
        title = direction_title(direction)
        names = [f"translation_{name}" for name in ("valid", "shape", "colour", "error")]
        used = evidence(there, *names, "untranslated_error")
        if valid < 0.5:
            yield Finding(
                "warning",
                f"{title}: only {valid:.0%} of the translations are images of the target domain.",
                used,
                "The model is not trained yet, or its training has diverged: train longer, and look at the training "
                "curves. A small error says little here: a correct background alone makes it small.",
            )
        elif shape < 0.5:
            yield Finding(
                "warning",
                f"{title}: translations lose the content: only {shape:.0%} keep the shape.",
                used,
                "Translations are images of the target domain, but of the wrong content: raise --cycle.",
            )
        elif min(valid, shape, colour) > 0.8:
            yield Finding(
                "good",
                f"{title}: translations are the true ones: {shape:.0%} have the correct shape and {colour:.0%} the "
                "correct colour.",
                used,
                "The model learnt this without a single pair.",
            )


EVALUATOR = Evaluator(
    name="translation-truth",
    question="Are translations the true ones, where the world knows the truth?",
    measure=measure,
    measures=MEASURES,
    needs=(Translates,),
    items=("image-pairs",),
    options_of="translation",
    rules=(against_the_truth,),
)
