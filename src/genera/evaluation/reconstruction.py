"""Evaluator `reconstruction`: how well are items reconstructed after encoding and decoding?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from genera.engine.capabilities import Decodes, Encodes, ScoresGiven
from genera.evaluation.blocks import Curves
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.evaluation.factor_bars import factor_bars, mean_over_factors
from genera.evaluation.item_types import ITEM_TYPES, Shown, in_parts, item_type
from genera.measures.schema import Definition, Figures, Finding

SHOWN = 24
"""Examples kept for the report."""
LENGTH_BINS = 6
_GROUP = "Reconstruction"


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions(Options):
    items: int = 2000
    """Number of items of the split."""


MEASURES = (
    Definition(
        "exact_reconstruction",
        "Exact reconstructions",
        "share",
        "higher",
        "Share of sentences that come back word for word when the posterior mean is decoded greedily.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "bleu_reconstruction",
        "BLEU of reconstructions",
        "0–100",
        "higher",
        "Corpus BLEU-4 of the reconstructions against their inputs (sacrebleu, 13a tokenisation).",
        "Papineni et al. 2002; Post 2018",
        _GROUP,
        headline=True,
    ),
    Definition(
        "mse_reconstruction",
        "Error of reconstructions",
        "squared",
        "lower",
        "Mean squared difference between images and the decoded means of their posteriors, of pixel values as 0..1. To "
        "be read against the error of the mean image.",
        "",
        _GROUP,
    ),
    Definition(
        "mse_of_mean_image",
        "Error of the mean image",
        "squared",
        "neither",
        "The same error of the mean training image in the place of every reconstruction: what a model reaches that "
        "ignores its input.",
        "",
        _GROUP,
    ),
    Definition(
        "psnr_reconstruction",
        "PSNR of reconstructions",
        "dB",
        "higher",
        "Mean peak signal-to-noise ratio, 10 log₁₀ (1 / squared error), over the images; exact ones count as 100 dB.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "factor_accuracy_reconstruction",
        "Factors kept by reconstruction",
        "share",
        "higher",
        "Mean over the world's factors of the share of reconstructions that carry the input's value. An "
        "output that the world cannot have made is wrong in every factor.",
        "",
        _GROUP,
    ),
)


def measure(evaluation: Evaluation, options: ReconstructionOptions) -> None:
    """Decoding of each item's posterior mean (of texts: greedy), against the item."""
    from genera.measures.factors import factor_accuracy, factor_chance
    from genera.uses.facts import facts_of

    kind, world, items = item_type(evaluation.data.kind), evaluation.data.world, evaluation.items(options.items)
    outputs = in_parts(evaluation.run.reconstruct, items, "reconstructing", **kind.decoding(evaluation.run))
    for name, estimate in kind.fidelity(outputs, items, evaluation.data).items():
        evaluation.record(name, estimate)

    shown = islice(zip(items, outputs, strict=True), SHOWN)
    cards = [[Shown("input", a), Shown("output", b, kind.same(b, a))] for a, b in shown]
    kind.show(evaluation, "reconstructions", cards, section="Reconstructions", compare=True)

    truth, made = facts_of(items, world), facts_of(outputs, world)
    if truth is not None and made is not None:
        known = [(output, target) for output, target in zip(made, truth, strict=True) if target is not None]
        accuracy = factor_accuracy([output for output, _ in known], [target for _, target in known])
        evaluation.record("factor_accuracy_reconstruction", mean_over_factors(accuracy))
        chance = factor_chance([target for _, target in known])
        evaluation.show(factor_bars("Kept by reconstruction", accuracy, chance))
    lengths = kind.lengths(items)
    if lengths is not None and isinstance(evaluation.model, ScoresGiven):
        _by_length(evaluation, items, lengths, [bool(kind.same(b, a)) for a, b in zip(items, outputs, strict=True)])


def _by_length(evaluation: Evaluation, items: Sequence[Any], words: Sequence[int], exact: Sequence[bool]) -> None:
    """Reconstruction error over bins of equally many items, by length in words. exact: which items are exact."""
    import numpy as np
    import torch

    with torch.no_grad():
        nats = -evaluation.model.score_given(items, evaluation.run.encode(items).mean).cpu().numpy()
    edges = np.unique(np.quantile(words, np.linspace(0, 1, LENGTH_BINS + 1)[1:-1], method="higher"))
    groups = np.searchsorted(edges, words, side="right")
    bins = [groups == group for group in np.unique(groups)]
    lengths = {
        "words": [float(np.array(words)[rows].mean()) for rows in bins],
        "reconstruction_nats": [float(nats[rows].mean()) for rows in bins],
        "exact": [float(np.array(exact)[rows].mean()) for rows in bins],
    }
    evaluation.note(lengths=lengths)
    for name, title in (("exact", "Exact reconstructions by length"), ("reconstruction_nats", "Nats lost by length")):
        points = list(zip(lengths["words"], lengths[name], strict=True))
        y = "share" if name == "exact" else "nats/item"
        evaluation.show(
            Curves(section="Latent space", title=title, series={title: points}, x="words", y=y, from_zero=True)
        )


# -- diagnosis --------------------------------------------------------------------------------------------------------


def dependence_on_length(figures: Figures) -> Iterator[Finding]:
    lengths = figures.facts.get("lengths", {})
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


EVALUATOR = Evaluator(
    name="reconstruction",
    question="How well are items reconstructed after encoding and decoding?",
    measure=measure,
    measures=MEASURES,
    needs=(Encodes, Decodes),
    items=tuple(ITEM_TYPES),
    options=ReconstructionOptions,
    rules=(dependence_on_length,),
)
