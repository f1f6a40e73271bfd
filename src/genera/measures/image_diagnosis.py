"""Rules of the diagnosis that read figures of generated images. Imports no torch."""

from collections.abc import Callable, Iterator, Mapping

from genera.measures.finding import Figures, Finding, evidence

Shares = Mapping[str, Mapping[str, Mapping[str, float]]]

BROKEN = 0.5
"""A smaller share of valid images than this says that the model makes none, not which."""
DROPPED = 0.2
"""A value that is generated less than this often, relative to the data, counts as dropped."""
FEWEST = 10
"""Images of a value that the data must lead one to expect before its absence says anything."""


def dropped_values(figures: Figures, shares: Shares, count: float) -> Iterator[Finding]:
    """Mode dropping, against the truth of a world or by class. count: how many generated images were judged, of which
    only valid ones show a value."""
    lost, kept = [], 0
    count = count * figures.get("valid_images", 1)
    for factor, values in shares.items():
        for value, share in values.items():
            if share["data"] * count < FEWEST:
                continue
            kept += 1
            if share["generated"] < DROPPED * share["data"]:
                lost.append((share["generated"] / share["data"], f"{factor} {value}"))
    used = evidence(figures, "rarest_value", "factor_distance", "modes_covered", "recall")
    if lost:
        lost.sort()
        named = ", ".join(f"{name} ({ratio:.0%} as often as in the data)" for ratio, name in lost[:4])
        more = f" and {len(lost) - 4} more" if len(lost) > 4 else ""
        yield Finding(
            "warning",
            f"Mode dropping: {len(lost)} of {kept} values are missing or nearly so: {named}{more}.",
            used,
            "The generator has given up a part of the data: a lower learning rate of the generator, a larger batch or "
            "more discriminator steps; look whether the discriminator wins. Precision and single samples do not show "
            "this.",
        )
    elif kept and figures.get("factor_distance", 1) < 0.1 and figures.get("valid_images", 1) > 0.8:
        yield Finding(
            "good",
            f"No mode is dropped: all {kept} values occur about as often as in the data.",
            used,
            "The histograms of the factors stand in the report.",
        )


def _broken_images(figures: Figures) -> Iterator[Finding]:
    valid = figures.get("valid_images")
    if valid is not None and valid < BROKEN:
        yield Finding(
            "warning",
            f"Broken images: {valid:.0%} of the generated images are images of the world.",
            evidence(figures, "valid_images", "precision", "recall", "fid"),
            "The model is not trained yet, or its training has broken down: look at the samples and the curves. "
            "Precision may be high nonetheless: it asks only whether features lie near those of some real image.",
        )


def _little_variety(figures: Figures) -> Iterator[Finding]:
    recall, fair, precision = (figures.get(name) for name in ("recall", "recall_of_data", "precision"))
    if recall is None or fair is None or precision is None or recall >= 0.5 * fair:
        return
    if figures.get("valid_images", 1) < BROKEN:
        return  # of broken images that is all to be said
    used = evidence(figures, "recall", "recall_of_data", "coverage", "precision", "fid")
    if precision > 0.5 * figures.get("precision_of_data", 1):
        text = f"Little variety: recall {recall:.0%} where real images reach {fair:.0%}, at precision {precision:.0%}."
        advice = (
            "The images are good, but few kinds of them. Truncation does this; without it, the modes have collapsed."
        )
    else:
        text = f"Neither good nor varied: precision {precision:.0%}, recall {recall:.0%} of {fair:.0%} for real images."
        advice = "The model is not trained yet, or its training has broken down: look at the samples and the curves."
    yield Finding("warning", text, used, advice)


def _discriminator_wins(figures: Figures) -> Iterator[Finding]:
    gap = figures.get("discriminator_gap")
    if gap is None:
        return
    used = evidence(figures, "discriminator_gap", "fid", "precision", "recall")
    if gap > 4:
        yield Finding(
            "warning",
            f"The discriminator wins: it scores real images {gap:.1f} above generated ones.",
            used,
            "Beyond its loss's margin it teaches the generator little. Slow it down (its learning rate, its steps per "
            "generator step), regularise it (R1, feature quantisation, augmentation), or give it more data if it has "
            "learnt the training images by heart.",
        )
    elif gap < 0.05 and figures.get("precision", 0) < 0.5 * figures.get("precision_of_data", 1):
        yield Finding(
            "warning",
            f"The discriminator cannot tell: it scores real images only {gap:.2f} above generated ones, which are bad.",
            used,
            "It is too weak or its training has broken down: raise its learning rate or its width.",
        )


def _dictionary_collapse(figures: Figures) -> Iterator[Finding]:
    usage, perplexity = figures.get("dictionary_usage"), figures.get("dictionary_perplexity")
    if usage is None and perplexity is None:
        return
    if (usage if usage is not None else 1) < 0.05 or (perplexity if perplexity is not None else 99) < 3:
        parts = [f"{usage:.1%} of the codes are in use"] if usage is not None else []
        parts += [f"their perplexity is {perplexity:.1f}"] if perplexity is not None else []
        yield Finding(
            "warning",
            f"The dictionary has collapsed: {' and '.join(parts)} where it is worst.",
            evidence(figures, "dictionary_usage", "dictionary_perplexity"),
            "Quantisation then pulls all features to one point. Start the codes from data and keep them in place until "
            "they are used (init data, ema ones), revive dead ones, or take fewer codes and a smaller weight.",
        )


def _memorised(figures: Figures) -> Iterator[Finding]:
    copies, fair = figures.get("copies"), figures.get("copies_of_data")
    if copies is None or fair is None:
        return
    if copies > fair + 0.5 * (1 - fair):
        yield Finding(
            "warning",
            f"Memorisation: {copies:.0%} of the generated images lie closer to a training image than the data does to "
            f"itself ({fair:.0%} of real images do).",
            evidence(figures, "copies", "copies_of_data", "recall"),
            "Look at the nearest training images in the report. More data, augmentation or an earlier checkpoint help; "
            "FID against the training images rewards this.",
        )


def _too_few_images(figures: Figures) -> Iterator[Finding]:
    fid, limit, own = (figures.get(name) for name in ("fid", "fid_infinity", "fid_of_data"))
    if fid is None or limit is None:
        return
    if fid > 0 and fid - max(limit, 0) > 0.3 * fid:
        rest = "" if own is None else f", and real images have {own:.3g} themselves"
        yield Finding(
            "note",
            f"FID is mostly owed to the number of images: {fid:.3g} falls to {max(limit, 0):.3g} at infinity{rest}.",
            evidence(figures, "fid", "fid_infinity", "fid_of_data"),
            "Draw more (--images) before comparing models this good, or compare KID, which has no such bias.",
        )


def _near_the_data(figures: Figures) -> Iterator[Finding]:
    fid, own = figures.get("fid"), figures.get("fid_of_data")
    enough = "fid_infinity" in figures  # of a handful of images, both are nothing but large
    if fid is not None and own is not None and enough and fid < 2 * own:
        yield Finding(
            "good",
            f"Generated images are about as near to the training images as fresh real ones: FID {fid:.3g} against "
            f"{own:.3g}.",
            evidence(figures, "fid", "fid_of_data", "kid"),
            "As far as these features can tell. They may be blind to what you care about: look at the samples.",
        )


RULES: list[Callable[[Figures], Iterator[Finding]]] = [
    _discriminator_wins,
    _dictionary_collapse,
    _broken_images,
    _little_variety,
    _memorised,
    _near_the_data,
    _too_few_images,
]
