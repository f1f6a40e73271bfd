"""Plain-words findings from the figures of an evaluation. Imports no torch.

Each rule reads figures by their catalogue names and is silent when one it needs was not measured. The
thresholds lie where runs of known health separate; each finding carries the figures it was drawn from.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from genera.measures import dialogue_diagnosis, image_diagnosis, navigation_diagnosis, translation_diagnosis
from genera.measures.finding import Figures, Finding, evidence
from genera.measures.image_diagnosis import Shares

Lengths = Mapping[str, Sequence[float]]


def diagnose(
    figures: Figures, lengths: Lengths | None = None, shares: Shares | None = None, images: float = 0
) -> list[Finding]:
    """All findings: warnings, then what is good, then notes.

    figures: {catalogue name: value}; values that are not finite count as not measured.
    lengths: {"words": bin centres, "reconstruction_nats": means, "exact": shares}, one entry a length bin.
    shares: {factor: {value: {"generated": share, "data": share}}}, how often images show each value.
    images: how many generated images those shares are of.
    """
    figures = {name: value for name, value in figures.items() if value is not None and math.isfinite(value)}
    found = [finding for rule in _RULES for finding in rule(figures)]
    found += _dependence_on_length(lengths or {})
    if shares:
        found += image_diagnosis.dropped_values(figures, shares, images)
    return sorted(found, key=lambda f: ("warning", "good", "note").index(f.level))


def _below_the_floor(figures: Figures) -> Iterator[Finding]:
    floor = figures.get("nll_floor")
    bounds = {n: v for n, v in figures.items() if n in ("elbo", "log_likelihood") or n.startswith("iw_bound")}
    if floor is None or not bounds:
        return
    best = max(bounds, key=bounds.__getitem__)
    if -bounds[best] < floor - max(0.1, 0.01 * floor):  # room for the noise of a finite sample
        yield Finding(
            "warning",
            f"The bound is impossible: {-bounds[best]:.2f} nats an item, below the data's entropy of {floor:.2f}.",
            {best: bounds[best], "nll_floor": floor},
            "The model saw what it should predict, or likelihood is counted wrongly: look for a leak past the "
            "causal mask, measured items that were trained on, a missing end. Trust no figure of this run.",
        )


def _collapse(figures: Figures) -> Iterator[Finding]:
    kl = figures.get("kl")
    if kl is None:
        return
    used = evidence(figures, "kl", "likelihood_lost_on_swap", "exact_reconstruction", "au")
    units = figures.get("au", 0)
    caveat = (
        f" The {units:.0f} active units do not contradict this: the encoder moves, but little listens." if units else ""
    )
    advice = (
        "Let the latent carry information before it is taxed: --beta-schedule cyclical with a first part at 0, "
        "and --free-bits 0.5 (a floor for each dimension's KL); a smaller --beta also helps. A useful latent "
        "costs some likelihood: judge the next run by exact reconstructions and the likelihood lost on a swap."
    )
    if _collapsed(figures):
        swap = figures.get("likelihood_lost_on_swap")
        lost = "" if swap is None else f", and swapping it for another item's costs {swap:.2f} nats"
        text = f"Posterior collapse: the latent carries at most {kl:.2f} nats an item{lost}.{caveat}"
        yield Finding("warning", text, used, advice)
    elif _barely_used(figures):
        text = (
            f"The latent is nearly unused: at most {kl:.2f} nats an item (about {math.exp(kl):.0f} kinds of "
            f"item) and {figures['exact_reconstruction']:.1%} exact reconstructions.{caveat}"
        )
        yield Finding("warning", text, used, advice)


def _collapsed(figures: Figures) -> bool:
    # A decoder that ignores z loses nothing on a swap, however large the KL.
    return figures.get("kl", math.inf) < 0.5 or figures.get("likelihood_lost_on_swap", math.inf) < 0.5


def _barely_used(figures: Figures) -> bool:
    return figures.get("kl", math.inf) < 3 and figures.get("exact_reconstruction", 1) < 0.05


def _latent_in_use(figures: Figures) -> Iterator[Finding]:
    if "kl" not in figures or _collapsed(figures) or _barely_used(figures):
        return
    exact, swap = figures.get("exact_reconstruction", 0), figures.get("likelihood_lost_on_swap", 0)
    if exact > 0.5 or swap > 5:
        parts = [f"it carries at most {figures['kl']:.1f} nats an item"]
        parts += [f"{exact:.1%} of the items come back exactly"] if "exact_reconstruction" in figures else []
        parts += [f"another item's latent costs {swap:.1f} nats"] if "likelihood_lost_on_swap" in figures else []
        yield Finding(
            "good",
            f"The latent is used: {', '.join(parts)}.",
            evidence(figures, "kl", "exact_reconstruction", "likelihood_lost_on_swap"),
            "Reconstruction, interpolation and analogy mean something for this model.",
        )


def _latent_holes(figures: Figures) -> Iterator[Finding]:
    if "kl" not in figures or "reconstruction" not in figures:
        return
    kl, reconstruction = figures["kl"], figures["reconstruction"]
    valid = figures.get("grammatical_samples")
    gap = _largest_bound(figures) - figures.get("elbo", math.inf)
    if valid is not None:
        holes = valid < 0.5 and figures.get("exact_reconstruction", 0) > 0.5
    else:
        holes = kl > 3 * reconstruction and gap > 5
    if holes:
        seen = (
            f"{valid:.0%} of the prior samples are grammatical"
            if valid is not None
            else (f"the importance-weighted bound lies {gap:.1f} nats above the ELBO")
        )
        yield Finding(
            "warning",
            f"It reconstructs but does not sample: KL {kl:.0f} nats against a reconstruction term of "
            f"{reconstruction:.1f}, and {seen}. The posteriors sit on islands that the prior misses.",
            evidence(figures, "kl", "reconstruction", "exact_reconstruction", "grammatical_samples", "elbo"),
            "Use it as an autoencoder (reconstruct, interpolate, analogy), not as a sampler or a density. To "
            "sample, train on with a larger --beta, or a --beta-schedule that ends at 1.",
        )
    elif valid is not None and valid >= 0.8 and not _collapsed(figures):
        yield Finding(
            "good",
            f"The prior samples well: {valid:.0%} of the samples are grammatical.",
            evidence(figures, "grammatical_samples", "distinct_samples", "novel"),
            "Latents near the prior decode to valid items.",
        )


def _largest_bound(figures: Figures) -> float:
    return max((v for n, v in figures.items() if n.startswith("iw_bound")), default=-math.inf)


def _saturated_information(figures: Figures) -> Iterator[Finding]:
    information, ceiling = figures.get("mi"), figures.get("mi_ceiling")
    if information is None or ceiling is None:
        return
    noise = math.sqrt(figures.get("latent_size", 0) / (2 * math.exp(ceiling)))
    if information > ceiling - max(0.1, noise):
        yield Finding(
            "note",
            f"Mutual information is saturated: {information:.2f} of at most ln M = {ceiling:.2f} nats.",
            evidence(figures, "mi", "mi_ceiling"),
            "It says only that the measured items can be told apart. Do not rank models by it; KL, exact "
            "reconstructions and the likelihood lost on a swap still differ.",
        )


def _unused_dimensions(figures: Figures) -> Iterator[Finding]:
    active, size = figures.get("au"), figures.get("latent_size")
    if active is None or size is None or _collapsed(figures) or active >= size:
        return
    yield Finding(
        "note",
        f"{size - active:.0f} of {size:.0f} latent dimensions are unused.",
        evidence(figures, "au", "latent_size", "kl"),
        "A smaller --latent-size would do as well; or raise --free-bits, whose floor holds in each dimension.",
    )


def _loose_bound(figures: Figures) -> Iterator[Finding]:
    few, many = figures.get("iw_bound_10"), figures.get("iw_bound")
    if few is not None and many is not None and many - few > 2:  # nearly the ln 10 of one dominant sample
        yield Finding(
            "note",
            f"The likelihood bound has not settled: 100 samples give {many - few:.1f} nats more than 10.",
            {"iw_bound_10": few, "iw_bound": many},
            "log p(x) lies well above it, so the perplexities are too high by an unknown amount: measure with "
            "more samples before comparing them with another model's.",
        )


def _dependence_on_length(lengths: Lengths) -> Iterator[Finding]:
    words, exact, nats = (lengths.get(name, ()) for name in ("words", "exact", "reconstruction_nats"))
    if len(words) < 3:
        return
    third = max(1, len(words) // 3)
    short, long = slice(None, third), slice(-third, None)
    span = f"{words[0]:.0f} to {words[-1]:.0f} words"
    if len(exact) == len(words) and (first := _mean(exact[short])) - (last := _mean(exact[long])) > 0.3:
        yield Finding(
            "warning",
            f"Long items are lost: from {span}, exact reconstructions fall from {first:.0%} to {last:.0%}.",
            {"exact_short": first, "exact_long": last},
            "One vector holds only so much: a larger --latent-size or more training for the long items; until "
            "then trust it for the short ones.",
        )
    elif len(nats) == len(words):
        rate = [n / w for n, w in zip(nats, words, strict=True) if w > 0]
        first, last = _mean(rate[short]), _mean(rate[long])
        if last > 1.5 * first:
            yield Finding(
                "note",
                f"Errors grow with length: {first:.2f} to {last:.2f} nats a word from {span}.",
                {"nats_per_word_short": first, "nats_per_word_long": last},
                "A larger --latent-size gives the long items more room.",
            )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_RULES: list[Callable[[Figures], Iterator[Finding]]] = [
    _below_the_floor,
    _collapse,
    _latent_in_use,
    _latent_holes,
    _saturated_information,
    _unused_dimensions,
    _loose_bound,
    *dialogue_diagnosis.RULES,
    *image_diagnosis.RULES,
    *translation_diagnosis.RULES,
    *navigation_diagnosis.RULES,
]
