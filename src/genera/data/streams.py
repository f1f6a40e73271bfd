"""Training batches as a pure function of the step: which rows form each batch, and in which order.

A stream takes a *global* batch size B, a seed, and the rank of this process: rank r of N holds rows
[r·B/N, (r + 1)·B/N) of each global batch. N ranks together see what a single rank would see, and resuming needs only
the step number.

    Shuffled      one permutation per epoch
    Bucketed      the same, with rows of similar length in a batch to reduce padding
    TokenBudget   rows of similar length, as many per batch as fit a token budget (translation)
    Continuous    text in parallel columns, one window of each per step, for models that carry their state (BPTT)

`collate` builds a batch from the drawn rows.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.batch import Batch
from genera.errors import GeneraError

Rows: TypeAlias = NDArray[np.int64]
Batches: TypeAlias = Sequence[Rows] | NDArray[np.int64]
"""Rows of several batches; an array if all batches have the same size."""

WINDOW = 100  # batches that are sorted by length together
SHORTEST = 5  # minimum tokens of a window of random size
HALVED = 0.05  # share of windows of random size with half the mean length (Merity et al. 2018)
DEVIATION = 5.0  # standard deviation of the window size, in tokens


@dataclass(frozen=True)
class Draw:
    """The rows of one global batch."""

    step: int
    rows: Rows
    """(B,)"""
    part: slice
    """the rows of this rank"""

    @property
    def mine(self) -> Rows:
        return self.rows[self.part]


Collate: TypeAlias = Callable[[Draw], Batch]


def row_numbers(draw: Draw) -> Batch:
    """The rows themselves, as ids."""
    return Batch(ids=torch.from_numpy(draw.mine))


def permutation(count: int, *key: int) -> Rows:
    """(count,) the permutation for a key such as (seed, epoch)."""
    return np.random.default_rng(key).permutation(count)


def share(rows: int, rank: int, ranks: int) -> slice:
    """The rows of a global batch that a rank holds."""
    return slice(rank * rows // ranks, (rank + 1) * rows // ranks)


def count_steps(items: int, kind: str, batch: int, ranks: int) -> int:
    """Number of full batches in an epoch over `items` (called `kind` in messages), shared by `ranks`.

    Raises GeneraError when the items cannot fill one batch, or the ranks cannot share one.
    """
    if items < batch:
        raise GeneraError(
            f"the data has {items} {kind}, fewer than one batch of {batch}; "
            f"use a batch size of at most {items}, or more data."
        )
    if batch % ranks:
        raise GeneraError(f"a batch of {batch} cannot be shared by {ranks} ranks; use a multiple of {ranks}.")
    return items // batch


class Planned(ABC):
    """A stream that plans one whole epoch at a time."""

    def __init__(self, steps_per_epoch: int, collate: Collate, rank: int, ranks: int) -> None:
        self.steps_per_epoch = steps_per_epoch
        self._collate, self._rank, self._ranks = collate, rank, ranks
        self._planned = lru_cache(maxsize=2)(self._plan)

    @abstractmethod
    def _plan(self, epoch: int) -> Batches:
        """The rows of each batch of an epoch."""

    def draw(self, step: int) -> Draw:
        """The rows of the global batch of `step`."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._drawn(step, self._planned(epoch)[place])

    def batch(self, step: int) -> Batch:
        """This rank's part of the global batch of `step`."""
        return self._collate(self.draw(step))

    def _drawn(self, step: int, rows: Rows) -> Draw:
        return Draw(step, rows, share(len(rows), self._rank, self._ranks))


