"""Exact nearest-neighbour search in bounded memory, used by precision/recall, memorisation and others."""

from collections.abc import Iterator

import torch
from torch import Tensor

from genera.errors import GeneraError

ENTRIES_AT_ONCE = 1 << 24
"""Distances stored at once."""
KEYS_AT_ONCE = 1 << 15


def nearest(queries: Tensor, keys: Tensor, k: int = 1, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """Distances (N, k), ascending, and indices (N, k) of the k nearest of `keys` (M, D) to `queries` (N, D), Euclidean.

    same: queries and keys are the same rows, and a row is not its own neighbour. Ties are broken arbitrarily. Never
    stores N x M. Raises GeneraError for fewer than k keys, wrong shapes and values that are not finite.
    """
    _check(queries, keys)
    if k < 1 or k > len(keys) - same:
        raise GeneraError(f"{k} nearest neighbours of {len(keys)} points do not exist; use more points or a smaller k.")
    centre = keys.mean(0)  # avoids cancellation of squares far from the origin
    moved = keys - centre
    places = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    for rows in slices(len(queries), min(len(keys), KEYS_AT_ONCE)):
        chunk = queries[rows] - centre
        best = torch.full((len(chunk), 0), torch.inf, dtype=moved.dtype, device=moved.device)
        place = torch.empty(len(chunk), 0, dtype=torch.int64, device=moved.device)
        for first in range(0, len(moved), KEYS_AT_ONCE):
            part = moved[first : first + KEYS_AT_ONCE]
            # |q - k|² without |q|², which does not affect the order
            squares = torch.addmm(part.square().sum(1), chunk, part.T, alpha=-2)
            if same:
                itself = torch.arange(rows.start, rows.start + len(chunk), device=squares.device) - first
                inside = (itself >= 0) & (itself < len(part))
                squares[inside.nonzero()[:, 0], itself[inside]] = torch.inf
            values, local = squares.topk(min(k, len(part)), largest=False)
            best, place = torch.cat([best, values], 1), torch.cat([place, local + first], 1)
            best, order = best.topk(min(k, best.shape[1]), largest=False)
            place = place.gather(1, order)
        places[rows] = place
    distances = torch.cat(
        [(queries[rows, None] - keys[places[rows]]).norm(dim=2) for rows in slices(len(queries), k * keys.shape[1])]
    )  # recomputed from differences, which do not suffer from cancellation
    distances, order = distances.sort(1)
    return distances, places.gather(1, order)


def distance_blocks(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """(rows, distances (rows, M)) over all `queries` (N, D), a block of rows at a time."""
    _check(queries, keys)
    centre = keys.mean(0)
    moved = keys - centre
    squares = moved.square().sum(1)
    for rows in slices(len(queries), len(keys)):
        chunk = queries[rows] - centre
        distances = torch.addmm(squares, chunk, moved.T, alpha=-2).add_(chunk.square().sum(1, keepdim=True))
        yield rows, distances.clamp_(min=0).sqrt_()


def slices(count: int, width: int) -> Iterator[slice]:
    """Slices of rows 0..count such that rows x `width` fits into ENTRIES_AT_ONCE."""
    step = max(1, ENTRIES_AT_ONCE // max(1, width))
    return (slice(first, min(first + step, count)) for first in range(0, count, step))


def _check(queries: Tensor, keys: Tensor) -> None:
    if queries.ndim != 2 or keys.ndim != 2 or queries.shape[1] != keys.shape[1] or not len(keys) or not len(queries):
        shapes = f"{tuple(queries.shape)} and {tuple(keys.shape)}"
        raise GeneraError(f"neighbours need two tables of points (N, D) and (M, D), got {shapes}.")
    for name, table in (("queries", queries), ("keys", keys)):
        if not torch.isfinite(table.sum()):
            raise GeneraError(f"some of the {name} are not finite, so they have no neighbours.")
