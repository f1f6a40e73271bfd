"""Evaluator `samples`: what do unconditional samples of a text model look like?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genera.engine.capabilities import Samples
from genera.evaluation.blocks import Examples, Line
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.evaluation.item_types import item_type
from genera.evaluation.latent import collapsed
from genera.measures.schema import Definition, Estimate, Figures, Finding, evidence

SHOWN = 24
"""Samples kept for the report."""
_GROUP = "Samples from the prior"


@dataclass(frozen=True, kw_only=True)
class SamplesOptions(Options):
    count: int = 500
    """Number of samples drawn from the model."""
    items: int = 2000
    """Items of the split whose vocabulary the samples are compared with."""


MEASURES = (
    Definition(
        "grammatical_samples",
        "Grammatical samples",
        "share",
        "higher",
        "Share of prior samples that the world could have said. Only a world whose grammar is known can tell.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "novel",
        "Novel samples",
        "share",
        "higher",
        "Share of prior samples that are not in the training set. High alone proves nothing: rubbish is novel too.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "distinct_1",
        "Distinct words",
        "share",
        "higher",
        "Different words over all words of the samples. Falls with the number of samples: compare equal numbers.",
        "Li et al. 2016, A diversity-promoting objective",
        _GROUP,
    ),
    Definition(
        "distinct_2",
        "Distinct word pairs",
        "share",
        "higher",
        "Different word pairs over all word pairs of the samples. Falls with the number of samples.",
        "Li et al. 2016, A diversity-promoting objective",
        _GROUP,
    ),
    Definition(
        "distinct_samples",
        "Distinct samples",
        "share",
        "higher",
        "Different sentences among the samples; a collapsed model decoded greedily says few.",
        "",
        _GROUP,
    ),
    Definition(
        "self_bleu",
        "Self-BLEU",
        "0–100",
        "lower",
        "Mean BLEU-4 of each sample against all the others: high when the samples repeat each other. "
        "Rises with the number of samples: compare equal numbers.",
        "Zhu et al. 2018, Texygen",
        _GROUP,
        headline=True,
    ),
    Definition(
        "vocabulary_coverage",
        "Vocabulary covered",
        "share",
        "higher",
        "Share of the measured sentences' different words that also occur among the samples.",
        "",
        _GROUP,
    ),
)


def measure(evaluation: Evaluation, options: SamplesOptions) -> None:
    """Draws from the model, against the training set and the truth of the world."""
    from genera.measures import text

    kind, count = item_type(evaluation.data.kind), options.count
    drawn = evaluation.run.sample(count, seed=evaluation.seed, **kind.decoding(evaluation.run))
    if evaluation.data.world is not None:
        evaluation.record("grammatical_samples", text.grammatical(drawn, evaluation.data.world))
    if "train" in evaluation.data.splits:
        evaluation.record("novel", text.novel(drawn, _training(evaluation.data)))
    evaluation.record("distinct_samples", Estimate(len({text.normalised(s) for s in drawn}) / count, None, count))
    evaluation.record("distinct_1", Estimate(text.distinct(drawn, 1), None, count))
    evaluation.record("distinct_2", Estimate(text.distinct(drawn, 2), None, count))
    if count > 1:
        evaluation.record("self_bleu", text.self_bleu(drawn))
    coverage = text.vocabulary_coverage(drawn, evaluation.items(options.items))
    evaluation.record("vocabulary_coverage", Estimate(coverage, None, count))
    evaluation.show(Examples(section=_GROUP, cards=[[Line(text=sample)] for sample in drawn[:SHOWN]]))


def _training(data: Any, chunk: int = 10_000) -> Iterator[str]:
    """All training texts, some at a time."""
    store = data.split("train")
    for first in range(0, len(store), chunk):
        yield from store.texts(slice(first, first + chunk))


# -- diagnosis --------------------------------------------------------------------------------------------------------


def latent_holes(figures: Figures) -> Iterator[Finding]:
    if "kl" not in figures or "reconstruction" not in figures:
        return
    kl, reconstruction = figures["kl"], figures["reconstruction"]
    valid = figures.get("grammatical_samples")
    bound = max((v for n, v in figures.items() if n.partition("/")[0] == "iw_bound"), default=-math.inf)
    gap = bound - figures.get("elbo", math.inf)
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
            f"{reconstruction:.1f}, and {seen}. The aggregated posterior does not match the prior.",
            evidence(figures, "kl", "reconstruction", "exact_reconstruction", "grammatical_samples", "elbo"),
            "Use it as an autoencoder (reconstruct, interpolate, analogy), not as a sampler or a density. To "
            "sample, train on with a larger --beta, or a --beta-schedule that ends at 1.",
        )
    elif valid is not None and valid >= 0.8 and not collapsed(figures):
        yield Finding(
            "good",
            f"The prior samples well: {valid:.0%} of the samples are grammatical.",
            evidence(figures, "grammatical_samples", "distinct_samples", "novel"),
            "Latents near the prior decode to valid items.",
        )


EVALUATOR = Evaluator(
    name="samples",
    question="Are unconditional samples of a text model grammatical, novel and diverse?",
    measure=measure,
    measures=MEASURES,
    needs=(Samples,),
    items=("text",),
    options=SamplesOptions,
    rules=(latent_holes,),
)
