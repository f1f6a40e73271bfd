"""Boolean attention masks, True where a query (row) may attend to a key (column)."""

import torch
from torch import Tensor


def causal(queries: int, keys: int, device: torch.device | str | None = None) -> Tensor:
    """(queries, keys): the queries are the last positions of the keys, and each attends to all keys up to itself.

    keys > queries if slots that all queries attend to come first: a memory, or cached tokens.
    """
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def prefix(lengths: Tensor, size: int) -> Tensor:
    """(B,) prefix lengths → (B, size, size): full attention within the prefix, causal attention after it.

    The sequence-to-sequence mask of UniLM (Dong et al., NeurIPS 2019, section 2.2).
    """
    in_prefix = torch.arange(size, device=lengths.device) < lengths[:, None]
    return in_prefix[:, None, :] | causal(size, size, lengths.device)
