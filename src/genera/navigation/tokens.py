"""Instructions as token ids."""

from collections.abc import Sequence
from itertools import chain
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genera.data.text.store import Ragged
from genera.data.vocabularies.tokenisers import Tokeniser

Keep: TypeAlias = Literal["first", "last"]
_CHUNK = 4096  # texts tokenised at once


def token_ids(tokeniser: Tokeniser, texts: Sequence[str], longest: int, keep: Keep = "first") -> Ragged:
    """[CLS] text [SEP] of each text, at most `longest` ids.

    Longer texts are truncated at the end or, with keep="last", at the beginning. [CLS] is kept, and [SEP] too if
    `longest` leaves room for both.
    """
    flat, lengths = [np.empty(0, np.int32)], [np.zeros(1, np.int64)]
    for first in range(0, len(texts), _CHUNK):
        rows = [_cut(row, longest, keep) for row in tokeniser.encode_batch(texts[first : first + _CHUNK])]
        flat.append(np.fromiter(chain.from_iterable(rows), np.int32))
        lengths.append(np.array([len(row) for row in rows], np.int64))
    return Ragged(np.concatenate(flat), np.cumsum(np.concatenate(lengths)))


def token_rows(tokeniser: Tokeniser, texts: Sequence[str], longest: int, keep: Keep = "first") -> NDArray[np.int64]:
    """As `token_ids`, but (B, L), padded with [PAD]; L ≤ longest is the length of the longest row."""
    ids = token_ids(tokeniser, texts, longest, keep)
    return ids.padded(np.arange(len(ids)), int(ids.lengths().max(initial=0)), tokeniser.pad)


def _cut(row: list[int], longest: int, keep: Keep) -> list[int]:
    if len(row) <= longest:
        return row
    if keep == "first":
        return [row[0], *row[1 : longest - 1], row[-1]][:longest]
    return [row[0], *row[len(row) - longest + 1 :]]
