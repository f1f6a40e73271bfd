"""Exact nearest neighbours in bounded memory: the one search under precision/recall, memorisation and others."""

from collections.abc import Iterator

import torch
from torch import Tensor

from genera.errors import GeneraError

ENTRIES_AT_ONCE = 1 << 24
"""Distances held at a time."""
KEYS_AT_ONCE = 1 << 15


def nearest(queries: Tensor, keys: Tensor, k: int = 1, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """Euclidean distances (N, k), rising, and places (N, k) of the k nearest of `keys` (M, D) to `queries` (N, D).

    same: queries and keys are the same rows, and none is its own neighbour. Ties go to any. Never holds N x M.
    Raises GeneraError when there are fewer than k keys, or shapes or values are wrong.
    """
    _check(queries, keys)
    if k < 1 or k > len(keys) - same:
        raise GeneraError(f"{k} nearest neighbours were asked of {len(keys)} points; more points or a smaller k.")
    centre = keys.mean(0)  # far from the origin, squares would cancel
    moved = keys - centre
    places = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    for rows in slices(len(queries), min(len(keys), KEYS_AT_ONCE)):
        chunk = queries[rows] - centre
        best = torch.full((len(chunk), 0), torch.inf, dtype=moved.dtype, device=moved.device)
        place = torch.empty(len(chunk), 0, dtype=torch.int64, device=moved.device)
        for first in range(0, len(moved), KEYS_AT_ONCE):
            part = moved[first : first + KEYS_AT_ONCE]
            # |q - k|² up to |q|², which changes no order
            found = torch.addmm(part.square().sum(1), chunk, part.T, alpha=-2)
            if same:
                own = torch.arange(rows.start, rows.start + len(chunk), device=found.device) - first
                inside = (own >= 0) & (own < len(part))
                found[inside.nonzero()[:, 0], own[inside]] = torch.inf
            values, local = found.topk(min(k, len(part)), largest=False)
            best, place = torch.cat([best, values], 1), torch.cat([place, local + first], 1)
            best, order = best.topk(min(k, best.shape[1]), largest=False)
            place = place.gather(1, order)
        places[rows] = place
    distances = torch.cat(
        [(queries[rows, None] - keys[places[rows]]).norm(dim=2) for rows in slices(len(queries), k * keys.shape[1])]
    )  # anew, since differences are exact where the products above cancel
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
        found = torch.addmm(squares, chunk, moved.T, alpha=-2).add_(chunk.square().sum(1, keepdim=True))
        yield rows, found.clamp_(min=0).sqrt_()


def slices(count: int, width: int) -> Iterator[slice]:
    """Rows 0..count in runs of which `width` columns fit into ENTRIES_AT_ONCE."""
    step = max(1, ENTRIES_AT_ONCE // max(1, width))
    return (slice(first, min(first + step, count)) for first in range(0, count, step))


def _check(queries: Tensor, keys: Tensor) -> None:
    if queries.ndim != 2 or keys.ndim != 2 or queries.shape[1] != keys.shape[1] or not len(keys) or not len(queries):
        shapes = f"{tuple(queries.shape)} and {tuple(keys.shape)}"
        raise GeneraError(f"neighbours need two tables of points (N, D) and (M, D), got {shapes}.")
    for name, table in (("queries", queries), ("keys", keys)):
        if not torch.isfinite(table.sum()):
            raise GeneraError(f"some of the {name} are not finite, so they have no neighbours.")
