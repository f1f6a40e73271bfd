"""Generated images to look at, beside real ones."""

from genera.engine.capabilities import Samples
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.image_options import ImageOptions

SHOWN = 64
"""Images of a grid."""
ROWS, COLUMNS = 16, 8
"""Classes, and images of each, at most."""


def measure(evaluation: Evaluation, options: ImageOptions) -> None:
    """Generated images, by class where the model knows classes, and real images of the split."""
    from genera.evaluation.generated_images import GeneratedImages

    generated = GeneratedImages.of(evaluation, options)
    images, columns = generated.images[:SHOWN], None
    lead = "Random samples, not selected."
    if generated.labels is not None:
        names = generated.data.assets.classes
        rows = [
            [image for image, label in zip(generated.images, generated.labels, strict=True) if label == number]
            for number in range(len(names))
        ]
        columns = min(COLUMNS, *map(len, rows)) or None
        if columns:
            images = [image for row in rows[:ROWS] for image in row[:columns]]
            lead += f" One row per class: {', '.join(names[:ROWS])}."
    evaluation.picture("samples", images, section="Images", columns=columns, title="Samples", lead=lead)
    evaluation.picture(
        "data",
        evaluation.items(SHOWN),
        section="Images",
        title="Real images",
        lead=f"Of the {evaluation.split} split, for comparison.",
    )


EVALUATOR = Evaluator(
    name="pictures",
    question="What do generated images look like, beside real ones?",
    measure=measure,
    measures=(),
    needs=(Samples,),
    items=("images",),
    options_of="fidelity",
)