class Shuffled(Planned):
    """Rows 0 … count - 1 in a new permutation each epoch. Each epoch drops the rows that do not fill a batch, different
    ones each time. With `endless` no row is dropped: permutations are concatenated, and a batch may span two."""

    def __init__(
        self,
        count: int,
        *,
        batch: int,
        seed: int | tuple[int, ...],
        rank: int = 0,
        ranks: int = 1,
        collate: Collate = row_numbers,
        kind: str = "items",
        brings: int = 1,
        endless: bool = False,
    ) -> None:
        """batch: rows of the global batch. kind: name of the rows in messages. brings: rows that each drawn row stands
        for, including itself; the number of batches per epoch is divided by it.

        Raises GeneraError when the rows cannot fill one batch, or the ranks cannot share one.
        """
        count_steps(batch, "rows", batch, ranks)
        super().__init__(count_steps(count, kind, batch * brings, 1), collate, rank, ranks)
        self._count, self._size, self._endless = count, batch, endless
        self._key = (seed,) if isinstance(seed, int) else seed

    def _plan(self, epoch: int) -> Rows:
        order = permutation(self._count, *self._key, epoch)
        if self._endless:
            return order
        return order[: self.steps_per_epoch * self._size].reshape(self.steps_per_epoch, self._size)

    def draw(self, step: int) -> Draw:
        if not self._endless:
            return super().draw(step)
        places = np.arange(step * self._size, (step + 1) * self._size)
        first, last = places[0] // self._count, places[-1] // self._count
        orders = np.stack([self._planned(epoch) for epoch in range(first, last + 1)])
        return self._drawn(step, orders[places // self._count - first, places % self._count])


class Bucketed(Planned):
    """Shuffled rows, sorted by a noisy length inside windows of 100 batches, cut into batches, which are then shuffled.

    Without noise all rows of a batch have nearly the same length, which minimises padding but slows learning. Each
    epoch drops the rows that do not fill a batch, different ones each time.
    """

    def __init__(
        self,
        lengths: NDArray[np.integer],
        *,
        batch: int,
        seed: int,
        noise: float = 0.0,
        rank: int = 0,
        ranks: int = 1,
        collate: Collate = row_numbers,
        kind: str = "items",
        padded: Sequence[NDArray[np.integer]] = (),
    ) -> None:
        """lengths: (N,) of the rows. noise: in standard deviations of length. padded: (N,) lengths of each padded side,
        if batches pad more than `lengths`; used only by `padding_share`.

        Raises GeneraError as `Shuffled` does.
        """
        super().__init__(count_steps(len(lengths), kind, batch, ranks), collate, rank, ranks)
        self._lengths, self._size, self._seed, self._noise = lengths, batch, seed, noise
        self._padded = padded or (lengths,)

    def _plan(self, epoch: int) -> NDArray[np.int64]:
        random = np.random.default_rng([self._seed, epoch])
        steps = self.steps_per_epoch
        rows = random.permutation(len(self._lengths))[: steps * self._size]
        lengths = self._lengths[rows]
        lengths = lengths + self._noise * lengths.std() * random.standard_normal(len(rows))
        window = np.arange(len(rows)) // (WINDOW * self._size)
        batches = rows[np.lexsort((lengths, window))].reshape(steps, self._size)
        return batches[random.permutation(steps)]

    @cached_property
    def padding_share(self) -> float:
        """Share of padding among all ids of the first epoch."""
        return padding_share(self._planned(0), *self._padded)


class TokenBudget(Planned):
    """Batches of rows of similar length, with as many rows as fit a token budget, padding included.

    Rows are sorted by their longest side, ties at random, and cut into batches; the batches are shuffled. The cuts are
    the same in every epoch, so every epoch has the same number of steps.
    """

    def __init__(
        self,
        lengths: NDArray[np.integer],
        *,
        budget: int,
        multiple: int = 1,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        collate: Collate = row_numbers,
        kind: str = "items",
    ) -> None:
        """lengths: (N,), or (N, S) for rows with S separately padded sides. budget: maximum of rows x longest row in a
        global batch, on every side; only a batch of `multiple` rows may exceed it. multiple: the number of rows in a
        batch is a multiple of this, so that ranks (and accumulated parts) can share it; each epoch drops up to
        `multiple` - 1 rows, different ones each time.

        Raises GeneraError when there are too few rows, or the ranks cannot share a batch.
        """
        sides = lengths.reshape(len(lengths), -1)
        if multiple % ranks:
            raise GeneraError(f"batches of a multiple of {multiple} rows cannot be shared by {ranks} ranks.")
        if len(sides) < multiple:
            raise GeneraError(f"the data has {len(sides)} {kind}, fewer than one batch of {multiple}.")
        self._sides, self._seed, self._longest = sides, seed, sides.max(axis=1)
        self._used = len(sides) // multiple * multiple
        # The cuts assume that the shortest rows are dropped. If others are, no row of the sorted rest is longer.
        self._ends = _cuts(np.sort(self._longest)[len(sides) - self._used :], budget, multiple)
        super().__init__(len(self._ends), collate, rank, ranks)

    def _plan(self, epoch: int) -> list[Rows]:
        random = np.random.default_rng([self._seed, epoch])
        rows = random.permutation(len(self._sides))[: self._used]
        rows = rows[np.lexsort((*self._sides[rows].T, self._longest[rows]))]
        batches = np.split(rows, self._ends[:-1])
        return [batches[i] for i in random.permutation(len(batches))]

    @cached_property
    def padding_share(self) -> float:
        """Share of padding among all ids of the first epoch."""
        return padding_share(self._planned(0), *self._sides.T)


def _cuts(lengths: NDArray[np.integer], budget: int, multiple: int) -> list[int]:
    """The ends of batches of ascending lengths; the number of lengths is a multiple of `multiple`."""
    ends: list[int] = []
    start = 0
    while start < len(lengths):
        reach = lengths[start : start + max(multiple, budget // max(1, int(lengths[start])))]
        fitting = int((np.arange(1, len(reach) + 1) * reach <= budget).sum())
        start += max(multiple, fitting // multiple * multiple)
        ends.append(start)
    return ends


def padding_share(batches: Batches, *sides: NDArray[np.integer]) -> float:
    """Share of padding among all ids of these batches, with each side padded to its longest row."""
    used = room = 0
    for lengths in sides:
        for rows in batches:
            used += int(lengths[rows].sum())
            room += int(lengths[rows].max()) * len(rows)
    return 1 - used / room


# -- running text -----------------------------------------------------------------------------------------------------


@dataclass
class WindowBatch(Batch):
    """A window of T tokens from each of B columns; `ids` are the column numbers."""

    tokens: Tensor
    """(B, T) int64"""
    targets: Tensor
    """(B, T) int64: the token after each token"""
    first: bool
    """Whether this window is the start of the columns, so that carried state must be reset."""


class Continuous:
    """One text cut into B columns that are read in parallel, one window per step. A model carries its state from the
    end of a window to the start of the next (truncated back-propagation through time).

    Row b is the same column in every step of an epoch; rank r of N reads the columns [r·B/N, (r + 1)·B/N). Every token
    of a column except the first is a target once per epoch; tokens that do not fill the columns are dropped.
    """

    def __init__(
        self,
        tokens: NDArray[np.integer],
        *,
        batch: int,
        window: int,
        seed: int,
        jitter: bool = False,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """tokens: (N,). batch: columns over all ranks. window: T. jitter: windows of random size (Merity et al. 2018):
        T with probability 0.95, else T / 2, plus noise of 5 tokens, at least 5; `steps_per_epoch` is then a mean.

        Raises GeneraError when there are too few tokens, or the ranks cannot share the columns.
        """
        if len(tokens) < 2 * batch:
            raise GeneraError(f"the text has {len(tokens)} tokens, too few for {batch} columns of at least 2.")
        count_steps(batch, "columns", batch, ranks)
        length = len(tokens) // batch
        self._columns = tokens[: length * batch].reshape(batch, length)
        self._mine = share(batch, rank, ranks)
        self._window, self._seed, self._jitter, self._targets = window, seed, jitter, length - 1
        mean = window * (1 - HALVED / 2) if jitter else window
        self.steps_per_epoch = max(1, round(self._targets / mean)) if jitter else -(-self._targets // window)
        self._starts = [0]
        """the first step of each epoch, computed on demand"""
        self._planned = lru_cache(maxsize=2)(self._plan)

    def batch(self, step: int) -> WindowBatch:
        """This rank's columns of the window of `step`."""
        epoch, place = self._place(step)
        ends = self._planned(epoch)
        first, stop = (int(ends[place - 1]) if place else 0), int(ends[place])
        tokens = self._columns[self._mine, first : stop + 1].astype(np.int64)
        return WindowBatch(
            ids=torch.arange(len(self._columns))[self._mine],
            tokens=torch.from_numpy(tokens[:, :-1]),
            targets=torch.from_numpy(tokens[:, 1:]),
            first=place == 0,
        )

    def _place(self, step: int) -> tuple[int, int]:
        """(epoch, window in the epoch)"""
        if not self._jitter:
            return divmod(step, self.steps_per_epoch)
        while self._starts[-1] <= step:
            self._starts.append(self._starts[-1] + len(self._planned(len(self._starts) - 1)))
        epoch = bisect_right(self._starts, step) - 1
        return epoch, step - self._starts[epoch]

    def _plan(self, epoch: int) -> Rows:
        """Where each window of an epoch ends."""
        if not self._jitter:
            return np.minimum(np.arange(1, self.steps_per_epoch + 1) * self._window, self._targets)
        random = np.random.default_rng([self._seed, epoch])
        most = self._targets // SHORTEST + 1
        base = np.where(random.random(most) < HALVED, self._window / 2, self._window)
        sizes = np.maximum(SHORTEST, (base + DEVIATION * random.standard_normal(most)).astype(np.int64))
        ends = np.cumsum(sizes)
        return np.minimum(ends[: np.searchsorted(ends, self._targets) + 1], self._targets)
