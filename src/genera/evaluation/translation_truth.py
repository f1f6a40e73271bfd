"""Are translations the true ones, where the world knows the truth?"""

from functools import partial

from genera.engine.capabilities import Translates
from genera.evaluation.evaluator import Evaluation, Evaluator, require
from genera.evaluation.image_options import ImageOptions
from genera.measures.schema import Definition

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
    _define(
        "translation_shape_chance",
        "Correct shape by chance",
        "share",
        "neither",
        "Share of true translations that show the shape of another one: what a model reaches that translates another "
        "image.",
    ),
    _define(
        "translation_colour_chance",
        "Correct colour by chance",
        "share",
        "neither",
        "Share of true translations that show the colour of another one.",
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
            values = getattr(wanted, name)
            by_chance = mean_estimate(values == np.roll(values, 1))
            evaluation.record(f"translation_{name}_chance", by_chance, direction=direction)


EVALUATOR = Evaluator(
    name="translation-truth",
    question="Are translations the true ones, where the world knows the truth?",
    measure=measure,
    measures=MEASURES,
    needs=(Translates,),
    items=("image-pairs",),
    options_of="translation",
)
