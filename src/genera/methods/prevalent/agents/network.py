"""The networks of the recurrent agents: what reads the instruction, and what then chooses among the neighbours.

B agents, L tokens, V views, A slots with STOP first. D is the width of what comes in of a token, C of the instruction's
states, H of the agent's, F of a view with its angle (G numbers, the last of the F).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.recurrent import BiLstm, SoftDotAttention
from genera.methods.prevalent.agents.config import NDHConfig, R2RConfig

GAZE = 64
"""Width in which the follower takes its own heading."""
ATTENTION = 256
"""Width in which the dialogue follower compares."""


class Reading(NamedTuple):
    """An instruction as the agent has it before it."""

    states: Tensor
    """(B, L, C)"""
    mask: Tensor
    """(B, L) True at tokens"""


class Seen(NamedTuple):
    """What an agent has before its eyes in one step."""

    panorama: Tensor
    """(B, V, F)"""
    candidates: Tensor
    """(B, A, F)"""
    valid: Tensor
    """(B, A)"""
    gaze: Tensor
    """(B, G) where it looks"""
    before: Tensor
    """(B, F) the candidate that it chose last; zeros at the start"""
    dropped: Tensor | None = None
    """(B,) bool: features were dropped from all its views alike; None: from nobody's"""


class State(NamedTuple):
    """What an agent remembers; (B, H) each."""

    hidden: Tensor
    cell: Tensor
    attended: Tensor
    """h~, the hidden state after a look at the instruction"""


class Choice(NamedTuple):
    logits: Tensor
    """(B, A), -inf at padding"""
    state: State
    attention: Tensor
    """(B, L) over the tokens of the instruction"""


class Reader(nn.Module):
    """States of tokens → states of the instruction, by an LSTM in each direction.

    The published code turns the tokens around first; with both directions that is the same network by other names.
    """

    def __init__(self, inputs: int, context: int, dropout: float, vocabulary: int | None = None) -> None:
        """inputs: D; of the word embeddings, where a `vocabulary` is given and tokens come in."""
        super().__init__()
        self.words = nn.Embedding(vocabulary, inputs) if vocabulary else None
        self.lstm = BiLstm(inputs, context)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Reading:
        """x: (B, L, D), or (B, L) tokens where words are embedded here; mask: (B, L)."""
        x = x if self.words is None else self.dropout(self.words(x))
        return Reading(self.dropout(self.lstm(x, mask)), mask)


def ends(reading: Reading) -> Tensor:
    """(B, C) the last state of each direction: at the last token, and at the first."""
    half = reading.states.shape[-1] // 2
    last = reading.mask.sum(dim=1) - 1
    ahead = reading.states[..., :half].gather(1, last[:, None, None].expand(-1, 1, half))[:, 0]
    return torch.cat([ahead, reading.states[:, 0, half:]], dim=-1)


def largest(reading: Reading) -> Tensor:
    """(B, C) the largest value over the tokens."""
    return reading.states.masked_fill(~reading.mask[..., None], -torch.inf).amax(dim=1)


