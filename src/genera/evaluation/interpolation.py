"""Evaluator `interpolation`: are interpolated items valid, and do they progress?"""

from dataclasses import dataclass
from itertools import islice
from typing import Any

from genera.engine.capabilities import Decodes, Encodes
from genera.evaluation.evaluator import Evaluation, Evaluator, Options, require
from genera.evaluation.item_types import ITEM_TYPES, Shown, in_parts, item_type
from genera.evaluation.text_uses import INTERPOLATIONS
from genera.evaluation.verdict import verdict
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
        "Share of sentences decoded on straight lines between two latents that the world can generate.",
        "",
        _GROUP,
    ),
    Definition(
        "valid_interpolations",
        "Valid interpolations",
        "share",
        "higher",
        "Share of images decoded on straight lines between two latents that are images of the world.",
        "",
        _GROUP,
    ),
    Definition(
        "monotone_interpolations",
        "Monotone steps",
        "share",
        "higher",
        "Share of interpolation steps in which similarity to the end minus similarity to the start does not decrease. "
        "Similarity is word overlap of sentences, and root mean squared distance of images.",
        "",
        _GROUP,
    ),
    Definition(
        "distinct_interpolations",
        "Distinct sentences on a path",
        "sentences",
        "higher",
        f"Mean number of different sentences among the {POINTS} of a path. 2: it jumps from start to end.",
        "",
        _GROUP,
    ),
)


def measure(evaluation: Evaluation, options: InterpolationOptions) -> None:
    """Straight paths between the latents of pairs of items."""
    from genera.measures.estimate import mean_estimate
    from genera.measures.factors import valid
    from genera.measures.paths import monotone_steps
    from genera.uses.facts import facts_of

    require(len(evaluation.items(2)) > 1, "needs at least two items")
    kind = item_type(evaluation.data.kind)
    paths, pairs = paths_between(evaluation, options.pairs)
    outputs = [output for path in paths for output in path]
    if (facts := facts_of(outputs, evaluation.data.world)) is not None:
        evaluation.record(f"{kind.valid}_interpolations", valid(facts))
    ways = [kind.progress(path, start, end) for path, (start, end) in zip(paths, pairs, strict=True)]
    evaluation.record("monotone_interpolations", mean_estimate([monotone_steps(way) for way in ways]))
    if (counts := kind.distinct(paths)) is not None:
        evaluation.record("distinct_interpolations", mean_estimate(counts))
    cards = [[Shown(f"{i / (POINTS - 1):.1f}", item) for i, item in enumerate(path)] for path in islice(paths, SHOWN)]
    lead = f"Straight lines between the latents of two {kind.nouns}, decoded step by step."
    kind.show(evaluation, "interpolations", cards, section="Interpolations", lead=lead, compare=True)


def paths_between(evaluation: Evaluation, count: int) -> tuple[list[list[Any]], list[tuple[Any, Any]]]:
    """`count` paths of POINTS items each, and the pairs of items that they connect; generated once."""

    def make() -> tuple[list[list[Any]], list[tuple[Any, Any]]]:
        import torch

        kind, items = item_type(evaluation.data.kind), evaluation.items(2 * count)
        pairs = list(zip(items[0::2], items[1::2], strict=False))
        mean = evaluation.run.encode([item for pair in pairs for item in pair]).mean.view(len(pairs), 2, -1)
        t = torch.linspace(0, 1, POINTS, device=mean.device)[None, :, None]
        z = ((1 - t) * mean[:, :1] + t * mean[:, 1:]).flatten(0, 1)
        outputs = in_parts(evaluation.run.decode, z, "interpolating", **kind.decoding(evaluation.run))
        return [outputs[i : i + POINTS] for i in range(0, len(outputs), POINTS)], pairs

    return evaluation.once(("paths", count), make)


EVALUATOR = Evaluator(
    name="interpolation",
    question="Are interpolated items valid, and do they progress from one end to the other?",
    measure=measure,
    measures=MEASURES,
    needs=(Encodes, Decodes),
    items=tuple(ITEM_TYPES),
    options=InterpolationOptions,
    rules=(verdict(INTERPOLATIONS),),
)
