"""Documents packed into blocks of one length, without padding: GPT-2's way of training on running text."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.batch import Batch
from genera.data.streams import Draw, Planned, Rows, count_steps, permutation
from genera.data.text.store import Ragged


@dataclass
class PackedBatch(Batch):
    """B blocks of C tokens of concatenated documents; `ids` are the numbers of the blocks in their epoch."""

    tokens: Tensor
    """(B, C + 1) int64: each block with the token after it. All but the first of a row are targets"""


class Packed(Planned):
    """Blocks of concatenated documents, in batches that are a pure function of the step.

    Each epoch concatenates all documents in a new order, cuts the result into blocks of C tokens and shuffles them.
    A document ends with its end token, which also begins the next one unless the vocabulary has a separate begin token.
    Every token of the data is a target once per epoch, except those that fill no block or no batch.
    """

    def __init__(
        self,
        documents: Ragged,
        *,
        context: int,
        shared: bool,
        batch: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """documents: ids with begin and end. context: C. shared: whether begin and end are the same token, which then
        occurs once between two documents.

        Raises GeneraError when the documents cannot fill one batch, or the ranks cannot share one.
        """
        self._documents, self._context, self._seed, self._batch = documents, context, seed, batch
        self._skipped = int(shared)
        self._lengths = documents.lengths() - self._skipped
        self.blocks = max(0, int(self._lengths.sum()) - 1) // context
        steps = count_steps(self.blocks, f"blocks of {context} tokens", batch, ranks)
        super().__init__(steps, self._collated, rank, ranks)
        self._ordered = lru_cache(maxsize=2)(self._order)

    def _plan(self, epoch: int) -> NDArray[np.int64]:
        blocks = permutation(self.blocks, self._seed, epoch, 1)[: self.steps_per_epoch * self._batch]
        return blocks.reshape(self.steps_per_epoch, self._batch)

    def _order(self, epoch: int) -> tuple[Rows, Rows]:
        """The documents in the order of an epoch, and where each ends in their concatenation."""
        order = permutation(len(self._documents), self._seed, epoch)
        return order, np.cumsum(self._lengths[order])

    def _collated(self, draw: Draw) -> PackedBatch:
        order, ends = self._ordered(draw.step // self.steps_per_epoch)
        places = draw.mine[:, None] * self._context + np.arange(self._context + 1)
        which = np.searchsorted(ends, places, side="right")
        documents = order[which]
        inside = places - (ends[which] - self._lengths[documents])
        tokens = self._documents.flat[self._documents.offsets[documents] + self._skipped + inside]
        return PackedBatch(ids=torch.from_numpy(draw.mine), tokens=torch.from_numpy(tokens.astype(np.int64)))

    padding_share = 0.0