class Critic(nn.Module):
    """Hidden states (..., H) → (...) the returns to expect."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.hidden, self.value = nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.value(self.dropout(F.relu(self.hidden(hidden))))[..., 0]


class Follower(nn.Module):
    """The agent of R2R: EnvDrop's decoder (Tan et al. 2019), whose recurrent input is h~ and not h, and a critic."""

    stride = 1
    """of the views that it sees"""

    def __init__(self, config: R2RConfig, inputs: int, vocabulary: int | None, features: int, angles: int) -> None:
        """inputs, vocabulary: as in `Reader`. features: F; angles: G."""
        super().__init__()
        hidden = config.hidden
        self.reader = Reader(inputs, config.context, config.dropout, vocabulary)
        self.summary = largest if vocabulary else ends
        self.begin = nn.Linear(config.context, hidden)
        self.gaze = nn.Linear(angles, GAZE)
        self.look = nn.Linear(hidden, features, bias=False)
        self.cell = nn.LSTMCell(GAZE + features, hidden)
        self.attend = SoftDotAttention(hidden, config.context)
        self.choose = nn.Linear(hidden, features, bias=False)
        self.critic = Critic(hidden, config.dropout) if config.reinforcement else None
        self.dropout = nn.Dropout(config.dropout)
        self.feature_dropout, self.angles = config.feature_dropout, angles

    def start(self, reading: Reading) -> State:
        hidden = self.begin(self.summary(reading)).tanh()
        return State(hidden, torch.zeros_like(hidden), hidden)

    def forward(self, state: State, reading: Reading, seen: Seen) -> Choice:
        views = self._dropped(seen.panorama, seen.dropped)
        weights = (views @ self.look(self.dropout(state.attended))[..., None]).softmax(dim=1)
        inputs = torch.cat([self.dropout(self.gaze(seen.gaze).tanh()), (weights * views).sum(dim=1)], dim=-1)
        hidden, cell = self.cell(inputs, (state.attended, state.cell))
        attended, attention = self.attend(self.dropout(hidden)[:, None], reading.states, reading.mask)
        attended = attended[:, 0]
        scores = self._dropped(seen.candidates, seen.dropped) @ self.choose(self.dropout(attended))[..., None]
        logits = scores[..., 0].masked_fill(~seen.valid, -torch.inf)
        return Choice(logits, State(hidden, cell, attended), attention[:, 0])

    def _dropped(self, features: Tensor, before: Tensor | None) -> Tensor:
        """As published, no view loses features a second time where the whole environment did."""
        dropped = drop_features(features, self.feature_dropout, self.angles, self.training)
        return dropped if before is None else torch.where(before[:, None, None], features, dropped)


class DialogueFollower(nn.Module):
    """The agent of NDH (Fried et al. 2018; Hao et al. 2020): it knows the neighbour it came by, sees every second view,
    and scores neighbours by an elementwise product."""

    stride = 2

    def __init__(self, config: NDHConfig, inputs: int, vocabulary: int | None, features: int, angles: int) -> None:
        """As `Follower`."""
        super().__init__()
        hidden = config.hidden
        self.reader = Reader(inputs, config.context, config.dropout, vocabulary)
        self.begin = nn.Linear(config.context, hidden)
        self.query, self.key = nn.Linear(hidden, ATTENTION), nn.Linear(features, ATTENTION, bias=False)
        self.cell = nn.LSTMCell(2 * features, hidden)
        self.attend = SoftDotAttention(hidden, config.context)
        self.state_score, self.candidate_score = nn.Linear(hidden, ATTENTION), nn.Linear(features, ATTENTION)
        self.score = nn.Linear(ATTENTION, 1, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.feature_dropout, self.angles = config.feature_dropout, angles

    def start(self, reading: Reading) -> State:
        hidden = self.begin(ends(reading)).tanh()
        return State(hidden, torch.zeros_like(hidden), hidden)

    def forward(self, state: State, reading: Reading, seen: Seen) -> Choice:
        views = drop_features(seen.panorama, self.feature_dropout, self.angles, self.training)
        weights = (self.key(views) @ self.query(state.hidden)[..., None]).softmax(dim=1)
        inputs = self.dropout(torch.cat([seen.before, (weights * views).sum(dim=1)], dim=-1))
        hidden, cell = self.cell(inputs, (state.hidden, state.cell))
        attended, attention = self.attend(self.dropout(hidden)[:, None], reading.states, reading.mask)
        product = self.state_score(attended) * self.candidate_score(seen.candidates)
        logits = self.score(product)[..., 0].masked_fill(~seen.valid, -torch.inf)
        return Choice(logits, State(hidden, cell, attended[:, 0]), attention[:, 0])


def drop_features(features: Tensor, probability: float, angles: int, training: bool) -> Tensor:
    """Dropout of what is seen (..., F - G), never of where it is (..., G)."""
    return torch.cat([F.dropout(features[..., :-angles], probability, training), features[..., -angles:]], dim=-1)
