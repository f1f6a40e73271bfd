"""Translations to look at, beside their sources and the truth."""

from genera.engine.capabilities import Translates
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.image_options import ImageOptions

TITLES = {"a2b": "A to B", "b2a": "B to A"}
SHOWN = 8
"""Images of each direction."""


def measure(evaluation: Evaluation, options: ImageOptions) -> None:
    """A row of source images, a row of their translations, and a row of the true ones where the world knows them."""
    from genera.data.images.store import to_float
    from genera.evaluation.translated_images import measured_directions, translated

    world = evaluation.data.world if evaluation.data.assets.channels == 3 else None
    for direction, (_, target) in measured_directions(evaluation).items():
        source, translations = (images[:SHOWN] for images in translated(evaluation, options, direction))
        rows = [source, translations] + ([] if world is None else [world.translate(source, target)])
        evaluation.picture(
            direction,
            [image for row in rows for image in to_float(row)],
            section="Images",
            columns=len(source),
            title=TITLES.get(direction, direction),
            lead="Top row: source images. Second row: their translations."
            + ("" if world is None else " Third row: the true translations."),
        )


EVALUATOR = Evaluator(
    name="translation-pictures",
    question="What do translations look like, beside their sources and the truth?",
    measure=measure,
    measures=(),
    needs=(Translates,),
    items=("image-pairs",),
    options_of="translation",
)
