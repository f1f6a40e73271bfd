"""Evaluator `reconstruction`: how well are items reconstructed after encoding and decoding?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from genera.engine.capabilities import Decodes, Encodes, ScoresGiven
from genera.evaluation import image_uses, text_uses
from genera.evaluation.blocks import Curves
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.evaluation.factor_bars import factor_bars, mean_over_factors
from genera.evaluation.item_types import ITEM_TYPES, Shown, in_parts, item_type
from genera.evaluation.sentences import reconstructions
from genera.evaluation.untrained import ITEMS, untrained, untrained_run
from genera.evaluation.verdict import verdict
from genera.measures.schema import Definition, Estimate, Figures, Finding

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
        "Share of sentences whose reconstruction, decoded greedily from the posterior mean, equals them word for word.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "exact_unrelated",
        "Exact matches of unrelated sentences",
        "share",
        "neither",
        "Baseline of exact reconstructions: another sentence of the split stands in place of each reconstruction. "
        "Above 0 where the data repeats sentences.",
        "",
        _GROUP,
    ),
    Definition(
        "exact_untrained",
        "Exact reconstructions, untrained",
        "share",
        "neither",
        "Baseline: exact reconstructions of an untrained model of the same configuration.",
        "",
        _GROUP,
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
        "bleu_unrelated",
        "BLEU of unrelated sentences",
        "0–100",
        "neither",
        "Baseline of BLEU: another sentence of the split stands in place of each reconstruction, as if the model wrote "
        "perfect sentences and ignored its input.",
        "",
        _GROUP,
    ),
    Definition(
        "bleu_untrained",
        "BLEU of reconstructions, untrained",
        "0–100",
        "neither",
        "Baseline: BLEU of the reconstructions of an untrained model of the same configuration.",
        "",
        _GROUP,
    ),
    Definition(
        "distinct_reconstructions",
        "Distinct reconstructions",
        "share",
        "neither",
        "Number of different reconstructions over the number of sentences. Near 0, the model writes the same sentence "
        "whatever it reads. Compare with the share of distinct inputs.",
        "",
        _GROUP,
    ),
    Definition(
        "distinct_inputs",
        "Distinct inputs",
        "share",
        "neither",
        "Number of different sentences over the number of sentences measured; the reference of distinct "
        "reconstructions.",
        "",
        _GROUP,
    ),
    Definition(
        "mse_reconstruction",
        "Error of reconstructions",
        "squared",
        "lower",
        "Mean squared difference between the pixel values (0..1) of images and their reconstructions, decoded from the "
        "posterior means. Compare with the error of the mean image.",
        "",
        _GROUP,
    ),
    Definition(
        "mse_of_mean_image",
        "Error of the mean image",
        "squared",
        "neither",
        "Baseline: the same error when the mean training image replaces each reconstruction, as if the model "
        "ignored its input.",
        "",
        _GROUP,
    ),
    Definition(
        "mse_of_blur",
        "Error of blurred images",
        "squared",
        "neither",
        "Baseline: the same error of the images themselves, blurred over an eighth of their side.",
        "",
        _GROUP,
    ),
    Definition(
        "mse_untrained",
        "Error of an untrained model",
        "squared",
        "neither",
        "Baseline: the same error of the reconstructions of the same model with fresh initial weights.",
        "",
        _GROUP,
    ),
    Definition(
        "details_reconstruction",
        "Details kept",
        "share",
        "higher",
        "Share of the variance of details that reconstructions explain; the details of an image are what a blur over "
        "an eighth of its side takes away. Below 0 where wrong details are added.",
        "",
        _GROUP,
    ),
    Definition(
        "details_of_blur",
        "Details kept by blurred images",
        "share",
        "neither",
        "Baseline: the same of the blurred images themselves.",
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
        "Share of reconstructions with the input's value of a factor, averaged over the world's factors. An output "
        "that the world cannot generate counts as wrong in every factor.",
        "",
        _GROUP,
    ),
)


def measure(evaluation: Evaluation, options: ReconstructionOptions) -> None:
    """Reconstructions of items, against the items and against baselines."""
    from genera.measures.factors import factor_accuracy, factor_chance
    from genera.uses.facts import facts_of

    kind, world, items = item_type(evaluation.data.kind), evaluation.data.world, evaluation.items(options.items)
    outputs = reconstructions(evaluation, options.items)
    for name, estimate in kind.fidelity(outputs, items, evaluation.data).items():
        evaluation.record(name, estimate)
    if evaluation.data.kind == "text":
        _text_baselines(evaluation, items, outputs)
    elif (fresh := untrained_run(evaluation)) is not None:
        some = items[:ITEMS]
        baseline = in_parts(fresh.reconstruct, some, "reconstructing with an untrained model")
        evaluation.record("mse_untrained", kind.fidelity(baseline, some, evaluation.data)["mse_reconstruction"])

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


def _text_baselines(evaluation: Evaluation, items: Sequence[str], outputs: Sequence[str]) -> None:
    from genera.measures import text

    count, far = len(items), max(1, len(items) // 2)  # neighbours may describe the same picture
    unrelated = [*items[far:], *items[:far]]
    evaluation.record("exact_unrelated", text.exact_match(unrelated, items))
    evaluation.record("bleu_unrelated", Estimate(text.corpus_bleu(unrelated, items), None, count))
    for name, sentences in (("distinct_reconstructions", outputs), ("distinct_inputs", items)):
        evaluation.record(name, Estimate(len(set(map(text.normalised, sentences))) / count, None, count))
    model, some, generator = untrained(evaluation), items[:ITEMS], evaluation.run.generator(evaluation.seed)
    options = item_type("text").decoding(evaluation.run)

    def reconstruct(part: Sequence[str]) -> list[str]:
        return model.decode(model.encode(part).mean, generator=generator, **options)

    untrained_outputs = in_parts(reconstruct, some, "reconstructing with an untrained model")
    evaluation.record("exact_untrained", text.exact_match(untrained_outputs, some))
    evaluation.record("bleu_untrained", Estimate(text.corpus_bleu(untrained_outputs, some), None, len(some)))


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
            "Use it for short items, or train longer with a larger --latent-size.",
            "reconstructions",
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
    rules=(verdict(text_uses.RECONSTRUCTIONS), verdict(image_uses.RECONSTRUCTIONS), dependence_on_length),
)
