"""The recurrent networks of R2R and NDH: a reader of the instruction and a decoder that chooses among the neighbours.

Shapes: B agents, L tokens, V views, A actions (slots, STOP first). Widths: D of a token's input, C of the instruction
states, H of the agent's state, F of a view's features, whose last G are its angle.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.recurrent import BiLstm, SoftDotAttention
from genera.methods.prevalent.agents.config import NDHConfig, R2RConfig

GAZE = 64
"""Width of the embedding of the agent's own heading (R2R)."""
ATTENTION = 256
"""Width in which states and views are compared (NDH)."""


class InstructionStates(NamedTuple):
    """The instructions that B agents follow, encoded."""

    states: Tensor
    """(B, L, C)"""
    mask: Tensor
    """(B, L) True at tokens"""


class Observation(NamedTuple):
    """What B agents see in one step."""

    panorama: Tensor
    """(B, V, F)"""
    candidates: Tensor
    """(B, A, F)"""
    valid: Tensor
    """(B, A)"""
    gaze: Tensor
    """(B, G) angle features of the agent's own heading and elevation"""
    previous: Tensor
    """(B, F) the candidate that was chosen last; zeros at the start"""
    dropped: Tensor | None = None
    """(B,) bool: environmental dropout has been applied; None: to no agent"""


class AgentState(NamedTuple):
    """The recurrent state, (B, H) each."""

    hidden: Tensor
    cell: Tensor
    attended: Tensor
    """h~, the hidden state after attention over the instruction"""


class Decision(NamedTuple):
    """What B agents decide in one step."""

    logits: Tensor
    """(B, A) of the actions, -inf at padding"""
    state: AgentState
    attention: Tensor
    """(B, L) over the tokens of the instruction"""


class Reader(nn.Module):
    """A bidirectional LSTM over token states: (B, L, D) → (B, L, C).

    The published code reverses the tokens first. For a bidirectional LSTM this only swaps the names of the directions.
    """

    def __init__(self, inputs: int, context: int, dropout: float, vocabulary: int | None = None) -> None:
        """inputs: D; of the word embeddings, where a `vocabulary` is given and tokens come in."""
        super().__init__()
        self.words = nn.Embedding(vocabulary, inputs) if vocabulary else None
        self.lstm = BiLstm(inputs, context)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> InstructionStates:
        """x: (B, L, D), or (B, L) tokens where words are embedded here; mask: (B, L)."""
        x = x if self.words is None else self.dropout(self.words(x))
        return InstructionStates(self.dropout(self.lstm(x, mask)), mask)


def final_states(instruction: InstructionStates) -> Tensor:
    """(B, C) the final state of each direction: at the last token, and at the first."""
    half = instruction.states.shape[-1] // 2
    last = instruction.mask.sum(dim=1) - 1
    ahead = instruction.states[..., :half].gather(1, last[:, None, None].expand(-1, 1, half))[:, 0]
    return torch.cat([ahead, instruction.states[:, 0, half:]], dim=-1)


def max_pooled(instruction: InstructionStates) -> Tensor:
    """(B, C) the maximum over the tokens."""
    return instruction.states.masked_fill(~instruction.mask[..., None], -torch.inf).amax(dim=1)


class Critic(nn.Module):
    """Hidden states (..., H) → expected returns (...)."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.hidden, self.value = nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.value(self.dropout(F.relu(self.hidden(hidden))))[..., 0]


class R2RNetwork(nn.Module):
    """EnvDrop's decoder (Tan et al. 2019), whose recurrent input is h~ instead of h, with a critic."""

    stride = 1
    """Every which view it sees."""

    def __init__(self, config: R2RConfig, inputs: int, vocabulary: int | None, features: int, angles: int) -> None:
        """inputs, vocabulary: as in `Reader`. features: F; angles: G."""
        super().__init__()
        hidden = config.hidden
        self.reader = Reader(inputs, config.context, config.dropout, vocabulary)
        self.summary = max_pooled if vocabulary else final_states
        self.begin = nn.Linear(config.context, hidden)
        self.gaze = nn.Linear(angles, GAZE)
        self.look = nn.Linear(hidden, features, bias=False)
        self.cell = nn.LSTMCell(GAZE + features, hidden)
        self.attend = SoftDotAttention(hidden, config.context)
        self.choose = nn.Linear(hidden, features, bias=False)
        self.critic = Critic(hidden, config.dropout) if config.reinforcement else None
        self.dropout = nn.Dropout(config.dropout)
        self.feature_dropout, self.angles = config.feature_dropout, angles

    def start(self, instruction: InstructionStates) -> AgentState:
        hidden = self.begin(self.summary(instruction)).tanh()
        return AgentState(hidden, torch.zeros_like(hidden), hidden)

    def forward(self, state: AgentState, instruction: InstructionStates, observation: Observation) -> Decision:
        views = self._drop(observation.panorama, observation.dropped)
        weights = (views @ self.look(self.dropout(state.attended))[..., None]).softmax(dim=1)
        inputs = torch.cat([self.dropout(self.gaze(observation.gaze).tanh()), (weights * views).sum(dim=1)], dim=-1)
        hidden, cell = self.cell(inputs, (state.attended, state.cell))
        attended, attention = self.attend(self.dropout(hidden)[:, None], instruction.states, instruction.mask)
        attended = attended[:, 0]
        scores = (
            self._drop(observation.candidates, observation.dropped) @ self.choose(self.dropout(attended))[..., None]
        )
        logits = scores[..., 0].masked_fill(~observation.valid, -torch.inf)
        return Decision(logits, AgentState(hidden, cell, attended), attention[:, 0])

    def _drop(self, features: Tensor, already: Tensor | None) -> Tensor:
        """As published: no feature dropout where environmental dropout has been applied."""
        dropped = drop_features(features, self.feature_dropout, self.angles, self.training)
        return dropped if already is None else torch.where(already[:, None, None], features, dropped)


class NDHNetwork(nn.Module):
    """The decoder of Fried et al. 2018 in NDH's sizes (Hao et al. 2020). Its input includes the candidate chosen last.
    It sees every second view and scores candidates by an elementwise product."""

    stride = 2

    def __init__(self, config: NDHConfig, inputs: int, vocabulary: int | None, features: int, angles: int) -> None:
        """As `R2RNetwork`."""
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

    def start(self, instruction: InstructionStates) -> AgentState:
        hidden = self.begin(final_states(instruction)).tanh()
        return AgentState(hidden, torch.zeros_like(hidden), hidden)

    def forward(self, state: AgentState, instruction: InstructionStates, observation: Observation) -> Decision:
        views = drop_features(observation.panorama, self.feature_dropout, self.angles, self.training)
        weights = (self.key(views) @ self.query(state.hidden)[..., None]).softmax(dim=1)
        inputs = self.dropout(torch.cat([observation.previous, (weights * views).sum(dim=1)], dim=-1))
        hidden, cell = self.cell(inputs, (state.hidden, state.cell))
        attended, attention = self.attend(self.dropout(hidden)[:, None], instruction.states, instruction.mask)
        product = self.state_score(attended) * self.candidate_score(observation.candidates)
        logits = self.score(product)[..., 0].masked_fill(~observation.valid, -torch.inf)
        return Decision(logits, AgentState(hidden, cell, attended[:, 0]), attention[:, 0])


def drop_features(features: Tensor, probability: float, angles: int, training: bool) -> Tensor:
    """Dropout of image features (..., F - G); angle features (..., G) are kept."""
    return torch.cat([F.dropout(features[..., :-angles], probability, training), features[..., -angles:]], dim=-1)
