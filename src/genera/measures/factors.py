"""Factors of items against the truth of a world: what an output shows, whatever it is. Imports no torch.

Facts are the values of an item's factors, {factor: value}; None of an item that the world cannot have made.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from genera.errors import GeneraError
from genera.measures.estimate import mean_estimate
from genera.measures.schema import Estimate

Facts: TypeAlias = Mapping[str, str]


def valid(outputs: Sequence[Facts | None]) -> Estimate:
    """Share of items that the world could have made."""
    return mean_estimate([facts is not None for facts in outputs])


def factor_accuracy(outputs: Sequence[Facts | None], targets: Sequence[Facts]) -> dict[str, Estimate]:
    """Per factor: share of outputs that carry their target's value, over the targets that have the factor.

    An output that the world could not have made is wrong in every factor.
    """
    hits: dict[str, list[bool]] = {}
    for output, target in _pairs(outputs, targets):
        for name, value in target.items():
            hits.setdefault(name, []).append((output or {}).get(name) == value)
    return {name: mean_estimate(values) for name, values in hits.items()}


def analogy_accuracy(
    outputs: Sequence[Facts | None], targets: Sequence[Facts], changed: Sequence[str]
) -> dict[str, Estimate]:
    """Per factor: share of the analogies that change it in which the output carries the target's value of it.

    changed: the factor that each analogy A : B :: C : ? changes.
    """
    hits: dict[str, list[bool]] = {}
    for (output, target), name in zip(_pairs(outputs, targets), changed, strict=True):
        hits.setdefault(name, []).append((output or {}).get(name) == target[name])
    return {name: mean_estimate(values) for name, values in hits.items()}


def factor_chance(targets: Sequence[Facts]) -> dict[str, float]:
    """Per factor: accuracy of the best answer that ignores the input: the targets' commonest value.

    This, not 1 / number of values, is what a model that always makes the same item can reach.
    """
    values: dict[str, Counter[str]] = {}
    for target in targets:
        for name, value in target.items():
            values.setdefault(name, Counter())[value] += 1
    return {name: max(counts.values()) / counts.total() for name, counts in values.items()}


def analogy_chance(targets: Sequence[Facts], changed: Sequence[str]) -> dict[str, float]:
    """Per factor: `factor_chance` over the analogies that change it, the baseline of `analogy_accuracy`."""
    groups: dict[str, list[Facts]] = {}
    for target, name in zip(targets, changed, strict=True):
        groups.setdefault(name, []).append(target)
    return {name: factor_chance(group)[name] for name, group in groups.items()}


def _pairs(outputs: Sequence[Facts | None], targets: Sequence[Facts]) -> list[tuple[Facts | None, Facts]]:
    if len(outputs) != len(targets):
        raise GeneraError(f"outputs and targets must pair up, got {len(outputs)} and {len(targets)}.")
    return list(zip(outputs, targets, strict=True))
