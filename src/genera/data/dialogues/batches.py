"""Batches of contexts and their responses. A context is a sequence of turns of two alternating speakers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.batch import Batch
from genera.data.streams import Bucketed, Draw
from genera.data.text.batches import gather
from genera.data.text.store import Ragged, TokenStore
from genera.data.vocabularies.tokenisers import Tokenisers
from genera.errors import GeneraError
from genera.files import write_json
from genera.typed import read_typed

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class _Limits:
    """dialogues.json of the assets."""

    turns: int
    context_tokens: int


@dataclass(frozen=True)
class DialogueAssets(Tokenisers):
    """The two tokenisers, and the size limits of a context."""

    turns: int
    """maximum turns of a context; earlier turns are cut"""
    context_tokens: int
    """maximum tokens of a context: the begin token, then the most recent tokens"""

    def save(self, folder: str | Path) -> None:
        super().save(folder)
        write_json(Path(folder) / "dialogues.json", {"turns": self.turns, "context_tokens": self.context_tokens})

    @classmethod
    def load(cls, folder: str | Path) -> "DialogueAssets":
        tokenisers = Tokenisers.load(folder)
        limits = read_typed(Path(folder) / "dialogues.json", _Limits)
        return cls(tokenisers.encoder, tokenisers.decoder, limits["turns"], limits["context_tokens"])


@dataclass
class DialogueBatch(Batch):
    """B contexts with one response each, and B style sentences if the data has a style."""

    context: Tensor
    """(B, C) int64 ids `[CLS] turn [SEP] turn [SEP] …`, right-padded with 0"""
    segments: Tensor
    """(B, C) int64: 1 for turns of the speaker of the last turn, 0 for turns of the other speaker"""
    encoder: Tensor
    """(B, S) int64 ids `[CLS] response [SEP]`, right-padded with 0"""
    decoder: Tensor
    """(B, T) int64 ids `<BOS> response <EOS>`, right-padded with `<PAD>`"""
    style_encoder: Tensor | None
    """(B, S') style sentences, encoded as `encoder`"""
    style_decoder: Tensor | None
    """(B, T') the same style sentences, encoded as `decoder`"""


@dataclass(frozen=True)
class DialogueStore:
    """One split: the turns of all dialogues, and the N exchanges among them."""

    turns: TokenStore
    exchanges: NDArray[np.int64]
    """(N, 3) turn numbers (first, stop, response): the context is the turns first … stop - 1"""

    @classmethod
    def open(cls, folder: Path) -> "DialogueStore":
        return cls(TokenStore(folder / "turns"), np.load(folder / "exchanges.npy", mmap_mode="r"))

    def __len__(self) -> int:
        return len(self.exchanges)


def dialogue_stream(
    store: DialogueStore,
    assets: DialogueAssets,
    *,
    style: TokenStore | None,
    batch: int,
    seed: int,
    noise: float = 0.0,
    rank: int = 0,
    ranks: int = 1,
) -> Bucketed:
    """Training batches, bucketed by the length of the response. Style sentences are not paired with the exchanges: each
    step draws them independently.

    Raises GeneraError when the exchanges cannot fill one global batch, or the ranks cannot share one.
    """
    if style is not None and not len(style):
        raise GeneraError(f"no style sentence is left in {style.folder.name}; provide more of them.")
    lengths = store.turns.decoder.lengths(np.asarray(store.exchanges[:, 2]))
    return Bucketed(
        lengths,
        batch=batch,
        seed=seed,
        noise=noise,
        rank=rank,
        ranks=ranks,
        collate=partial(_dialogue_batch, store, assets, style, seed),
        kind="exchanges",
    )


def _dialogue_batch(
    store: DialogueStore, assets: DialogueAssets, style: TokenStore | None, seed: int, draw: Draw
) -> DialogueBatch:
    first, stop, response = store.exchanges[draw.rows].T
    turns, mine = store.turns, draw.part
    assert turns.encoder is not None
    assert assets.encoder is not None
    width = int(context_sizes(turns.encoder, first, stop, assets.context_tokens).max())
    context, segments = contexts_of(
        turns.encoder, first[mine], stop[mine], assets.context_tokens, assets.encoder.bos, width
    )
    style_encoder = style_decoder = None
    if style is not None:
        assert style.encoder is not None
        chosen = np.random.default_rng([seed, 1, draw.step]).integers(len(style), size=len(draw.rows))
        style_encoder = gather(style.encoder, chosen, chosen[mine], 0)
        style_decoder = gather(style.decoder, chosen, chosen[mine], assets.decoder.pad)
    return DialogueBatch(
        ids=torch.from_numpy(draw.mine),
        context=context,
        segments=segments,
        encoder=gather(turns.encoder, response, response[mine], 0),
        decoder=gather(turns.decoder, response, response[mine], assets.decoder.pad),
        style_encoder=style_encoder,
        style_decoder=style_decoder,
    )


def context_sizes(turns: Ragged, first: Rows, stop: Rows, limit: int) -> Rows:
    """(B,) token counts of the contexts of turns first … stop - 1: one begin token each, at most `limit` in all."""
    return np.minimum(turns.offsets[stop] - turns.offsets[first] - (stop - first) + 1, limit)


def contexts_of(turns: Ragged, first: Rows, stop: Rows, limit: int, begin: int, width: int) -> tuple[Tensor, Tensor]:
    """Ids and segments (B, width) of the contexts of turns first … stop - 1.

    Each turn is stored as `[CLS] turn [SEP]`; `begin` is the id of [CLS], and a context keeps only its first [CLS].
    Segments alternate at each [SEP] and end with 1. A context over `limit` tokens loses the earliest ones after [CLS].
    """
    starts, counts = turns.offsets[first], stop - first
    lengths = turns.offsets[stop] - starts
    place = _within(lengths)
    ids = turns.flat[np.repeat(starts, lengths) + place].astype(np.int64)
    begins = ids == begin
    turn = np.cumsum(begins) - np.repeat(np.cumsum(counts) - counts, lengths)  # from 1, in its context
    segment = 1 - (np.repeat(counts, lengths) - turn) % 2
    kept = ~begins | (place == 0)

    sizes = lengths - counts + 1
    place, excess = _within(sizes), np.repeat(np.maximum(sizes - limit, 0), sizes)
    stays = (place == 0) | (place > excess)
    row = np.repeat(np.arange(len(first)), sizes)[stays]
    place = np.maximum(place - excess, 0)[stays]
    out = np.zeros((2, len(first), width), np.int64)
    out[0, row, place], out[1, row, place] = ids[kept][stays], segment[kept][stays]
    out[1, :, 0] = out[1, :, 1]
    return torch.from_numpy(out[0]), torch.from_numpy(out[1])


def _within(lengths: Rows) -> Rows:
    """0, 1, … lengths[0] - 1, 0, 1, … lengths[1] - 1, …"""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def collate_contexts(contexts: Sequence[Sequence[str]], assets: DialogueAssets) -> tuple[Tensor, Tensor]:
    """Ids and segments (B, C) of contexts given by the user as lists of turns, oldest first; truncated as in training.

    Raises GeneraError for a context without turns, for an empty turn, and for a turn that is not valid Unicode.
    """
    turns = []
    for context in contexts:
        if isinstance(context, str) or not context:
            raise GeneraError(f"a context is a list of at least one turn, oldest first, got {context!r}.")
        turns.append([turn.strip() for turn in context][-assets.turns :])
        if "" in turns[-1]:
            raise GeneraError(f"a turn of the context {list(context)!r} is empty; fill it in or leave it out.")
    flat = [turn for context in turns for turn in context]
    for turn in flat:
        try:
            turn.encode()
        except UnicodeEncodeError:  # on a command line, bytes that are not UTF-8
            raise GeneraError(f"the turn {turn[:40]!r} is not UTF-8; write whole characters.") from None
    assert assets.encoder is not None
    rows = assets.encoder.encode_batch(flat)
    ragged = Ragged(np.array([i for row in rows for i in row]), np.cumsum([0, *map(len, rows)]))
    stop = np.cumsum([len(context) for context in turns])
    first = stop - [len(context) for context in turns]
    width = int(context_sizes(ragged, first, stop, assets.context_tokens).max())
    return contexts_of(ragged, first, stop, assets.context_tokens, assets.encoder.bos, width)
