"""The speaker's networks: the views along a path → the words of an instruction.

B paths of T steps, one for each node, the last of which is STOP. `actions` (B, T, F) is the view that shows the chosen
neighbour, zeros at STOP; `panoramas` (B, T, 36, F) are all views; `mask` (B, T) is True at the steps of a path, padding
last. F = features of the view and `angle_size` numbers of its angle.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.recurrent import BiLstm, SoftDotAttention
from genera.methods.prevalent.speaker.config import SpeakerConfig

ATTENTION = 256
"""Width in which the follower variant compares its state with the views."""


@dataclass
class EncodedPath:
    """B encoded paths: the input of the decoder."""

    states: Tensor
    """(B, T, H)"""
    mask: Tensor
    """(B, T)"""
    hidden: Tensor
    """(B, H) the decoder's initial state"""
    cell: Tensor
    """(B, H)"""

    def rows(self, rows: Tensor) -> Self:
        return type(self)(self.states[rows], self.mask[rows], self.hidden[rows], self.cell[rows])


class Speaker(nn.Module):
    """An encoder of paths, in the variant of the config, and a decoder of words."""

    def __init__(self, config: SpeakerConfig, feature_size: int, angle_size: int, vocabulary: int) -> None:
        super().__init__()
        self.angle_size = angle_size
        self.feature_dropout = config.feature_dropout
        encoder = {"envdrop": EnvDropEncoder, "follower": FollowerEncoder}[config.variant]
        self.encoder = encoder(feature_size, config.hidden, config.dropout)
        after_attention = config.dropout if config.variant == "envdrop" else 0.0
        self.decoder = WordDecoder(vocabulary, config.embedding, config.hidden, config.dropout, after_attention)

    def read(self, actions: Tensor, panoramas: Tensor, mask: Tensor) -> EncodedPath:
        return self.encoder(self._dropped(actions), self._dropped(panoramas), mask)

    def forward(self, actions: Tensor, panoramas: Tensor, mask: Tensor, words: Tensor) -> Tensor:
        """Logits (B, L, V) of the word after each of words (B, L), the first of which is BOS."""
        return self.decoder(words, self.read(actions, panoramas, mask))[0]

    def _dropped(self, features: Tensor) -> Tensor:
        """Dropout of image features; angle features are kept."""
        seen, angles = features[..., : -self.angle_size], features[..., -self.angle_size :]
        return torch.cat([F.dropout(seen, self.feature_dropout, self.training), angles], dim=-1)


class EnvDropEncoder(nn.Module):
    """Tan et al. 2019: a bidirectional LSTM over the actions, attention over each step's views, a second LSTM."""

    def __init__(self, feature_size: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.actions = BiLstm(feature_size, hidden)
        self.look = SoftDotAttention(hidden, feature_size)
        self.path = BiLstm(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, actions: Tensor, panoramas: Tensor, mask: Tensor) -> EncodedPath:
        states = self.dropout(self.actions(actions, mask))
        seen, _ = self.look(states.flatten(0, 1)[:, None], panoramas.flatten(0, 1))
        states = self.dropout(self.path(self.dropout(seen.view_as(states)), mask))
        zeros = states.new_zeros(len(states), states.shape[2])
        return EncodedPath(states, mask, zeros, zeros)


class FollowerEncoder(nn.Module):
    """Fried et al. 2018: an LSTM in one direction. The previous state attends to the views of each step."""

    def __init__(self, feature_size: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, ATTENTION)
        self.key = nn.Linear(feature_size, ATTENTION)
        self.cell = nn.LSTMCell(2 * feature_size, hidden)
        self.to_decoder = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, actions: Tensor, panoramas: Tensor, mask: Tensor) -> EncodedPath:
        keys = self.key(panoramas)
        hidden = cell = actions.new_zeros(len(actions), self.cell.hidden_size)
        states = []
        for t in range(actions.shape[1]):
            weights = (keys[:, t] @ self.query(hidden)[..., None]).softmax(1)
            seen = (weights * panoramas[:, t]).sum(1)
            going, inputs = mask[:, t, None], self.dropout(torch.cat([actions[:, t], seen], dim=-1))
            after = self.cell(inputs, (hidden, cell))
            hidden, cell = torch.where(going, after[0], hidden), torch.where(going, after[1], cell)
            states.append(hidden)
        return EncodedPath(self.dropout(torch.stack(states, 1)), mask, self.to_decoder(hidden).tanh(), cell)


class WordDecoder(nn.Module):
    """An LSTM over words with attention over the steps of the path."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int, dropout: float, after_attention: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.look = SoftDotAttention(hidden, hidden)
        self.output = nn.Linear(hidden, vocabulary)
        self.dropout, self.after_attention = nn.Dropout(dropout), nn.Dropout(after_attention)

    def forward(self, words: Tensor, encoded: EncodedPath) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits (B, L, V) of the word after each of words (B, L), and the state after the last."""
        before = encoded.hidden[None].contiguous(), encoded.cell[None].contiguous()
        states, (hidden, cell) = self.lstm(self.dropout(self.embedding(words)), before)
        seen, _ = self.look(self.dropout(states), encoded.states, encoded.mask)
        return self.output(self.after_attention(seen)), (hidden[0], cell[0])


class SpeakerWriter:
    """Decodes B instructions word by word; see `genera.blocks.decoding.Writer`."""

    def __init__(self, decoder: WordDecoder, encoded: EncodedPath) -> None:
        self.decoder, self.encoded = decoder, encoded

    def read(self, tokens: Tensor) -> Tensor:
        logits, (hidden, cell) = self.decoder(tokens, self.encoded)
        self.encoded = EncodedPath(self.encoded.states, self.encoded.mask, hidden, cell)
        return logits[:, -1]

    def keep(self, rows: Tensor) -> None:
        self.encoded = self.encoded.rows(rows)
