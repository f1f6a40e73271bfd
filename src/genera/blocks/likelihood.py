"""log p(sentence) from a decoder's states, without ever holding more logits than needed."""

import torch
from torch import Tensor
from torch.nn import functional as F

LOGITS_AT_ONCE = 2**25
"""floats of a chunk's logits where no gradient is needed: 128 MiB"""


def sequence_log_likelihood(states: Tensor, table: Tensor, targets: Tensor, pad: int) -> Tensor:
    """Σ_t log softmax(table · states_t)[targets_t] over the targets that are not `pad`.

    states: (B, T, H). table: (V, H), the output vectors of the tokens. targets: (B, T) int64.
    Returns (B,) float32 in nats, under autocast too; 0 for a row of padding alone.
    """
    states, flat = states.flatten(0, 1), targets.flatten()
    # The output matrix is most of a small decoder's work, so padding is left out of it. The exception is a training
    # step on a GPU: choosing rows would make the host wait there, and costs more than the padding of bucketed batches.
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
