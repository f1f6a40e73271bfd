"""Transformer blocks. Masks, memories and caches are arguments, so one block serves BERT and GPT-2.

Axes: B rows, T queries, S slots attended to, A heads, D = H/A, H hidden, L layers.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from genera.blocks.size import TransformerSize


class LayerCache:
    """Keys and values of one block for autoregressive decoding. Allocated once, written in place."""

    def __init__(self, batch: int, heads: int, length: int, width: int, like: Tensor) -> None:
        self.keys = like.new_empty(batch, heads, length, width)
        self.values = torch.empty_like(self.keys)
        self.filled = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, A, T, D) keys and values of T new slots → keys and values of all slots so far, (B, A, filled, D)."""
        count = keys.shape[2]
        self.keys.narrow(2, self.filled, count).copy_(keys)
        self.values.narrow(2, self.filled, count).copy_(values)
        self.filled += count
        return self.keys.narrow(2, 0, self.filled), self.values.narrow(2, 0, self.filled)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows of the batch except `rows`, (B',) int64."""
        self.keys, self.values = self.keys[rows], self.values[rows]


Cache = list[LayerCache]


class Attention(nn.Module):
    """Multi-head attention softmax(QKᵀ/√D)V, of a sequence to itself or to a context, with a fused projection."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.heads, self.dropout = size.heads, size.dropout
        self.qkv = nn.Linear(size.hidden, 3 * size.hidden)
        self.out = nn.Linear(size.hidden, size.hidden)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        memory: Tensor | None = None,
        cache: LayerCache | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        """x: (B, T, H) → (B, T, H). mask: bool, broadcast to (B, A, T, S), True = may attend.

        memory: (B, A, 1, D), both key and value of one slot before x. context: (B, S, H), states projected to keys and
        values; None: x itself.
        """
        if context is None:
            projected = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        else:
            (w_q, w_kv), (b_q, b_kv) = (p.split((x.shape[-1], 2 * x.shape[-1])) for p in self.qkv.parameters())
            keys_values = F.linear(context, w_kv, b_kv).unflatten(-1, (2, self.heads, -1)).unbind(2)
            projected = (F.linear(x, w_q, b_q).unflatten(-1, (self.heads, -1)), *keys_values)
        q, k, v = (part.transpose(1, 2) for part in projected)
        if memory is not None:
            memory = memory.to(k.dtype)
            k, v = torch.cat((memory, k), dim=2), torch.cat((memory, v), dim=2)
        if cache is not None:
            k, v = cache.append(k, v)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=dropout, is_causal=causal)
        return self.out(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with a GELU in between: exact ("none") or with the tanh approximation."""

    def __init__(self, size: TransformerSize, gelu: Literal["none", "tanh"]) -> None:
        super().__init__()
        self.gelu = gelu
        self.up = nn.Linear(size.hidden, size.feed_forward)
        self.down = nn.Linear(size.feed_forward, size.hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate=self.gelu))


class Block(nn.Module):
    """Attention and feed-forward with residuals; LayerNorm before each (GPT-2) or after the sum (BERT)."""

    def __init__(
        self, size: TransformerSize, *, norm_first: bool, gelu: Literal["none", "tanh"], epsilon: float
    ) -> None:
        super().__init__()
        self.norm_first, self.dropout = norm_first, size.dropout
        self.attention = Attention(size)
        self.attention_norm = nn.LayerNorm(size.hidden, eps=epsilon)
        self.feed_forward = FeedForward(size, gelu)
        self.feed_forward_norm = nn.LayerNorm(size.hidden, eps=epsilon)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        memory: Tensor | None = None,
        cache: LayerCache | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        """As Attention.forward: (B, T, H) → (B, T, H). A context is never normalised here."""
        if self.norm_first:
            x = x + self._drop(self.attention(self.attention_norm(x), mask, causal, memory, cache, context))
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self._drop(self.attention(x, mask, causal, memory, cache, context)))
        return self.feed_forward_norm(x + self._drop(self.feed_forward(x)))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class Stack(nn.ModuleList):
    """L blocks in order. With `checkpointing`, the backward pass recomputes activations from the block inputs."""

    checkpointing = False

    def part(self, which: slice) -> "Stack":
        """A stack of some of the blocks, sharing modules and `checkpointing`."""
        some = Stack(list(self)[which])
        some.checkpointing = self.checkpointing
        return some

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        memory: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """memory: (B, L, A, 1, D), slice l for block l; the rest as Attention.forward."""
        memories = memory.unbind(1) if memory is not None else [None] * len(self)
        layers = cache if cache is not None else [None] * len(self)
        for block, slot, layer in zip(self, memories, layers, strict=True):
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, mask, causal, slot, layer, use_reentrant=False)
            else:
                x = block(x, mask, causal, slot, layer)
        return x


def initialise(model: nn.Module, std: float, *, residual_scale: float = 1.0) -> None:
    """Initialise linear and embedding weights to N(0, std²) and biases to 0 (BERT and GPT-2 use std 0.02).

    residual_scale: factor on `std` for projections onto the residual stream; GPT-2 uses 1/√(2L).
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            onto_residual = name.endswith((".attention.out", ".feed_forward.down"))
            nn.init.normal_(module.weight, std=std * residual_scale if onto_residual else std)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
