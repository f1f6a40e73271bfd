"""How did training end: did the discriminator win, did the quantiser's dictionary collapse?"""

from collections.abc import Iterator
from functools import partial
from statistics import mean

from genera.evaluation.evaluator import Evaluation, Evaluator, Options, require
from genera.measures.schema import Definition, Estimate, Figures, Finding, evidence

_define = partial(Definition, group="End of training")
MEASURES = (
    _define(
        "discriminator_gap",
        "Discriminator gap",
        "score",
        "neither",
        "Mean score of real images minus that of generated images at the end of training. At 0, the discriminator "
        "cannot tell them apart; far above the margin of its loss (2 for the hinge loss), it is always right and the "
        "generator learns little.",
    ),
    _define(
        "dictionary_usage",
        "Dictionary usage",
        "share",
        "higher",
        "Share of codes that are the nearest code of some feature, in the layer where it is smallest.",
    ),
    _define(
        "dictionary_perplexity",
        "Dictionary perplexity",
        "codes",
        "higher",
        "exp of the entropy of code usage, in the layer where it is smallest: the effective number of codes. At 1 or "
        "2, the dictionary has collapsed.",
    ),
)
LAST_ROWS = 20
"""Log lines over which the end of training is averaged."""


def measure(evaluation: Evaluation, options: Options) -> None:
    """Means over the last lines of the training log."""
    rows = [row for row in evaluation.run.folder.metrics() if not any(name.startswith("valid/") for name in row)]
    last = rows[-LAST_ROWS:]
    figures = {}

    def end(name: str) -> float | None:
        values = [row[name] for row in last if isinstance(row.get(name), int | float)]
        return mean(values) if values else None

    real, fake = end("discriminator/real"), end("discriminator/fake")
    if real is not None and fake is not None:
        figures["discriminator_gap"] = real - fake
    for kind in ("usage", "perplexity"):
        names = {name for row in last for name in row if name.startswith("quantiser/") and name.endswith(f"/{kind}")}
        if values := [value for name in names if (value := end(name)) is not None]:
            figures[f"dictionary_{kind}"] = min(values)
    require(figures, "needs a training log with terms of a discriminator or a quantiser")
    for name, value in figures.items():
        evaluation.record(name, Estimate(value, None, len(last)))


def discriminator_wins(figures: Figures) -> Iterator[Finding]:
    gap = figures.get("discriminator_gap")
    if gap is None:
        return
    used = evidence(figures, "discriminator_gap", "fid", "precision", "recall")
    if gap > 4:
        yield Finding(
            "warning",
            f"The discriminator wins: it scores real images {gap:.1f} above generated ones.",
            used,
            "Beyond the margin of its loss, the discriminator teaches the generator little. Slow it down (learning "
            "rate, steps per generator step), regularise it (R1, feature quantisation, augmentation), or give it more "
            "data if it has memorised the training images.",
        )
    elif gap < 0.05 and figures.get("precision", 0) < 0.5 * figures.get("precision_of_data", 1):
        yield Finding(
            "warning",
            f"The discriminator cannot tell real from generated images: the scores differ by only {gap:.2f}, and the "
            "generated images are bad.",
            used,
            "The discriminator is too weak, or training has diverged: raise its learning rate or its width.",
        )


def dictionary_collapse(figures: Figures) -> Iterator[Finding]:
    usage, perplexity = figures.get("dictionary_usage"), figures.get("dictionary_perplexity")
    if (usage is not None and usage < 0.05) or (perplexity is not None and perplexity < 3):
        parts = [f"{usage:.1%} of the codes are used"] if usage is not None else []
        parts += [f"their perplexity is {perplexity:.1f}"] if perplexity is not None else []
        yield Finding(
            "warning",
            f"The dictionary has collapsed: in the worst layer, {' and '.join(parts)}.",
            evidence(figures, "dictionary_usage", "dictionary_perplexity"),
            "A collapsed dictionary pulls all features to one point. Initialise the codes from data and keep codes "
            "that are not used yet (init data, ema ones), revive dead codes, or use fewer codes and a smaller weight.",
        )


EVALUATOR = Evaluator(
    name="training",
    question="How did training end: did the discriminator win, did the quantiser's dictionary collapse?",
    measure=measure,
    measures=MEASURES,
    rules=(discriminator_wins, dictionary_collapse),
)
