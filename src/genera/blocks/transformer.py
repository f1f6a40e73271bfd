"""Transformer blocks. Layouts are data; masks, memories, caches and contexts are arguments.

So one block serves BERT, RoFormer, GPT-2, Llama and T5. Axes: B rows, T queries, S slots attended to, A heads of
queries, G heads of keys and values, D width of a head, H hidden, L layers.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from genera.blocks.layouts import Layout
from genera.blocks.positions import Rotation
from genera.blocks.size import TransformerSize
from genera.blocks.split import Split

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class LayerCache:
    """Keys and values of one block for autoregressive decoding. Allocated once, written in place."""

    def __init__(self, batch: int, heads: int, length: int, width: int, like: Tensor, slots: int = 0) -> None:
        """slots: how many of the first entries are a memory."""
        self.slots = slots
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
        """Continue with the rows `rows` of the batch, (B',) int64, in this order; a row may repeat."""
        self.keys, self.values = self.keys[rows], self.values[rows]


Cache = list[LayerCache]


Projected = tuple[Tensor, Tensor]
"""Keys and values of a context, (B, G, S, D) each."""


class Attention(nn.Module):
    """Multi-head attention softmax(QKᵀ/√D)V, of a sequence to itself or to a context, with a fused projection.

    G ≤ A heads of keys and values; each serves A/G heads of queries (Ainslie et al. 2023). With a `split`, this rank
    has some of both.
    """

    split: Split | None = None

    def __init__(self, size: TransformerSize, layout: Layout) -> None:
        super().__init__()
        self.heads, self.dropout, self.scale = size.heads, size.dropout, None if layout.scaled else 1.0
        self.whole_rows = size.projected_rows
        self.rows, self.width, self.grouped = size.projected_rows, size.width, size.groups < size.heads
        self.qkv = nn.Linear(size.hidden, sum(self.rows), bias=layout.bias)
        self.out = nn.Linear(self.rows[0], size.hidden, bias=layout.bias)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        memory: Tensor | None = None,
        cache: LayerCache | None = None,
        context: Tensor | Projected | None = None,
        rotation: Rotation | None = None,
    ) -> Tensor:
        """x: (B, T, H) → (B, T, H). mask: broadcast to (B, A, T, S): bool, True = may attend, or a term of the scores.

        memory: (B, G, N, D), both keys and values of N slots before x, as they are. context: states (B, S, H) or what
        `keys_values` made of them; None: x itself. rotation: of queries and keys, by the positions of x.
        """
        if context is None:
            q, k, v = self._heads(self.qkv(x).split(self.rows, -1))
            if rotation is not None:
                q, k = rotation(q), rotation(k)
        else:
            k, v = context if isinstance(context, tuple) else self.keys_values(context)
            (q,) = self._heads((self._project(x, slice(self.rows[0])),))
        if memory is not None:
            memory = memory.to(k.dtype)
            if self.split is not None:
                memory = self.split.share(memory, 1)
            k, v = torch.cat((memory, k), dim=2), torch.cat((memory, v), dim=2)
        if cache is not None:
            k, v = cache.append(k, v)
        dropout = self.dropout if self.training else 0.0
        attend = self.split.attend if dropout and self.split is not None else F.scaled_dot_product_attention
        y = attend(q, k, v, mask, dropout_p=dropout, is_causal=causal, scale=self.scale, enable_gqa=self.grouped)
        return self.out(y.transpose(1, 2).flatten(2))

    def keys_values(self, context: Tensor) -> Projected:
        """Of a context (B, S, H), computed once for all tokens that are generated from it."""
        projected = self._project(context, slice(self.rows[0], None))
        k, v = self._heads(projected.split(self.rows[1:], -1))
        return k, v

    def _project(self, x: Tensor, part: slice) -> Tensor:
        return F.linear(x, self.qkv.weight[part], None if self.qkv.bias is None else self.qkv.bias[part])

    def _heads(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """(B, S, heads · D) → (B, heads, S, D), each."""
        return [part.unflatten(-1, (-1, self.width)).transpose(1, 2) for part in parts]


class FeedForward(nn.Module):
    """Two linear layers with an activation in between; gated: activation(gate) · up, with both in one product."""

    def __init__(self, size: TransformerSize, layout: Layout) -> None:
        super().__init__()
        self.activation, self.gated = ACTIVATIONS[layout.activation], layout.gated
        self.up = nn.Linear(size.hidden, size.feed_forward * (1 + layout.gated), bias=layout.bias)
        self.down = nn.Linear(size.feed_forward, size.hidden, bias=layout.bias)

    def forward(self, x: Tensor) -> Tensor:
        if not self.gated:
            return self.down(self.activation(self.up(x)))
        gate, up = self.up(x).chunk(2, -1)
        return self.down(self.activation(gate) * up)


def norm(size: TransformerSize, layout: Layout) -> nn.Module:
    """The norm of a layout over the last axis, of width H: LayerNorm, or RMSNorm (Zhang and Sennrich 2019)."""
    return (nn.LayerNorm if layout.norm == "layer" else nn.RMSNorm)(size.hidden, eps=layout.epsilon)


class Block(nn.Module):
    """Attention, with `cross` attention to a context, and feed-forward, each with a residual and a norm."""

    def __init__(self, size: TransformerSize, layout: Layout, *, cross: bool = False) -> None:
        super().__init__()
        self.norm_first, self.dropout = layout.norm_first, size.dropout
        self.attention = Attention(size, layout)
        self.attention_norm = norm(size, layout)
        self.cross = Attention(size, layout) if cross else None
        self.cross_norm = norm(size, layout) if cross else None
        self.feed_forward = FeedForward(size, layout)
        self.feed_forward_norm = norm(size, layout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        memory: Tensor | None = None,
        cache: LayerCache | None = None,
        context: Tensor | None = None,
        rotation: Rotation | None = None,
        encoded: Tensor | Projected | None = None,
        encoded_mask: Tensor | None = None,
    ) -> Tensor:
        """As Attention.forward: (B, T, H) → (B, T, H). encoded: the context of cross attention; never normalised here,
        nor is `context`."""
        if self.norm_first:
            x = x + self._drop(self.attention(self.attention_norm(x), mask, causal, memory, cache, context, rotation))
            if self.cross is not None and self.cross_norm is not None:
                x = x + self._drop(self.cross(self.cross_norm(x), encoded_mask, context=encoded))
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self._drop(self.attention(x, mask, causal, memory, cache, context, rotation)))
        if self.cross is not None and self.cross_norm is not None:
            x = self.cross_norm(x + self._drop(self.cross(x, encoded_mask, context=encoded)))
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
        rotation: Rotation | None = None,
        encoded: Tensor | Sequence[Projected] | None = None,
        encoded_mask: Tensor | None = None,
    ) -> Tensor:
        """memory: (B, L, G, N, D), slice l for block l. encoded: states, or the keys and values of each block; the rest
        as Block.forward."""
        memories = memory.unbind(1) if memory is not None else [None] * len(self)
        layers = cache if cache is not None else [None] * len(self)
        sources = encoded if isinstance(encoded, Sequence) else [encoded] * len(self)
        for block, slots, layer, source in zip(self, memories, layers, sources, strict=True):
            inputs = (x, mask, causal, slots, layer, None, rotation, source, encoded_mask)
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, *inputs, use_reentrant=False)
            else:
                x = block(*inputs)
        return x


def initialise(model: nn.Module, std: float, *, residual_scale: float = 1.0) -> None:
    """Initialise linear and embedding weights to N(0, std²) and biases to 0 (BERT and GPT-2 use std 0.02).

    residual_scale: factor on `std` for projections onto the residual stream; GPT-2 uses 1/√(2L).
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            onto_residual = name.endswith((".attention.out", ".cross.out", ".feed_forward.down"))
            nn.init.normal_(module.weight, std=std * residual_scale if onto_residual else std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
