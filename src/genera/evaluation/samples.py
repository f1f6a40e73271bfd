"""Evaluator `samples`: are unconditional samples of a text model grammatical, novel and as varied as real sentences?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genera.engine.capabilities import Samples
from genera.evaluation.advice import HOLES
from genera.evaluation.blocks import Examples, Line
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.evaluation.sentences import prior_samples, real_sentences, spread
from genera.evaluation.text_uses import SAMPLES
from genera.evaluation.verdict import verdict
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


_AS_MANY = "as many real sentences: of the measured split, filled up with training sentences"

MEASURES = (
    Definition(
        "grammatical_samples",
        "Grammatical samples",
        "share",
        "higher",
        "Share of samples that the world can generate. Measured only on worlds, whose grammar is known.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "novel",
        "Novel samples",
        "share",
        "higher",
        "Share of samples that are not in the training set. Compare with the share of held-out sentences; random words "
        "are novel too.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "novel_data",
        "Novel held-out sentences",
        "share",
        "neither",
        "Reference: share of held-out sentences that are not in the training set. Low where the data repeats "
        "sentences.",
        "",
        _GROUP,
    ),
    Definition(
        "distinct_1",
        "Distinct words",
        "share",
        "higher",
        "Number of different words over the number of words of all samples. Falls as samples are added: compare equal "
        "numbers.",
        "Li et al. 2016, A diversity-promoting objective",
        _GROUP,
    ),
    Definition(
        "distinct_1_data",
        "Distinct words, real sentences",
        "share",
        "neither",
        f"Reference: the same of {_AS_MANY}.",
        "",
        _GROUP,
    ),
    Definition(
        "distinct_2",
        "Distinct word pairs",
        "share",
        "higher",
        "Number of different word pairs over the number of word pairs of all samples. Falls as samples are added.",
        "Li et al. 2016, A diversity-promoting objective",
        _GROUP,
    ),
    Definition(
        "distinct_2_data",
        "Distinct word pairs, real sentences",
        "share",
        "neither",
        f"Reference: the same of {_AS_MANY}.",
        "",
        _GROUP,
    ),
    Definition(
        "distinct_samples",
        "Distinct samples",
        "share",
        "higher",
        "Number of different samples over the number of samples.",
        "",
        _GROUP,
    ),
    Definition(
        "distinct_samples_data",
        "Distinct real sentences",
        "share",
        "neither",
        f"Reference: the same of {_AS_MANY}.",
        "",
        _GROUP,
    ),
    Definition(
        "self_bleu",
        "Self-BLEU",
        "0–100",
        "lower",
        "Mean BLEU-4 of each sample against all others; high when samples repeat each other. Rises as samples are "
        "added: compare equal numbers.",
        "Zhu et al. 2018, Texygen",
        _GROUP,
        headline=True,
    ),
    Definition(
        "self_bleu_data",
        "Self-BLEU of real sentences",
        "0–100",
        "neither",
        f"Reference: the same of {_AS_MANY}.",
        "",
        _GROUP,
    ),
    Definition(
        "vocabulary_coverage",
        "Vocabulary covered",
        "share",
        "higher",
        "Share of the different words of the measured sentences that occur in the samples.",
        "",
        _GROUP,
    ),
    Definition(
        "vocabulary_coverage_data",
        "Vocabulary covered by real sentences",
        "share",
        "neither",
        "Reference: share of these words that occur in as many training sentences.",
        "",
        _GROUP,
    ),
    Definition(
        "words_per_sample",
        "Words per sample",
        "words",
        "neither",
        "Mean number of words of a sample.",
        "",
        _GROUP,
    ),
    Definition(
        "words_per_item",
        "Words per real sentence",
        "words",
        "neither",
        f"Reference: mean number of words of {_AS_MANY}.",
        "",
        _GROUP,
    ),
    Definition(
        "length_match",
        "Match of lengths",
        "share",
        "higher",
        "1 − the Kolmogorov-Smirnov distance between the lengths in words of samples and of as many real sentences. 1: "
        "the same distribution; 0: no sample is as short, or as long, as any real sentence.",
        "",
        _GROUP,
    ),
)


def measure(evaluation: Evaluation, options: SamplesOptions) -> None:
    """Samples against as many real sentences, the training set and the world."""
    from scipy.stats import ks_2samp

    from genera.measures import text
    from genera.measures.estimate import mean_estimate

    count = options.count
    drawn, real = prior_samples(evaluation, count), real_sentences(evaluation, count)
    if evaluation.data.world is not None:
        evaluation.record("grammatical_samples", text.grammatical(drawn, evaluation.data.world))
    if "train" in evaluation.data.splits:
        held_out = spread(evaluation, evaluation.split, count)
        novel = text.is_novel([*drawn, *held_out], _training(evaluation.data))
        evaluation.record("novel", mean_estimate(novel[:count]))
        if evaluation.split != "train":
            evaluation.record("novel_data", mean_estimate(novel[count:]))
    for sentences, suffix in ((drawn, ""), (real, "_data")):
        n = len(sentences)
        distinct = len(set(map(text.normalised, sentences))) / n
        evaluation.record(f"distinct_samples{suffix}", Estimate(distinct, None, n))
        evaluation.record(f"distinct_1{suffix}", Estimate(text.distinct(sentences, 1), None, n))
        evaluation.record(f"distinct_2{suffix}", Estimate(text.distinct(sentences, 2), None, n))
        if n > 1:
            evaluation.record(f"self_bleu{suffix}", text.self_bleu(sentences))
    measured = evaluation.items(options.items)
    evaluation.record("vocabulary_coverage", Estimate(text.vocabulary_coverage(drawn, measured), None, count))
    if "train" in evaluation.data.splits and evaluation.split != "train":
        training = spread(evaluation, "train", count)
        coverage = text.vocabulary_coverage(training, measured)
        evaluation.record("vocabulary_coverage_data", Estimate(coverage, None, len(training)))
    words, words_of_real = ([len(sentence.split()) for sentence in sentences] for sentences in (drawn, real))
    evaluation.record("words_per_sample", mean_estimate(words))
    evaluation.record("words_per_item", mean_estimate(words_of_real))
    distance = float(ks_2samp(words, words_of_real).statistic)
    evaluation.record("length_match", Estimate(1 - distance, None, min(len(drawn), len(real))))
    evaluation.show(Examples(section=_GROUP, cards=[[Line(text=sample)] for sample in drawn[:SHOWN]]))


def _training(data: Any, chunk: int = 10_000) -> Iterator[str]:
    """All training texts, some at a time."""
    store = data.split("train")
    for first in range(0, len(store), chunk):
        yield from store.texts(slice(first, first + chunk))


# -- diagnosis --------------------------------------------------------------------------------------------------------


def latent_holes(figures: Figures) -> Iterator[Finding]:
    """By the bounds alone, where nothing tells how good the samples are."""
    if not {"kl", "reconstruction", "elbo"} <= set(figures) or {"grammatical_samples", "fluency_samples"} & set(
        figures
    ):
        return
    kl, reconstruction = figures["kl"], figures["reconstruction"]
    bound = max((v for n, v in figures.items() if n.partition("/")[0] == "iw_bound"), default=-math.inf)
    gap = bound - figures["elbo"]
    if kl > 3 * reconstruction and gap > 5:
        yield Finding(
            "warning",
            "Samples are probably poor: the model reconstructs, but its latents do not match the prior. KL "
            f"{kl:.0f} nats against a reconstruction term of {reconstruction:.1f}, and an importance-weighted bound "
            f"{gap:.1f} nats above the ELBO.",
            evidence(figures, "kl", "reconstruction", "elbo", "iw_bound"),
            HOLES,
            "samples",
        )


EVALUATOR = Evaluator(
    name="samples",
    question="Are unconditional samples of a text model grammatical, novel and as varied as real sentences?",
    measure=measure,
    measures=MEASURES,
    needs=(Samples,),
    items=("text",),
    options=SamplesOptions,
    rules=(verdict(SAMPLES), latent_holes),
)
