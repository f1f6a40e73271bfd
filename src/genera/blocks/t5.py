"""T5 (Raffel et al., JMLR 2020) and mT5 (Xue et al., NAACL 2021): an encoder, and a decoder that attends to it."""

from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks import masks
from genera.blocks.layouts import T5 as T5_LAYOUT
from genera.blocks.positions import RelativeBias
from genera.blocks.size import T5Size
from genera.blocks.transformer import Block, Cache, LayerCache, Projected, Stack, initialise, norm


class T5(nn.Module):
    """Positions are relative, so lengths have no limit."""

    def __init__(self, size: T5Size) -> None:
        super().__init__()
        self.size, self.layout = size, size.layout or T5_LAYOUT
        self.tokens = nn.Embedding(size.vocabulary, size.hidden)
        self.encoder = Stack(Block(size, self.layout) for _ in range(size.layers))
        self.encoder_bias = RelativeBias(size.heads, causal=False)
        self.encoder_norm = norm(size, self.layout)
        self.decoder = Stack(Block(size, self.layout, cross=True) for _ in range(size.decoder_layers))
        self.decoder_bias = RelativeBias(size.heads, causal=True)
        self.decoder_norm = norm(size, self.layout)
        self.head = None if self.layout.tied else nn.Linear(size.hidden, size.vocabulary, bias=False)
        initialise(self, size.init, residual_scale=(2 * size.layers) ** -0.5)

    def encode(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """ids: (B, S) int64; mask: (B, S), True at tokens → states (B, S, H)."""
        bias = self.encoder_bias(ids.shape[1], ids.shape[1])
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None, None], float("-inf"))
        return self._drop(self.encoder_norm(self.encoder(self._drop(self.tokens(ids)), mask=bias)))

    def forward(
        self,
        ids: Tensor,
        encoded: Tensor | list[Projected],
        encoded_mask: Tensor | None = None,
        *,
        cache: Cache | None = None,
    ) -> Tensor:
        """ids: (B, T) int64 → states (B, T, H).

        encoded: states of `encode`, or what `project` made of them; encoded_mask: (B, S), True at their tokens.
        cache: from `cache`; `ids` continue the cached tokens.
        """
        count, start = ids.shape[1], cache[0].filled if cache is not None else 0
        bias = self.decoder_bias(count, start + count)
        if count > 1:
            bias = bias.masked_fill(~masks.causal(count, start + count, ids.device), float("-inf"))
        seen = None if encoded_mask is None else encoded_mask[:, None, None]
        x = self._drop(self.tokens(ids))
        x = self.decoder(x, mask=bias, cache=cache, encoded=encoded, encoded_mask=seen)
        return self._drop(self.decoder_norm(x))

    def logits(self, states: Tensor) -> Tensor:
        """(..., H) → (..., V)"""
        if self.layout.scaled_output:
            states = states * self.size.hidden**-0.5
        return F.linear(states, self.tokens.weight if self.head is None else self.head.weight)

    def project(self, encoded: Tensor) -> list[Projected]:
        """Keys and values of encoded states in each block of the decoder: once for all tokens that are generated."""
        return [block.cross.keys_values(encoded) for block in self.decoder]  # type: ignore[union-attr, operator]

    def cache(self, batch: int, length: int) -> Cache:
        """A cache for `length` tokens of `batch` rows."""
        size = self.size
        return [
            LayerCache(batch, size.groups, length, size.width, like=self.tokens.weight)
            for _ in range(size.decoder_layers)
        ]

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.size.dropout, self.training)
