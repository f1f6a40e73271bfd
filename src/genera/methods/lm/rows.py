"""Rows of token ids of any lengths as padded batches."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from genera.blocks.likelihood import IGNORED

ROWS_AT_ONCE = 64
"""Rows read together outside of training."""
TOKENS_AT_ONCE = 2**15
"""The same in tokens, padding included."""


def right_padded(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of rows of similar length: their places (N,), inputs (N, T) padded with `pad`, and the token after each
    input, (N, T), `IGNORED` after the last."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    while order:
        longest = len(rows[order[-1]])
        count = min(len(order), ROWS_AT_ONCE, max(1, TOKENS_AT_ONCE // longest))
        places, order = order[-count:], order[:-count]
        some = [torch.tensor(rows[i]) for i in places]
        inputs = pad_sequence([row[:-1] for row in some], batch_first=True, padding_value=pad)
        targets = pad_sequence([row[1:] for row in some], batch_first=True, padding_value=IGNORED)
        yield torch.tensor(places), inputs.to(device), targets.to(device)


def shared_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Number of first elements that two sequences share."""
    same = 0
    while same < min(len(a), len(b)) and a[same] == b[same]:
        same += 1
    return same
