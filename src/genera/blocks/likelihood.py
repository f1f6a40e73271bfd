"""log p(sentence) from the states of a decoder, with bounded memory for logits."""

import torch
from torch import Tensor
from torch.nn import functional as F

from genera.blocks.split import Vocabulary, cross_entropy

LOGITS_AT_ONCE = 2**25
"""logits per chunk if no gradient is needed: 128 MiB of float32"""


IGNORED = -100
"""Not a target, such as padding."""


def next_tokens(ids: Tensor, end: int) -> Tensor:
    """(B, T) ids of one sentence a row → (B, T - 1) targets: the token after each, `IGNORED` after the first `end`.

    So padding is never a target, although its id may be `end` and so may that of the first token.
    """
    targets = ids[:, 1:]
    ends = targets == end
    return targets.masked_fill(ends.cumsum(1) > ends.long(), IGNORED)


def sequence_log_likelihood(
    states: Tensor, table: Tensor | Vocabulary, targets: Tensor, ignored: int = IGNORED
) -> Tensor:
    """Σ_t log softmax(table · states_t)[targets_t] over the targets that are not `ignored`.

    states: (B, T, H). table: (V, H), the output vectors of the tokens, or this rank's of them. targets: (B, T) int64.
    Returns (B,) float32 in nats, also under autocast; 0 for a row without targets.
    """
    states, flat = states.flatten(0, 1), targets.flatten()
    # The output matrix dominates the cost of a small decoder, so skip padding. Except in a training step on a GPU:
    # selecting rows synchronises with the device, which costs more than the padding of bucketed batches.
    waits = states.device.type != "cpu" and torch.is_grad_enabled()
    chosen = None if waits else (flat != ignored).nonzero().squeeze(1)
    if chosen is not None:
        states, flat = states[chosen], flat[chosen]
    rows = max(1, len(flat) if torch.is_grad_enabled() else LOGITS_AT_ONCE // len(table))
    pairs = zip(states.split(rows), flat.split(rows), strict=True)
    terms = torch.cat([-_losses(some, table, wanted, ignored) for some, wanted in pairs])
    if chosen is not None:
        terms = terms.new_zeros(targets.numel()).index_put((chosen,), terms)
    return terms.view_as(targets).sum(1)


def _losses(states: Tensor, table: Tensor | Vocabulary, targets: Tensor, ignored: int) -> Tensor:
    """states (N, H), targets (N,) → (N,) float32."""
    if isinstance(table, Vocabulary):
        return cross_entropy(states, table, targets, ignored)
    return F.cross_entropy(F.linear(states, table).float(), targets, ignore_index=ignored, reduction="none")
