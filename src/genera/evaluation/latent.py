"""Evaluator `latent`: does the latent carry information, and does the decoder use it?"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genera.engine.capabilities import Encodes, ScoresGiven
from genera.evaluation.advice import COLLAPSE, barely_used, collapsed
from genera.evaluation.blocks import Bars, Scatter
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.evaluation.item_types import ITEM_TYPES, item_type
from genera.measures.schema import Definition, Estimate, Figures, Finding, evidence

if TYPE_CHECKING:
    from torch import Tensor

MAPPED = 1000
"""Points of the latent map."""
SECTION = _GROUP = "Latent space"


@dataclass(frozen=True, kw_only=True)
class LatentOptions(Options):
    items: int = 2000
    """Number of items of the split."""


KL = Definition(
    "kl",
    "KL to the prior",
    "nats/item",
    "neither",
    "Mean KL(q(z|x) ‖ p(z)), analytic, without free bits: an upper bound on the information about an item that z "
    "carries. Near 0, the latent is unused; far above the entropy of the items, the prior does not cover the encoded "
    "latents.",
    "Kingma & Welling 2014",
    _GROUP,
    headline=True,
)
MEASURES = (
    KL,
    Definition(
        "likelihood_lost_on_swap",
        "Likelihood lost on a swap",
        "nats/item",
        "higher",
        "Mean decrease of log p(x|z) when an item is decoded with the latent of another item. About 0 means that the "
        "decoder ignores z.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "swap_share",
        "Nats saved by z",
        "share",
        "higher",
        "The likelihood lost on a swap over −log p(x|z) with the latent of another item: the share of a sentence's "
        "nats that its own latent saves. 0: the decoder ignores z; 1: z determines the sentence.",
        "",
        _GROUP,
    ),
    Definition(
        "swap_per_word",
        "Nats saved by z per word",
        "nats/word",
        "higher",
        "The likelihood lost on a swap over the number of words, one end of sentence each included.",
        "",
        _GROUP,
    ),
    Definition(
        "mi",
        "Mutual information",
        "nats",
        "higher",
        "Mutual information of item and latent under the aggregated posterior of the M measured items. It cannot "
        "exceed ln M; near this ceiling it no longer distinguishes models.",
        "Hoffman & Johnson 2016; Li et al. 2020, Optimus",
        _GROUP,
    ),
    Definition(
        "mi_ceiling",
        "Ceiling of mutual information",
        "nats",
        "neither",
        "ln M, the maximum of the mutual information over M items.",
        "",
        _GROUP,
    ),
    Definition(
        "au",
        "Active units",
        "dimensions",
        "higher",
        "Number of dimensions whose posterior mean has a variance above 0.01 over the items. All may be active "
        "although the decoder ignores z: read it together with the KL and the nats saved by z.",
        "Burda et al. 2016, Importance weighted autoencoders",
        _GROUP,
    ),
    Definition(
        "latent_size",
        "Latent dimensions",
        "dimensions",
        "neither",
        "Size P of the latent vector z.",
        "",
        _GROUP,
    ),
)


def measure(evaluation: Evaluation, options: LatentOptions) -> None:
    """KL per dimension, mutual information, active units, the use that the decoder makes of z, and a map."""
    import torch

    from genera.measures import latent
    from genera.measures.estimate import mean_estimate

    run, items = evaluation.run, evaluation.items(options.items)
    count = len(items)
    posterior = run.encode(items)
    mean, log_variance = posterior.mean, posterior.log_variance
    evaluation.record("latent_size", Estimate(evaluation.model.latent_size, None, count))
    evaluation.record("au", Estimate(latent.active_units(mean), None, count))
    z = mean
    if log_variance is not None:
        kl = latent.gaussian_kl(mean, log_variance)
        if evaluation.value("kl") is None:  # else the likelihood's, of the items whose ELBO it is a part of
            evaluation.record("kl", mean_estimate(kl.sum(1).cpu()))
        noise = torch.randn(mean.shape, generator=run.generator(evaluation.seed), device=mean.device)
        z = mean + (0.5 * log_variance).exp() * noise
        evaluation.record("mi", Estimate(latent.mutual_information(mean, log_variance, z), None, count))
        evaluation.record("mi_ceiling", Estimate(math.log(count), None, count))
    if isinstance(evaluation.model, ScoresGiven):
        with torch.no_grad():
            own, other = (
                evaluation.model.score_given(items, z.roll(shift, 0)).cpu() for shift in (0, max(1, count // 2))
            )
        evaluation.record("likelihood_lost_on_swap", mean_estimate(own - other))
        if (words := item_type(evaluation.data.kind).lengths(items)) is not None:
            saved = float((own - other).sum())
            evaluation.record("swap_share", Estimate(-saved / float(other.sum()), None, count))
            evaluation.record("swap_per_word", Estimate(saved / (sum(words) + count), None, count))
    evaluation.show(latent_map(evaluation, items[:MAPPED], mean[:MAPPED]))
    variances = latent.latent_variances(mean).tolist()
    nats = variances if log_variance is None else kl.mean(0).tolist()
    order = sorted(range(len(nats)), key=lambda dimension: -nats[dimension])  # where the information is, first
    if log_variance is not None:
        evaluation.show(_bars("KL per dimension", "nats", nats, order))
    evaluation.show(_bars("Variance of the posterior mean", "variance", variances, order))


def _bars(title: str, y: str, values: list[float], order: list[int]) -> Bars:
    """order: dimensions from left to right."""
    labels = [f"dimension {dimension}" for dimension in order]
    return Bars(
        section=SECTION, title=title, values=[values[i] for i in order], labels=labels, x="dimension, sorted", y=y
    )


def latent_map(evaluation: Evaluation, items: Sequence[Any], mean: "Tensor") -> Scatter:
    """Two principal components of the means (N, P), with everything by which the points can be coloured."""
    import numpy as np
    from sklearn.decomposition import PCA

    from genera.uses.facts import facts_of

    kind, world = item_type(evaluation.data.kind), evaluation.data.world
    labels = kind.colourings(items)
    if (names := evaluation.data.labels(evaluation.split, len(items))) is not None:
        labels["label"] = list(names)
    if (facts := facts_of(items, world)) is not None:
        labels |= {factor: [(known or {}).get(factor, "?") for known in facts] for factor in world.factors}
    points = np.zeros((len(items), 2))
    if mean.std(0).any():  # else all items lie on one point
        two = min(2, *mean.shape)
        points[:, :two] = PCA(two, random_state=0).fit_transform(mean.double().cpu().numpy())
    return Scatter(
        section=SECTION,
        title="Map of the posterior means",
        points=[(x, y) for x, y in points.round(3).tolist()],
        texts=kind.captions(items),
        labels=labels,
        method="PCA",
    )


# -- diagnosis --------------------------------------------------------------------------------------------------------


def collapse(figures: Figures) -> Iterator[Finding]:
    kl = figures.get("kl")
    if kl is None:
        return
    used = evidence(figures, "kl", "swap_share", "likelihood_lost_on_swap", "exact_reconstruction", "au")
    units = figures.get("au", 0)
    caveat = f" The {units:.0f} active units do not contradict this: the decoder ignores them." if units else ""
    advice = f"{COLLAPSE} A latent in use costs some likelihood: judge the next run by its reconstructions."
    if collapsed(figures):
        text = f"Posterior collapse: the latent carries at most {kl:.2f} nats an item{_lost(figures)}.{caveat}"
        yield Finding("warning", text, used, advice, "reconstructions")
    elif barely_used(figures):
        text = (
            f"The latent is nearly unused: at most {kl:.2f} nats an item (about {math.exp(kl):.0f} kinds of "
            f"item) and {figures['exact_reconstruction']:.1%} exact reconstructions.{caveat}"
        )
        yield Finding("warning", text, used, advice, "reconstructions")


def _lost(figures: Figures) -> str:
    if (share := figures.get("swap_share")) is not None:
        return f", and its own latent saves {share:.1%} of an item's nats against another item's"
    swap = figures.get("likelihood_lost_on_swap")
    return "" if swap is None else f", and another item's latent costs {swap:.2f} nats"


def saturated_information(figures: Figures) -> Iterator[Finding]:
    information, ceiling = figures.get("mi"), figures.get("mi_ceiling")
    if information is None or ceiling is None:
        return
    noise = math.sqrt(figures.get("latent_size", 0) / (2 * math.exp(ceiling)))
    if information > ceiling - max(0.1, noise):
        yield Finding(
            "note",
            f"Mutual information is saturated: {information:.2f} of at most ln M = {ceiling:.2f} nats.",
            evidence(figures, "mi", "mi_ceiling"),
            "At this value it only says that the measured items can be told apart. Compare models by KL, "
            "reconstructions and the nats saved by z instead.",
        )


def unused_dimensions(figures: Figures) -> Iterator[Finding]:
    active, size = figures.get("au"), figures.get("latent_size")
    if active is None or size is None or collapsed(figures) or active >= size:
        return
    yield Finding(
        "note",
        f"{size - active:.0f} of {size:.0f} latent dimensions are unused.",
        evidence(figures, "au", "latent_size", "kl"),
        "A smaller --latent-size does as well; or raise --free-bits, the minimum KL of each dimension.",
    )


EVALUATOR = Evaluator(
    name="latent",
    question="Does the latent carry information, and does the decoder use it?",
    measure=measure,
    measures=MEASURES,
    needs=(Encodes,),
    items=tuple(ITEM_TYPES),
    options=LatentOptions,
    rules=(collapse, saturated_information, unused_dimensions),
)
