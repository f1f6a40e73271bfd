"""The image-text encoder of Prevalent and its two pre-training heads.

B rows, L text tokens, V views, F numbers a view (features of the image, then of the angle), D width of the states.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.bert import Bert
from genera.blocks.layouts import BERT
from genera.blocks.size import TransformerSize
from genera.blocks.transformer import Attention, Block, initialise

ACTIONS = 36
"""Width of the action head, as published; no viewpoint has as many neighbours."""
_EPSILON = 1e-12


class CrossLayer(nn.Module):
    """Text and views attend to each other, with shared weights for both directions; then each to itself. Post-norm."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.dropout = size.dropout
        self.attention = Attention(size, BERT)
        self.attention_norm = nn.LayerNorm(size.hidden, eps=_EPSILON)
        self.text = Block(size, BERT)
        self.image = Block(size, BERT)

    def forward(self, text: Tensor, mask: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """text (B, L, D), mask (B, 1, 1, L) True at tokens, image (B, V, D) → both, updated from the same inputs."""
        return self.renew_text(text, mask, image), self.image(self._attend(image, text, mask))

    def renew_text(self, text: Tensor, mask: Tensor, image: Tensor) -> Tensor:
        """The text half of `forward` alone. No view is padding."""
        return self.text(self._attend(text, image, None), mask)

    def _attend(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        attended = self.attention(x, mask, context=context)
        return self.attention_norm(x + F.dropout(attended, self.dropout, self.training))


class NavigationEncoder(nn.Module):
    """Hao et al. 2020, section 3.1: text layers, one linear layer for views, LXMERT's cross-modal layers.

    Only the text half of the last layer is used. Its image half exists because the published weights have it; it is
    never computed or trained.
    """

    def __init__(self, size: TransformerSize, cross_layers: int, view_size: int) -> None:
        """view_size: F, image and angle features together."""
        super().__init__()
        self.size = size.hidden
        self.dropout = size.dropout
        self.words = Bert(size)
        self.view = nn.Linear(view_size, size.hidden)
        self.view_norm = nn.LayerNorm(size.hidden, eps=_EPSILON)
        self.layers = nn.ModuleList(CrossLayer(size) for _ in range(cross_layers))
        for part in (self.view, self.layers):
            initialise(part, size.init)
        self.layers[-1].image.requires_grad_(False)

    def freeze(self, *, but_cross_layers: bool = False) -> None:
        """Stop the training of all layers, or of all but the cross-modal ones."""
        self.requires_grad_(False)
        self.layers.requires_grad_(but_cross_layers)
        self.layers[-1].image.requires_grad_(False)

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens (B, L) int64, mask (B, L) True at tokens → (B, L, D), independent of the views: run it once per
        instruction. Raises GeneraError if L exceeds the positions."""
        return self.words(tokens, mask)

    def image(self, views: Tensor) -> Tensor:
        """views (B, V, F) → (B, V, D)."""
        return F.dropout(self.view_norm(self.view(views)), self.dropout, self.training)

    def cross(self, text: Tensor, mask: Tensor, image: Tensor) -> Tensor:
        """text (B, L, D) of `text`, mask (B, L), image (B, V, D) of `image` → text states (B, L, D)."""
        mask = mask[:, None, None]
        *first, last = self.layers
        for layer in first:
            text, image = layer(text, mask, image)
        return last.renew_text(text, mask, image)  # type: ignore[operator]

    def forward(self, tokens: Tensor, mask: Tensor, views: Tensor) -> Tensor:
        """tokens (B, L), mask (B, L), views (B, V, F) → (B, L, D)."""
        return self.cross(self.text(tokens, mask), mask, self.image(views))


class WordHead(nn.Module):
    """Masked words: Linear, GELU, LayerNorm, then the transposed word embeddings and a bias."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.transform = nn.Linear(size.hidden, size.hidden)
        self.norm = nn.LayerNorm(size.hidden, eps=_EPSILON)
        self.bias = nn.Parameter(torch.zeros(size.vocabulary))
        initialise(self, size.init)

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """states (..., D), table (vocabulary, D) → logits (..., vocabulary)."""
        return F.linear(self.norm(F.gelu(self.transform(states))), table, self.bias)


class ActionHead(nn.Module):
    """The next action, from the state of the first token: a tanh pooler and a linear layer."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.pooler = nn.Linear(size.hidden, size.hidden)
        self.action = nn.Linear(size.hidden, ACTIONS)
        initialise(self, size.init)

    def forward(self, states: Tensor) -> Tensor:
        """states (B, L, D) → logits (B, 36)."""
        return self.action(torch.tanh(self.pooler(states[:, 0])))


class Prediction(NamedTuple):
    """What the heads predict for B instructions with G steps each and P picked words; None without a head."""

    words: Tensor | None
    """(B, G, P, vocabulary) logits"""
    actions: Tensor | None
    """(B, G, 36) logits"""


class Pretrainer(nn.Module):
    """The encoder with the heads of the losses that have a weight."""

    def __init__(self, encoder: NavigationEncoder, words: WordHead | None, actions: ActionHead | None) -> None:
        super().__init__()
        self.encoder, self.words, self.actions = encoder, words, actions

    def forward(self, tokens: Tensor, picked: Tensor, views: Tensor) -> Prediction:
        """tokens (B, L), picked (B, P) positions to predict, views (B, G, V, F). The text layers run once for each
        instruction, the cross-modal layers once for each step."""
        rows, steps = views.shape[:2]
        mask = tokens != 0
        text = self.encoder.text(tokens, mask)
        if steps > 1:
            text, mask = text.repeat_interleave(steps, 0), mask.repeat_interleave(steps, 0)
        states = self.encoder.cross(text, mask, self.encoder.image(views.flatten(0, 1)))
        words = actions = None
        if self.words is not None:  # only the picked words go through the widest layer
            positions = picked.repeat_interleave(steps, 0)[..., None].expand(-1, -1, states.shape[-1])
            logits = self.words(states.gather(1, positions), self.encoder.words.tokens.weight)
            words = logits.unflatten(0, (rows, steps))
        if self.actions is not None:
            actions = self.actions(states).unflatten(0, (rows, steps))
        return Prediction(words, actions)
