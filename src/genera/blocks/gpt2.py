"""GPT-2 (Radford et al., 2019): a causal decoder, optionally conditioned on a latent by a memory and an embedding."""

from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks import masks
from genera.blocks.size import TransformerSize
from genera.blocks.transformer import Block, Cache, LayerCache, Stack, initialise
from genera.errors import GeneraError


class Gpt2(nn.Module):
    """`blocks.checkpointing = True` trades time for memory."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.size = size
        self.tokens = nn.Embedding(size.vocabulary, size.hidden)
        self.positions = nn.Embedding(size.positions, size.hidden)
        self.blocks = Stack(Block(size, norm_first=True, gelu="tanh", epsilon=1e-5) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.hidden, eps=1e-5)
        initialise(self, size.init, residual_scale=(2 * size.layers) ** -0.5)

    def forward(
        self,
        ids: Tensor,
        *,
        memory: Tensor | None = None,
        embedding: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """ids: (B, T) int64 → states (B, T, H).

        memory: (B, L, A, 1, D); slice l is both key and value of one slot before the tokens in block l, without
            LayerNorm or projection (Optimus, Li et al., EMNLP 2020). Tokens then start at position 1.
        embedding: (B, H), added to the token and position vectors at every position.
        cache: from `cache`, which also takes the memory; `ids` continue the cached tokens.
        Raises GeneraError when the sequence exceeds the number of positions.
        """
        if cache is not None and memory is not None:
            raise GeneraError("a cache already holds the memory; pass the memory only to Gpt2.cache.")
        count = ids.shape[1]
        start = cache[0].filled if cache is not None else int(memory is not None)
        if start + count > self.size.positions:
            raise GeneraError(
                f"a sequence of {start + count} tokens (memory included) "
                f"exceeds the {self.size.positions} positions of the decoder."
            )
        x = self.tokens(ids) + self.positions.weight[start : start + count]
        if embedding is not None:
            x = x + embedding[:, None]
        x = F.dropout(x, self.size.dropout, self.training)
        # A single query attends to every slot, and tokens without cache or memory use is_causal, the fastest kernels.
        mask = masks.causal(count, start + count, ids.device) if start and count > 1 else None
        return self.norm(self.blocks(x, mask=mask, causal=not start and count > 1, memory=memory, cache=cache))

    def logits(self, states: Tensor) -> Tensor:
        """(..., H) → (..., V); the output matrix is tied to the token embedding."""
        return F.linear(states, self.tokens.weight)

    def cache(self, batch: int, length: int, memory: Tensor | None = None) -> Cache:
        """A cache for `length` tokens of `batch` rows, containing the memory (B, L, A, 1, D) if given."""
        size, slots = self.size, length + (memory is not None)
        cache = [
            LayerCache(batch, size.heads, slots, size.hidden // size.heads, like=self.tokens.weight)
            for _ in range(size.layers)
        ]
        if memory is not None:
            for layer, slot in zip(cache, memory.unbind(1), strict=True):
                layer.append(slot, slot)
        return cache
