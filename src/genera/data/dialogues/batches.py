"""Batches of contexts and their responses; a context is turns between separators, by two speakers in turn."""

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
from genera.files import read_json, write_json

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class DialogueAssets(Tokenisers):
    """The two tokenisers, and how much of a dialogue a model sees."""

    turns: int
    """last turns of a context"""
    context_tokens: int
    """tokens of a context: the begin token and the last so many"""

    def save(self, folder: str | Path) -> None:
        super().save(folder)
        write_json(Path(folder) / "dialogues.json", {"turns": self.turns, "context_tokens": self.context_tokens})

    @classmethod
    def load(cls, folder: str | Path) -> "DialogueAssets":
        tokenisers = Tokenisers.load(folder)
        return cls(tokenisers.encoder, tokenisers.decoder, **read_json(Path(folder) / "dialogues.json"))


@dataclass
class DialogueBatch(Batch):
    """B contexts with a response each, and B sentences in the style where there is one."""

    context: Tensor
    """(B, C) int64 ids `[CLS] turn [SEP] turn [SEP] …`, right-padded with 0"""
    segments: Tensor
    """(B, C) int64: 1 for the turns of whom is responded to, 0 for the other speaker's"""
    encoder: Tensor
    """(B, S) int64 ids `[CLS] response [SEP]`, right-padded with 0"""
    decoder: Tensor
    """(B, T) int64 ids `<BOS> response <EOS>`, right-padded with `<PAD>`"""
    style_encoder: Tensor | None
    """(B, S') as `encoder`, of sentences in the style"""
    style_decoder: Tensor | None
    """(B, T') as `decoder`, of them"""


@dataclass(frozen=True)
class DialogueStore:
    """One split: the turns of all dialogues, and the N exchanges among them."""

    turns: TokenStore
    exchanges: NDArray[np.int64]
    """(N, 3): the context is the turns first … stop - 1, and the third is the turn that responds"""

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
    """Training batches, bucketed by the length of the response. Sentences in the style are drawn anew for every step,
    independently of the exchanges, for the two are not paired.

    Raises GeneraError when the exchanges cannot fill one global batch, or the ranks cannot share one.
    """
    if style is not None and not len(style):
        raise GeneraError(f"no sentence in the style is left in {style.folder.name}; give more of them.")
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
    """(B,) tokens of the contexts that the turns first … stop - 1 make: one begin token each, `limit` at most."""
    return np.minimum(turns.offsets[stop] - turns.offsets[first] - (stop - first) + 1, limit)


def contexts_of(turns: Ragged, first: Rows, stop: Rows, limit: int, begin: int, width: int) -> tuple[Tensor, Tensor]:
    """Ids and segments (B, width) of the contexts that the turns first … stop - 1 make.

    turns: `[CLS] turn [SEP]` each, `begin` being the id of [CLS], which stays where a context begins and nowhere else.
    Segments alternate at each [SEP] and end with 1. Over `limit` tokens, those that follow [CLS] are left out.
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
    """Ids and segments (B, C) of the user's own contexts, each its turns, oldest first; cut as in training.

    Raises GeneraError for a context without turns, an empty turn, and one that is no Unicode text.
    """
    turns = []
    for context in contexts:
        if isinstance(context, str) or not context:
            raise GeneraError(f"a context is a list of at least one turn, oldest first, got {context!r}.")
        turns.append([turn.strip() for turn in context][-assets.turns :])
        if "" in turns[-1]:
            raise GeneraError(f"a turn of the context {list(context)!r} is empty; write what was said.")
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
