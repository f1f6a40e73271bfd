"""A causal decoder: GPT-2 (Radford et al. 2019) or Llama (Touvron et al. 2023), optionally conditioned on a latent."""

from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks import masks
from genera.blocks.layouts import GPT2, ROTARY_BASE
from genera.blocks.positions import Rotation, rotation
from genera.blocks.size import TransformerSize
from genera.blocks.split import Split, Vocabulary, local, vocabulary
from genera.blocks.transformer import Block, Cache, LayerCache, Stack, initialise, norm
from genera.errors import GeneraError


class Decoder(nn.Module):
    """`blocks.checkpointing = True` trades time for memory."""

    split: Split | None = None

    def __init__(self, size: TransformerSize, *, memory_has_position: bool = True) -> None:
        """memory_has_position: the tokens after N memory slots start at position N; else at 0. Memory slots are used as
        they are in both cases: rotary positions do not rotate them, as if they were at position 0."""
        super().__init__()
        self.size, self.layout, self.memory_has_position = size, size.layout or GPT2, memory_has_position
        self.tokens = nn.Embedding(size.vocabulary, size.hidden)
        learned = self.layout.positions == "learned"
        self.positions = nn.Embedding(size.positions, size.hidden) if learned else None
        self.blocks = Stack(Block(size, self.layout) for _ in range(size.layers))
        self.norm = norm(size, self.layout)
        self.head = None if self.layout.tied else nn.Linear(size.hidden, size.vocabulary, bias=False)
        initialise(self, size.init, residual_scale=(2 * size.layers) ** -0.5)

    @property
    def output(self) -> Tensor | Vocabulary:
        """The output matrix (V, H): the token embedding if the layout ties them. With a `split`, this rank's rows."""
        matrix = self.tokens.weight if self.head is None else self.head.weight
        return matrix if self.split is None else vocabulary(matrix, self.split, self.size.vocabulary)

    def forward(
        self,
        ids: Tensor,
        *,
        memory: Tensor | None = None,
        embedding: Tensor | None = None,
        dropped: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """ids: (B, T) int64 → states (B, T, H).

        memory: (B, L, G, N, D); slice l is both keys and values of N slots before the tokens in block l, without norm,
            projection or rotation (Optimus, Li et al., EMNLP 2020, has N = 1).
        embedding: (B, H), added to the token (and position) vectors at every position.
        dropped: (B, T), True for tokens whose vectors are replaced by zeros (word dropout, Bowman et al. 2016).
        cache: from `cache`, which also takes the memory; `ids` continue the cached tokens.
        Raises GeneraError when the sequence exceeds the number of positions.
        """
        if cache is not None and memory is not None:
            raise GeneraError("a cache already holds the memory; pass the memory only to Decoder.cache.")
        count = ids.shape[1]
        start = cache[0].filled if cache is not None else 0 if memory is None else memory.shape[3]
        slots = cache[0].slots if cache is not None else start
        place = start if self.memory_has_position else start - slots  # position of the first of these tokens
        if place + count > self.size.positions:
            raise GeneraError(
                f"a sequence of {place + count} tokens (memory included) "
                f"exceeds the {self.size.positions} positions of the decoder."
            )
        x = self.tokens(ids)
        if dropped is not None:
            x = x.masked_fill(dropped[..., None], 0.0)
        if self.positions is not None:
            x = x + local(self.positions.weight)[place : place + count]
        if embedding is not None:
            x = x + embedding[:, None]
        x = F.dropout(x, self.size.dropout, self.training)
        # A single query attends to every slot, and tokens without cache or memory use is_causal, the fastest kernels.
        mask = masks.causal(count, start + count, ids.device) if start and count > 1 else None
        causal, turn = not start and count > 1, self._rotation(place, count, x)
        return self.norm(self.blocks(x, mask=mask, causal=causal, memory=memory, cache=cache, rotation=turn))

    def _rotation(self, start: int, count: int, like: Tensor) -> Rotation | None:
        if self.positions is not None:
            return None
        base = self.size.rotary_base or ROTARY_BASE
        return rotation(start, count, self.size.width, base, interleaved=False, like=like)

    def logits(self, states: Tensor) -> Tensor:
        """(..., H) → (..., V)"""
        assert isinstance(self.output, Tensor), "a split vocabulary has no logits to generate from"
        return F.linear(states, self.output)

    def cache(self, batch: int, length: int, memory: Tensor | None = None) -> Cache:
        """A cache for `length` tokens of `batch` rows, containing the memory (B, L, G, N, D) if given."""
        size, slots = self.size, 0 if memory is None else memory.shape[3]
        cache = [
            LayerCache(batch, size.groups, slots + length, size.width, like=self.tokens.weight, slots=slots)
            for _ in range(size.layers)
        ]
        if memory is not None:
            for layer, part in zip(cache, memory.unbind(1), strict=True):
                layer.append(part, part)
        return cache
