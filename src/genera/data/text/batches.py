"""Batches of sentences: bucketed by length, padded to the right, a pure function of the step."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.batch import Batch, count_steps
from genera.data.text.store import Ragged, TokenStore
from genera.data.vocabularies.tokenisers import Tokenisers
from genera.errors import GeneraError

WINDOW = 100  # batches that are sorted by length together


@dataclass
class TextBatch(Batch):
    """B sentences in the two views of a text model."""

    encoder: Tensor | None
    """(B, S) int64 ids `[CLS] x [SEP]`, right-padded with 0; None without an encoder"""
    decoder: Tensor
    """(B, T) int64 ids `<BOS> x <EOS>`, right-padded with `<PAD>`"""
    length: Tensor
    """(B,) int64: decoder ids of each sentence, BOS and EOS included"""
    labels: Tensor | None
    """(B,) int64, or None where the data has no labels"""


class TextStream:
    """Training batches of a store; see `genera.data.batch.Stream`.

    Each epoch is a fresh permutation of (seed, epoch), sorted by a noisy length inside windows of 100 batches, cut into
    batches, and the batches shuffled. Without the noise a batch is all of one length, which pads least and learns
    less. What does not fill a batch is left out, another part each epoch. All ranks pad to the width of the global
    batch, so that N ranks see exactly what one would.
    """

    def __init__(
        self, store: TokenStore, *, pad: int, batch: int, seed: int, noise: float = 0.0, rank: int = 0, ranks: int = 1
    ) -> None:
        """`pad` is the decoder's padding id, `batch` the global batch size, `noise` in standard deviations of length.

        Raises GeneraError when the store cannot fill one batch, or the ranks cannot share one.
        """
        self.steps_per_epoch = count_steps(len(store), "texts", batch, ranks)
        self._store, self._pad, self._size = store, pad, batch
        self._mine = slice(rank * batch // ranks, (rank + 1) * batch // ranks)
        self._plan = lru_cache(maxsize=1)(
            lambda epoch: bucketed(store.decoder.lengths(), batch=batch, seed=seed, epoch=epoch, noise=noise)
        )

    def batch(self, step: int) -> TextBatch:
        """This rank's rows of the global batch of `step`."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self._plan(epoch)[place]
        store, mine = self._store, rows[self._mine]
        return TextBatch(
            ids=torch.from_numpy(mine),
            encoder=None if store.encoder is None else gather(store.encoder, rows, mine, 0),
            decoder=gather(store.decoder, rows, mine, self._pad),
            length=torch.from_numpy(store.decoder.lengths(mine)),
            labels=None if store.labels is None else torch.from_numpy(store.labels[mine].astype(np.int64)),
        )

    @cached_property
    def padding_share(self) -> float:
        """The share of padding among all ids, both sides, of the first epoch's batches."""
        plan = self._plan(0)
        used = room = 0
        for side in filter(None, (self._store.encoder, self._store.decoder)):
            lengths = side.lengths()[plan]
            used += int(lengths.sum())
            room += int(lengths.max(axis=1).sum()) * self._size
        return 1 - used / room


def bucketed(lengths: NDArray[np.int64], *, batch: int, seed: int, epoch: int, noise: float) -> NDArray[np.int64]:
    """(steps, batch) row numbers of an epoch over rows of these lengths; see `TextStream`."""
    random = np.random.default_rng([seed, epoch])
    steps = len(lengths) // batch
    rows = random.permutation(len(lengths))[: steps * batch]
    lengths = lengths[rows]
    lengths = lengths + noise * lengths.std() * random.standard_normal(len(rows))
    window = np.arange(len(rows)) // (WINDOW * batch)
    batches = rows[np.lexsort((lengths, window))].reshape(steps, batch)
    return batches[random.permutation(steps)]


def gather(side: Ragged, rows: NDArray[np.int64], mine: NDArray[np.int64], pad: int) -> Tensor:
    """The rows `mine`, padded on the right to the longest of `rows`."""
    return torch.from_numpy(side.padded(mine, int(side.lengths(rows).max()), pad))


def collate(texts: Sequence[str], tokenisers: Tokenisers, max_tokens: int | None = None) -> TextBatch:
    """A batch of the user's own sentences; `ids` are their positions in `texts`.

    Raises GeneraError for an empty sentence, for one that is no Unicode text, and for one that has more than
    `max_tokens` ids on either side (begin and end included).
    """
    texts = [text.strip() for text in texts]
    if not texts:
        raise GeneraError("no sentences were given; at least one is needed.")
    if "" in texts:
        raise GeneraError(f"sentence {texts.index('') + 1} of {len(texts)} is empty; give it at least one word.")
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:  # on a command line, bytes that are not UTF-8
            raise GeneraError(f"the sentence {text[:40]!r} is not UTF-8; write whole characters.") from None
    encoder = None if tokenisers.encoder is None else tokenisers.encoder.encode_batch(texts)
    decoder = tokenisers.decoder.encode_batch(texts)
    if max_tokens is not None:
        for text, *sides in zip(texts, decoder, encoder or decoder, strict=True):
            longest = max(map(len, sides))
            if longest > max_tokens:
                raise GeneraError(
                    f"the sentence {text[:40]!r}… has {longest} tokens; this model reads at most {max_tokens}."
                )
    return TextBatch(
        ids=torch.arange(len(texts)),
        encoder=None if encoder is None else _pad(encoder, 0),
        decoder=_pad(decoder, tokenisers.decoder.pad),
        length=torch.tensor([len(row) for row in decoder]),
        labels=None,
    )


def _pad(rows: list[list[int]], pad: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [pad] * (width - len(row)) for row in rows])
