"""Do translations look like images of the target domain?"""

from collections.abc import Iterator
from functools import partial

from genera.engine.capabilities import Translates
from genera.evaluation.evaluator import Evaluation, Evaluator, require
from genera.evaluation.fidelity_measures import DISTANCES, U_GAT_IT
from genera.evaluation.image_options import ImageOptions
from genera.measures.schema import Definition, Figures, Finding, evidence

_define = partial(Definition, group="Translation")
MEASURES = (
    *DISTANCES,
    *U_GAT_IT,
    _define(
        "kid_of_source",
        "KID of source images",
        "distance",
        "neither",
        "KID between untranslated source images and the target domain: the KID of a model that changes nothing.",
    ),
    _define(
        "translation_domain",
        "Recognised as target domain",
        "share",
        "higher",
        "Share of translations that the in-domain classifier, which tells the two domains apart, assigns to the target "
        "domain.",
    ),
    _define(
        "translation_domain_of_source",
        "Source images recognised as target domain",
        "share",
        "neither",
        "Share of untranslated source images that the in-domain classifier assigns to the target domain.",
    ),
    _define(
        "translation_domain_of_data",
        "Real images recognised as target domain",
        "share",
        "neither",
        "Share of real images of the target domain that the in-domain classifier assigns to it.",
    ),
)
_TITLES = {"a2b": "A to B", "b2a": "B to A"}


def direction_title(direction: str) -> str:
    """How sentences and headings call a direction."""
    return _TITLES.get(direction, direction)


def measure(evaluation: Evaluation, options: ImageOptions) -> None:
    """Translations against real images of the target domain: FID, KID, and the two figures that U-GAT-IT's tables call
    KID, which also look at the source."""
    require(
        min(options.images, evaluation.data.size(evaluation.split)) >= 2, "needs at least two images of each domain"
    )

    import torch

    from genera.data.images.pairs import DOMAINS
    from genera.evaluation.generated_images import extractor, logits
    from genera.evaluation.translated_images import domain_images, measured_directions, translated
    from genera.measures import images as measures
    from genera.measures.estimate import mean_estimate
    from genera.measures.features import extract
    from genera.measures.frechet import LEAST, fid, fid_infinity

    generator = torch.Generator().manual_seed(evaluation.seed)
    network = extractor(evaluation, options.features)
    evaluation.note(features=network.name)
    for direction, (_, target) in measured_directions(evaluation).items():
        source_images, translations = translated(evaluation, options, direction)
        target_images = domain_images(evaluation, options, target)
        fake, real, source = (
            extract(network.features, images, device=network.device)
            for images in (translations, target_images, source_images)
        )
        figures = {
            "fid": fid(fake, real),
            **measures.kids(fake, real, generator=generator),
            "kid_u_gat_it": measures.kid_u_gat_it(fake, real, source),
            "kid_u_gat_it_early": measures.kid_u_gat_it_early(fake, real, source),
            "kid_of_source": measures.kid(source, real),
        }
        if len(fake) >= LEAST:
            figures["fid_infinity"] = fid_infinity(fake, real, generator=generator)
        if options.features == "in-domain" and network.logits:
            judged = {"": translations, "_of_source": source_images, "_of_data": target_images}
            for suffix, images in judged.items():
                domains = logits(network, images).argmax(1)
                figures[f"translation_domain{suffix}"] = mean_estimate((domains == DOMAINS.index(target)).numpy())
        for name, estimate in figures.items():
            evaluation.record(name, estimate, direction=direction)


def not_nearer(figures: Figures) -> Iterator[Finding]:
    for direction in figures.values_of("direction"):
        there = figures.of(direction=direction)
        kid, before = there.get("kid"), there.get("kid_of_source")
        if kid is not None and before is not None and kid >= 0.9 * before:
            yield Finding(
                "warning",
                f"{direction_title(direction)}: translations are no nearer to the target domain than untranslated "
                f"images: KID {kid:.3g} against {before:.3g}.",
                evidence(there, "kid", "kid_of_source", "translation_domain", "fid"),
                "Look at the images. If they are copies of the source, the cycle and identity losses weigh too much; "
                "if they are broken, training was too short or has diverged.",
            )


EVALUATOR = Evaluator(
    name="translation",
    question="Do translations look like images of the target domain? FID and KID in each direction.",
    measure=measure,
    measures=MEASURES,
    needs=(Translates,),
    items=("image-pairs",),
    options=ImageOptions,
    rules=(not_nearer,),
)
