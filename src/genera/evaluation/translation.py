"""Do translations look like images of the target domain?"""

from functools import partial

from genera.engine.capabilities import Translates
from genera.evaluation.evaluator import Evaluation, Evaluator, require
from genera.evaluation.fidelity_measures import DISTANCES, U_GAT_IT, VARIETY
from genera.evaluation.image_options import ImageOptions
from genera.evaluation.image_uses import DIRECTION_TITLES, TRANSLATIONS
from genera.evaluation.verdict import verdict
from genera.measures.schema import Definition

_define = partial(Definition, group="Translation")
MEASURES = (
    *DISTANCES,
    *U_GAT_IT,
    *VARIETY,
    _define(
        "kid_of_target",
        "KID of real target images",
        "distance",
        "neither",
        "KID between training images of the target domain and its measured images: the KID of a perfect model, 0 up to "
        "noise.",
    ),
    _define(
        "content_returned",
        "Content that comes back",
        "share",
        "higher",
        "Share of the variance of source images that is still there after translation to the other domain and back: 1 "
        "where every image comes back, 0 where all come back as the mean source image. Content that does not come "
        "back is lost; content that does may still have been changed on the way.",
    ),
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


def measure(evaluation: Evaluation, options: ImageOptions) -> None:
    """Translations against real images of the target domain: FID, KID, and the two figures that U-GAT-IT's tables call
    KID, which also look at the source."""
    require(
        min(options.images, evaluation.data.size(evaluation.split)) >= 2, "needs at least two images of each domain"
    )

    import torch

    from genera.data.images.pairs import DOMAINS
    from genera.evaluation.generated_images import extractor, logits
    from genera.evaluation.translated_images import (
        domain_images,
        measured_directions,
        returned,
        training_images,
        translated,
    )
    from genera.measures import images as measures
    from genera.measures.estimate import mean_estimate
    from genera.measures.features import extract
    from genera.measures.frechet import LEAST, fid, fid_infinity
    from genera.measures.reconstruction import explained_variance

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
        training = training_images(evaluation, options, target)
        others = None if training is None else extract(network.features, training, device=network.device)
        if others is not None and len(others) > 1:
            figures["kid_of_target"] = measures.kid(others, real)
        for features, suffix in ((fake, ""), (others, "_of_data")):
            count = 0 if features is None else min(len(features), len(real))
            if features is not None and count > 5:
                variety = measures.precision_recall_density_coverage(features[:count], real[:count])
                figures |= {name + suffix: estimate for name, estimate in variety.items()}
        back = returned(evaluation, options, direction)
        if back is not None:
            figures["content_returned"] = explained_variance(back, source_images)
        if len(fake) >= LEAST:
            figures["fid_infinity"] = fid_infinity(fake, real, generator=generator)
        if options.features == "in-domain" and network.logits:
            judged = {"": translations, "_of_source": source_images, "_of_data": target_images}
            for suffix, images in judged.items():
                domains = logits(network, images).argmax(1)
                figures[f"translation_domain{suffix}"] = mean_estimate((domains == DOMAINS.index(target)).numpy())
        for name, estimate in figures.items():
            evaluation.record(name, estimate, direction=direction)


EVALUATOR = Evaluator(
    name="translation",
    question="Do translations look like images of the target domain? FID and KID in each direction.",
    measure=measure,
    measures=MEASURES,
    needs=(Translates,),
    items=("image-pairs",),
    options=ImageOptions,
    rules=(verdict(TRANSLATIONS, by="direction", titles=DIRECTION_TITLES),),
)
