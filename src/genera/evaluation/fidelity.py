"""Are the generated images good, and as varied as the data?"""

from collections.abc import Iterator

from genera.engine.capabilities import Samples
from genera.evaluation.blocks import Cell, Table
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.fidelity_measures import GENERATED
from genera.evaluation.image_options import ImageOptions
from genera.evaluation.image_uses import IMAGES
from genera.evaluation.verdict import verdict
from genera.measures.schema import Estimate, Figures, Finding, evidence


def measure(evaluation: Evaluation, options: ImageOptions) -> None:
    """FID, KID, precision and recall of generated images against training images, and the same of held-out real images
    to read them by: all of them depend on the number of images."""
    import numpy as np
    import torch

    from genera.evaluation.generated_images import REFERENCE, TRIVIAL, GeneratedImages, logits
    from genera.measures import images as measures
    from genera.measures.frechet import LEAST, Moments, fid, fid_infinity

    generated = GeneratedImages.of(evaluation, options)
    network = generated.extractor
    fake, real, held_out = generated.features, generated.reference_features, generated.held_out_features
    others, compared_with, others_are = generated.real
    generator = torch.Generator().manual_seed(evaluation.seed)

    figures = {"feature_size": Estimate(fake.shape[1], None, len(fake)), "fid": fid(fake, real)}
    if len(fake) >= LEAST:
        figures["fid_infinity"] = fid_infinity(fake, real, generator=generator)
    if len(held_out) > 1:
        figures["fid_held_out"] = fid(fake, held_out)
    if (equal := min(len(fake), len(others))) > 1:
        reference = Moments(compared_with)
        figures["fid_equal"] = fid(fake[:equal], reference)
        figures["fid_of_data"] = fid(others[:equal], reference)
        for name, images in generated.trivial(min(equal, TRIVIAL)).items():
            figures[f"fid_{name}"] = fid(images, reference)
        figures["kid_of_data"] = measures.kid(others, compared_with)
        evaluation.note(real_images=others_are)
    figures |= measures.kids(fake, real, generator=generator)
    for features, among, suffix in ((fake, real, ""), (others, compared_with, "_of_data")):
        count = min(len(features), len(among))  # equal numbers of both
        if count > 5:
            variety = measures.precision_recall_density_coverage(features[:count], among[:count])
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
    rules=(verdict(IMAGES), too_few_images),
)
