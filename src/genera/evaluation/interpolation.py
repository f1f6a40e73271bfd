"""Evaluator `interpolation`: are interpolated items valid, and do they progress?"""

from dataclasses import dataclass
from itertools import islice

from genera.engine.capabilities import Decodes, Encodes
from genera.evaluation.evaluator import Evaluation, Evaluator, Options, require
from genera.evaluation.item_types import ITEM_TYPES, Shown, in_parts, item_type
from genera.measures.schema import Definition

POINTS = 11
"""Items of an interpolation: t = 0, 0.1, ..., 1."""
SHOWN = 8
"""Interpolations kept for the report."""
_GROUP = "Interpolation and analogy"


@dataclass(frozen=True, kw_only=True)
class InterpolationOptions(Options):
    pairs: int = 100
    """Number of pairs of items of the split."""


MEASURES = (
    Definition(
        "grammatical_interpolations",
        "Grammatical interpolations",
        "share",
        "higher",
        "Share of the sentences on straight lines between two latents that the world could have said.",
        "",
        _GROUP,
    ),
    Definition(
        "valid_interpolations",
        "Valid interpolations",
        "share",
        "higher",
        "Share of the images on straight lines between two latents that are images of the world.",
        "",
        _GROUP,
    ),
    Definition(
        "monotone_interpolations",
        "Steps that do not turn back",
        "share",
        "higher",
        "Share of interpolation steps in which nearness to the end minus nearness to the start does not fall: word "
        "overlap of sentences, root mean squared distance of images.",
        "",
        _GROUP,
    ),
    Definition(
        "distinct_interpolations",
        "Distinct sentences on a path",
        "sentences",
        "higher",
        "Mean number of different sentences on an interpolation path, both ends included. Two means a jump.",
        "",
        _GROUP,
    ),
)


def measure(evaluation: Evaluation, options: InterpolationOptions) -> None:
    """Straight paths between the latents of pairs of items."""
    import torch

    from genera.measures.estimate import mean_estimate
    from genera.measures.factors import valid
    from genera.measures.paths import monotone_steps
    from genera.uses.facts import facts_of

    kind, items = item_type(evaluation.data.kind), evaluation.items(2 * options.pairs)
    require(len(items) > 1, "needs two items at least")
    pairs = list(zip(items[0::2], items[1::2], strict=False))
    mean = evaluation.run.encode([item for pair in pairs for item in pair]).mean.view(len(pairs), 2, -1)
    t = torch.linspace(0, 1, POINTS, device=mean.device)[None, :, None]
    z = ((1 - t) * mean[:, :1] + t * mean[:, 1:]).flatten(0, 1)
    outputs = in_parts(evaluation.run.decode, z, "interpolating", **kind.decoding(evaluation.run))
    paths = [outputs[i : i + POINTS] for i in range(0, len(outputs), POINTS)]

    if (facts := facts_of(outputs, evaluation.data.world)) is not None:
        evaluation.record(f"{kind.valid}_interpolations", valid(facts))
    ways = [kind.progress(path, start, end) for path, (start, end) in zip(paths, pairs, strict=True)]
    evaluation.record("monotone_interpolations", mean_estimate([monotone_steps(way) for way in ways]))
    if (counts := kind.distinct(paths)) is not None:
        evaluation.record("distinct_interpolations", mean_estimate(counts))
    cards = [[Shown(f"{i / (POINTS - 1):.1f}", item) for i, item in enumerate(path)] for path in islice(paths, SHOWN)]
    lead = f"Straight lines between the latents of two {kind.nouns}, decoded step by step."
    kind.show(evaluation, "interpolations", cards, section="Interpolations", lead=lead, compare=True)


EVALUATOR = Evaluator(
    name="interpolation",
    question="Are interpolated items valid, and do they progress from one end to the other?",
    measure=measure,
    measures=MEASURES,
    needs=(Encodes, Decodes),
    items=tuple(ITEM_TYPES),
    options=InterpolationOptions,
)
