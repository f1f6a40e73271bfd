"""Batches of sentences: bucketed by length, padded to the right, a pure function of the step."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.batch import Batch
from genera.data.streams import Bucketed, Draw
from genera.data.text.store import Ragged, TokenStore
from genera.data.vocabularies.tokenisers import Tokenisers
from genera.errors import GeneraError


@dataclass
class TextBatch(Batch):
    """B sentences in the two views of a text model."""

    encoder: Tensor | None
    """(B, S) int64 ids `[CLS] x [SEP]`, right-padded with 0; None without an encoder"""
    decoder: Tensor
    """(B, T) int64 ids `<BOS> x <EOS>`, right-padded with `<PAD>`"""
    length: Tensor
    """(B,) int64: number of decoder ids of each sentence, including BOS and EOS"""
    labels: Tensor | None
    """(B,) int64, or None where the data has no labels"""
    features: Tensor | None = None
    """(B, H) features of a frozen encoder, or its states (B, S, H)"""
    per_target: Tensor | None = None
    """(B,) float32: 1 / mean number of targets of the rows of the *global* batch. The mean over rows, accumulated parts
    and ranks of a row's nats times this is the nats per target of the global batch, although none knows the others"""


def text_stream(
    store: TokenStore, *, pad: int, batch: int, seed: int, noise: float = 0.0, rank: int = 0, ranks: int = 1
) -> Bucketed:
    """Training batches of a store, bucketed by decoder length. All ranks pad to the width of the global batch, so N
    ranks see exactly what one rank would.

    pad: the decoder's padding id. noise, exceptions: see `Bucketed`.
    """
    lengths = store.decoder.lengths()
    return Bucketed(
        lengths,
        batch=batch,
        seed=seed,
        noise=noise,
        rank=rank,
        ranks=ranks,
        collate=partial(_text_batch, store, pad),
        kind="texts",
        padded=[lengths] if store.encoder is None else [store.encoder.lengths(), lengths],
    )


def _text_batch(store: TokenStore, pad: int, draw: Draw) -> TextBatch:
    rows, mine = draw.rows, draw.mine
    return TextBatch(
        ids=torch.from_numpy(mine),
        encoder=None if store.encoder is None else gather(store.encoder, rows, mine, 0),
        decoder=gather(store.decoder, rows, mine, pad),
        length=torch.from_numpy(store.decoder.lengths(mine)),
        labels=None if store.labels is None else torch.from_numpy(store.labels[mine].astype(np.int64)),
        per_target=_per_target(store.decoder.lengths(rows), len(mine)),
    )


def _per_target(lengths: NDArray[np.int64], rows: int) -> Tensor:
    """lengths: of the rows of the global batch, with begin and end. rows: of this rank."""
    return torch.full((rows,), 1 / (lengths.mean() - 1), dtype=torch.float32)


def gather(side: Ragged, rows: NDArray[np.int64], mine: NDArray[np.int64], pad: int) -> Tensor:
    """The rows `mine`, right-padded to the longest of `rows`."""
    return torch.from_numpy(side.padded(mine, int(side.lengths(rows).max()), pad))


def collate(
    texts: Sequence[str], tokenisers: Tokenisers, max_tokens: int | None = None, *, first: int = 0
) -> TextBatch:
    """A batch of sentences given by the user; `ids` are their positions in `texts`.

    Raises GeneraError for an empty sentence, for one that is not valid Unicode, and for one with more than
    `max_tokens` ids on either side (including begin and end). first: the position of texts[0] in what the user gave, by
    which errors count.
    """
    texts = readable(texts, first=first)
    encoder = None if tokenisers.encoder is None else tokenisers.encoder.encode_batch(texts)
    decoder = tokenisers.decoder.encode_batch(texts)
    if max_tokens is not None:
        for number, (text, *sides) in enumerate(zip(texts, decoder, encoder or decoder, strict=True), first + 1):
            check_length(number, text, max(map(len, sides)), max_tokens)
    return TextBatch(
        ids=torch.arange(len(texts)),
        encoder=None if encoder is None else _pad(encoder, 0),
        decoder=_pad(decoder, tokenisers.decoder.pad),
        length=torch.tensor([len(row) for row in decoder]),
        labels=None,
        per_target=_per_target(np.array([len(row) for row in decoder]), len(decoder)),
    )


def readable(texts: Sequence[str], *, first: int = 0) -> list[str]:
    """The texts of the user, stripped. Raises GeneraError for an empty one, and for one that is not valid Unicode."""
    texts = [text.strip() for text in texts]
    if not texts:
        raise GeneraError("no sentences were given; at least one is needed.")
    if "" in texts:
        raise GeneraError(f"sentence {first + texts.index('') + 1} is empty; give it at least one word.")
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:  # on a command line, bytes that are not UTF-8
            raise GeneraError(f"the sentence {text[:40]!r} is not UTF-8; write whole characters.") from None
    return texts


def check_length(number: int, text: str, tokens: int, most: int) -> None:
    """Raise GeneraError for sentence `number` if it has more than `most` tokens."""
    if tokens > most:
        raise GeneraError(f"sentence {number}, {text[:40]!r}…, has {tokens} tokens; this model reads at most {most}.")


def _pad(rows: list[list[int]], pad: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [pad] * (width - len(row)) for row in rows])
