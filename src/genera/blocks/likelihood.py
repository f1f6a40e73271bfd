"""log p(sentence) from the states of a decoder, with bounded memory for logits."""

import torch
from torch import Tensor
from torch.nn import functional as F

LOGITS_AT_ONCE = 2**25
"""logits per chunk if no gradient is needed: 128 MiB of float32"""


def sequence_log_likelihood(states: Tensor, table: Tensor, targets: Tensor, pad: int) -> Tensor:
    """Σ_t log softmax(table · states_t)[targets_t] over the targets that are not `pad`.

    states: (B, T, H). table: (V, H), the output vectors of the tokens. targets: (B, T) int64.
    Returns (B,) float32 in nats, also under autocast; 0 for a row of padding only.
    """
    states, flat = states.flatten(0, 1), targets.flatten()
    # The output matrix dominates the cost of a small decoder, so skip padding. Except in a training step on a GPU:
    # selecting rows synchronises with the device, which costs more than the padding of bucketed batches.
    waits = states.device.type != "cpu" and torch.is_grad_enabled()
    chosen = None if waits else (flat != pad).nonzero().squeeze(1)
    if chosen is not None:
        states, flat = states[chosen], flat[chosen]
    rows = max(1, len(flat) if torch.is_grad_enabled() else LOGITS_AT_ONCE // len(table))
    parts = [
        -F.cross_entropy(F.linear(some, table).float(), wanted, ignore_index=pad, reduction="none")
        for some, wanted in zip(states.split(rows), flat.split(rows), strict=True)
    ]
    terms = torch.cat(parts)
    if chosen is not None:
        terms = terms.new_zeros(targets.numel()).index_put((chosen,), terms)
    return terms.view_as(targets).sum(1)
