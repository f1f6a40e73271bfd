"""BERT (Devlin et al., NAACL 2019), a bidirectional encoder; with rotary positions: RoFormer (Su et al. 2021)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.layouts import BERT, ROTARY_BASE
from genera.blocks.positions import rotation
from genera.blocks.size import TransformerSize
from genera.blocks.split import local
from genera.blocks.transformer import Block, Stack, initialise, norm
from genera.errors import GeneraError

SEGMENTS = 2


class Bert(nn.Module):
    """`blocks.checkpointing = True` trades time for memory. The pooler is optional."""

    def __init__(self, size: TransformerSize, *, pooler: bool = False) -> None:
        super().__init__()
        self.size, self.layout = size, size.layout or BERT
        self.tokens = nn.Embedding(size.vocabulary, size.hidden)
        learned = self.layout.positions == "learned"
        self.positions = nn.Embedding(size.positions, size.hidden) if learned else None
        self.segments = nn.Embedding(SEGMENTS, size.hidden)
        self.norm = norm(size, self.layout)
        self.blocks = Stack(Block(size, self.layout) for _ in range(size.layers))
        self.pooler = nn.Linear(size.hidden, size.hidden) if pooler else None
        initialise(self, size.init)

    def forward(self, ids: Tensor, mask: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """ids: (B, S) int64 → states (B, S, H).

        mask: bool, (B, S) True at real tokens, or (B, S, S) True where a token (row) may attend to
            another. None: full attention.
        segments: (B, S) ids in {0, 1}; None: all 0.
        Raises GeneraError when S exceeds the number of positions.
        """
        return self._through(self.blocks, self.embed(ids, segments), mask)

    def forward_with(self, last: Stack, ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """As `forward`, with `last` in place of the same number of final blocks."""
        shared = self.blocks.part(slice(len(self.blocks) - len(last)))
        return self._through(last, self._through(shared, self.embed(ids, segments), mask), mask)

    def _through(self, blocks: Stack, x: Tensor, mask: Tensor | None) -> Tensor:
        turn = None
        if self.positions is None:
            base = self.size.rotary_base or ROTARY_BASE
            turn = rotation(0, x.shape[1], self.size.width, base, interleaved=True, like=x)
        return blocks(x, mask=_each_head(mask), rotation=turn)

    def embed(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids and segments (B, S) → input of the first block, (B, S, H). Raises GeneraError as `forward` does."""
        length = ids.shape[1]
        if length > self.size.positions:
            raise GeneraError(
                f"a sequence of {length} tokens exceeds the {self.size.positions} positions of the encoder."
            )
        segment = local(self.segments.weight)[0] if segments is None else self.segments(segments)
        x = self.tokens(ids)
        if self.positions is not None:
            x = x + local(self.positions.weight)[:length]
        x = self.norm(x + segment)
        return F.dropout(x, self.size.dropout, self.training)

    def pooled(self, states: Tensor) -> Tensor:
        """states (B, S, H) → (B, H): tanh(W h + b) of the first token."""
        assert self.pooler is not None, "Bert was built without a pooler"
        return torch.tanh(self.pooler(states[:, 0]))


def _each_head(mask: Tensor | None) -> Tensor | None:
    """A mask of `Bert.forward` → a mask that broadcasts over the heads of `Attention`."""
    if mask is None:
        return None
    return mask[:, None, None] if mask.dim() == 2 else mask[:, None]
