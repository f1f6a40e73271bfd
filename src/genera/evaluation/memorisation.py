"""Does the model repeat its training images?"""

from functools import partial

from genera.engine.capabilities import Samples
from genera.evaluation.evaluator import Evaluation, Evaluator, require
from genera.evaluation.image_options import ImageOptions
from genera.measures.schema import Definition

_define = partial(Definition, group="Memorisation")
MEASURES = (
    _define(
        "copies",
        "Near copies",
        "share",
        "lower",
        "Share of generated images that lie nearer to a training image than that image's nearest other training image "
        "does. Some real images do so too; a share well above theirs means that the model repeats its training data.",
        "Alaa et al. 2022, How faithful is your synthetic data?",
    ),
    _define(
        "copies_of_data",
        "Near copies among real images",
        "share",
        "neither",
        "Share of held-out real images that lie nearer to a training image than that image's nearest other training "
        "image does.",
    ),
)
SHOWN = 8
"""Generated images that are shown with their nearest training images."""
NEIGHBOURS = 5


def measure(evaluation: Evaluation, options: ImageOptions) -> None:
    """How many generated images are nearer to a training image than training images are to each other."""
    require(len(evaluation.data.stores.get("train", ())) >= 2, "needs data with at least two training images")

    import numpy as np

    from genera.evaluation.generated_images import GeneratedImages
    from genera.measures.images import copies, nearest

    generated = GeneratedImages.of(evaluation, options)
    fake, training, held_out = generated.features, generated.reference_features, generated.held_out_features
    share, distances, _ = copies(fake, training)
    evaluation.record("copies", share)
    if len(held_out):
        evaluation.record("copies_of_data", copies(held_out, training)[0])

    nearest_first = distances.argsort()[:SHOWN]
    _, neighbours = nearest(fake[nearest_first], training, min(NEIGHBOURS, len(training)))
    rows = []
    for number, places in zip(nearest_first.tolist(), neighbours.tolist(), strict=True):
        rows += [generated.images[number].cpu(), *generated.reference.images(np.array(places))]
    evaluation.picture(
        "neighbours",
        rows,
        section="Images",
        columns=1 + neighbours.shape[1],
        title="Nearest training images",
        lead="Left: the generated images that lie nearest to a training image. Right: their nearest training images.",
    )


EVALUATOR = Evaluator(
    name="memorisation",
    question="Does the model repeat its training images?",
    measure=measure,
    measures=MEASURES,
    needs=(Samples,),
    items=("images",),
    options_of="fidelity",
)
