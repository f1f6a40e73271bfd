"""Measures of the way from one item to another. Imports no torch."""

from collections.abc import Sequence
from itertools import pairwise

from genera.errors import GeneraError


def monotone_steps(progress: Sequence[float]) -> float:
    """Share of a path's steps in which `progress` does not fall: 1 goes straight, ½ wanders.

    progress: of each item on the path, how near it is to the end minus how near to the start.
    Raises GeneraError for a path of fewer than 2 items.
    """
    steps = list(pairwise(progress))
    if not steps:
        raise GeneraError(f"a path needs at least 2 items, got {len(progress)}.")
    return sum(after >= before for before, after in steps) / len(steps)
