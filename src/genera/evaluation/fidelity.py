"""Are the generated images good, and as varied as the data?"""

from collections.abc import Iterator

from genera.engine.capabilities import Samples
from genera.evaluation.blocks import Cell, Table
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.fidelity_measures import GENERATED
from genera.evaluation.image_options import ImageOptions
from genera.measures.schema import Estimate, Figures, Finding, evidence

BROKEN = 0.5
"""A smaller share of valid images than this says that the model makes none, not which."""


def measure(evaluation: Evaluation, options: ImageOptions) -> None:
    """FID, KID, precision and recall of generated images against training images, and the same of held-out real images
    to read them by: all of them depend on the number of images."""
    import numpy as np
    import torch

    from genera.evaluation.generated_images import REFERENCE, GeneratedImages, logits
    from genera.measures import images as measures
    from genera.measures.frechet import LEAST, fid, fid_infinity

    generated = GeneratedImages.of(evaluation, options)
    network = generated.extractor
    fake, real, held_out = generated.features, generated.reference_features, generated.held_out_features
    generator = torch.Generator().manual_seed(evaluation.seed)

    figures = {"feature_size": Estimate(fake.shape[1], None, len(fake)), "fid": fid(fake, real)}
    if len(fake) >= LEAST:
        figures["fid_infinity"] = fid_infinity(fake, real, generator=generator)
    if len(held_out) > 1:
        figures["fid_held_out"] = fid(fake, held_out)
        figures["fid_of_data"] = fid(held_out, real)
        figures["kid_of_data"] = measures.kid(held_out, real)
    figures |= measures.kids(fake, real, generator=generator)
    for features, suffix in ((fake, ""), (held_out, "_of_data")):
        count = min(len(features), len(real))  # equal numbers of both
        if count > 5:
            variety = measures.precision_recall_density_coverage(features[:count], real[:count])
            figures |= {name + suffix: estimate for name, estimate in variety.items()}
    if network.logits is not None and len(fake) >= 10:
        figures["inception_score"] = measures.inception_score(logits(network, generated.pixels))
        if len(held_out) >= 10:
            of_data = measures.inception_score(logits(network, generated.held_out_pixels))
            figures["inception_score_of_data"] = of_data
    if generated.labels is not None:
        real_labels = torch.from_numpy(np.array(generated.reference.labels[:REFERENCE]))  # type: ignore[index]
        within, by_class = measures.intra_class_fid(fake, generated.labels, real, real_labels)
        figures["fid_within_classes"] = within
        names = generated.data.assets.classes
        rows: list[list[Cell]] = [[names[label], value] for label, value in by_class.items()]
        evaluation.show(Table(section="Classes", title="FID by class", columns=["class", "FID"], rows=rows))

    evaluation.note(features=network.name)
    for name, estimate in figures.items():
        evaluation.record(name, estimate)


def little_variety(figures: Figures) -> Iterator[Finding]:
    recall, recall_of_data, precision = (figures.get(name) for name in ("recall", "recall_of_data", "precision"))
    if recall is None or recall_of_data is None or precision is None or recall >= 0.5 * recall_of_data:
        return
    if figures.get("valid_images", 1) < BROKEN:
        return  # `broken_images` says all that can be said
    used = evidence(figures, "recall", "recall_of_data", "coverage", "precision", "fid")
    if precision > 0.5 * figures.get("precision_of_data", 1):
        yield Finding(
            "warning",
            f"Little variety: recall is {recall:.0%} where real images reach {recall_of_data:.0%}, at a precision of "
            f"{precision:.0%}.",
            used,
            "The images are good, but of few kinds. Truncation has this effect; without it, the model has lost modes.",
        )
    else:
        yield Finding(
            "warning",
            f"Neither good nor varied: precision is {precision:.0%} and recall {recall:.0%}, where real images reach a "
            f"recall of {recall_of_data:.0%}.",
            used,
            "The model is not trained yet, or its training has diverged: look at the samples and the training curves.",
        )


def near_the_data(figures: Figures) -> Iterator[Finding]:
    fid, of_data = figures.get("fid"), figures.get("fid_of_data")
    enough = "fid_infinity" in figures  # of a handful of images, both are merely large
    if fid is not None and of_data is not None and enough and fid < 2 * of_data:
        yield Finding(
            "good",
            f"Generated images are about as near to the training images as new real images are: FID {fid:.3g} against "
            f"{of_data:.3g}.",
            evidence(figures, "fid", "fid_of_data", "kid"),
            "This holds for these features, which may not see what matters to you: look at the samples.",
        )


def too_few_images(figures: Figures) -> Iterator[Finding]:
    fid, limit, of_data = (figures.get(name) for name in ("fid", "fid_infinity", "fid_of_data"))
    if fid is None or limit is None:
        return
    if fid > 0 and fid - max(limit, 0) > 0.3 * fid:
        rest = "" if of_data is None else f"; real images have an FID of {of_data:.3g}"
        yield Finding(
            "note",
            f"FID is dominated by the number of images: {fid:.3g} falls to {max(limit, 0):.3g} at infinity{rest}.",
            evidence(figures, "fid", "fid_infinity", "fid_of_data"),
            "Generate more images (--fidelity.images) before you compare models of this quality, or compare KID, which "
            "has no such bias.",
        )


EVALUATOR = Evaluator(
    name="fidelity",
    question="Are the generated images good, and as varied as the data? FID, KID, precision and recall.",
    measure=measure,
    measures=GENERATED,
    needs=(Samples,),
    items=("images",),
    options=ImageOptions,
    rules=(little_variety, near_the_data, too_few_images),
)
