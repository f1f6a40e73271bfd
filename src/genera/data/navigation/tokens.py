"""Instructions as rows of token ids, all as long as the longest of them."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genera.data.tokenisers import Tokeniser


def token_rows(
    tokeniser: Tokeniser, texts: Sequence[str], longest: int, keep: Literal["first", "last"] = "first"
) -> NDArray[np.int64]:
    """(B, L) ids, [CLS] text [SEP] and then [PAD]; L ≤ longest.

    Of a text with more tokens those in excess are left out, at its end or (keep="last") at its beginning: [CLS] stays,
    and so does [SEP] where there is room for both.
    """
    rows = []
    for row in tokeniser.encode_batch(texts):
        if len(row) > longest and keep == "first":
            row = [row[0], *row[1 : longest - 1], row[-1]][:longest]
        elif len(row) > longest:
            row = [row[0], *row[len(row) - longest + 1 :]]
        rows.append(row)
    ids = np.full((len(rows), max(map(len, rows), default=0)), tokeniser.pad, np.int64)
    for filled, row in zip(ids, rows, strict=True):
        filled[: len(row)] = row
    return ids
