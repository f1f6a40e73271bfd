"""Evaluator `latent`: does the latent carry information, and does the decoder listen to it?"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genera.engine.capabilities import Encodes, ScoresGiven
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
    "Mean KL(q(z|x) ‖ p(z)), analytic, before any free bits: at most this many nats about an item "
    "pass through z. Near 0 the latent is not used; far more than the items hold, the prior no longer"
    " covers what is encoded.",
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
        "How much log p(x|z) drops when an item is decoded with another item's z. About 0 means that the "
        "decoder does not listen to z; it judges the use of z more safely than active units do.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "mi",
        "Mutual information",
        "nats",
        "higher",
        "Information between item and latent under the aggregated posterior of the M measured items. It "
        "cannot exceed ln M: near that ceiling it is saturated and tells models no further apart.",
        "Hoffman & Johnson 2016; Li et al. 2020, Optimus",
        _GROUP,
    ),
    Definition(
        "mi_ceiling",
        "Ceiling of mutual information",
        "nats",
        "neither",
        "ln M, the most that mutual information over M items can show.",
        "",
        _GROUP,
    ),
    Definition(
        "au",
        "Active units",
        "dimensions",
        "higher",
        "Dimensions whose posterior mean has a variance over the items above 0.01. All may be active "
        "while the decoder ignores z: read it together with KL and the likelihood lost on a swap.",
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
    """KL per dimension, mutual information, active units, whether the decoder listens to z, and a map."""
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
            lost = evaluation.model.score_given(items, z) - evaluation.model.score_given(items, z.roll(1, 0))
        evaluation.record("likelihood_lost_on_swap", mean_estimate(lost.cpu()))
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
    return Bars(section=SECTION, title=title, values=[values[i] for i in order], labels=labels, y=y)


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
    if collapsed(figures):
        swap = figures.get("likelihood_lost_on_swap")
        lost = "" if swap is None else f", and swapping it for another item's costs {swap:.2f} nats"
        text = f"Posterior collapse: the latent carries at most {kl:.2f} nats an item{lost}.{caveat}"
        yield Finding("warning", text, used, advice)
    elif barely_used(figures):
        text = (
            f"The latent is nearly unused: at most {kl:.2f} nats an item (about {math.exp(kl):.0f} kinds of "
            f"item) and {figures['exact_reconstruction']:.1%} exact reconstructions.{caveat}"
        )
        yield Finding("warning", text, used, advice)


def collapsed(figures: Figures) -> bool:
    # A decoder that ignores z loses nothing on a swap, however large the KL.
    return figures.get("kl", math.inf) < 0.5 or figures.get("likelihood_lost_on_swap", math.inf) < 0.5


def barely_used(figures: Figures) -> bool:
    return figures.get("kl", math.inf) < 3 and figures.get("exact_reconstruction", 1) < 0.05


def in_use(figures: Figures) -> Iterator[Finding]:
    if "kl" not in figures or collapsed(figures) or barely_used(figures):
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
            "It says only that the measured items can be told apart. Do not rank models by it; KL, exact "
            "reconstructions and the likelihood lost on a swap still differ.",
        )


def unused_dimensions(figures: Figures) -> Iterator[Finding]:
    active, size = figures.get("au"), figures.get("latent_size")
    if active is None or size is None or collapsed(figures) or active >= size:
        return
    yield Finding(
        "note",
        f"{size - active:.0f} of {size:.0f} latent dimensions are unused.",
        evidence(figures, "au", "latent_size", "kl"),
        "A smaller --latent-size would do as well; or raise --free-bits, whose floor holds in each dimension.",
    )


EVALUATOR = Evaluator(
    name="latent",
    question="Does the latent carry information, and does the decoder listen to it?",
    measure=measure,
    measures=MEASURES,
    needs=(Encodes,),
    items=tuple(ITEM_TYPES),
    options=LatentOptions,
    rules=(collapse, in_use, saturated_information, unused_dimensions),
)
