"""The network of HANNA's agent: a transformer that decides where to go and whether to request help (Nguyen & Daumé
2019).

Shapes: B agents, L tokens, T steps so far, A actions (slots, STOP first). Widths: H of all states, F of a view with
its angle.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.layouts import BERT
from genera.blocks.recurrent import SoftDotAttention
from genera.blocks.size import TransformerSize
from genera.blocks.transformer import Block, initialise
from genera.methods.prevalent.agents.config import HannaConfig
from genera.methods.prevalent.agents.network import InstructionStates

REASONS = ("lost", "uncertain_wrong", "already_asked")
"""Reasons for or against a request for help; the network also predicts which of them hold."""
_EPSILON = 1e-12


class HannaObservation(NamedTuple):
    """What B agents see in one step."""

    panorama: Tensor
    """(B, 36, F)"""
    candidates: Tensor
    """(B, A, F)"""
    valid: Tensor
    """(B, A)"""
    previous: Tensor
    """(B, F) the candidate that was chosen last"""
    target: Tensor
    """(B, 36, F) the panorama where to leave the route; zeros without a route"""
    may_ask: Tensor
    """(B,) whether help is available here"""


class HannaDecision(NamedTuple):
    """What B agents decide in one step."""

    walk: Tensor
    """(B, A) logits, -inf at padding"""
    ask: Tensor
    """(B, 2) logits of going on and of requesting help; -inf for a request where no help is available"""
    reasons: Tensor
    """(B, 3) logits of `REASONS`"""
    memory: Tensor
    """(B, T, H) embeddings of all observations, this step included"""
    attention: Tensor
    """(B, L) over the tokens of the instruction"""


class HannaNetwork(nn.Module):
    """One attention layer over the text, one over the agent's history, and two heads: where to go, whether to ask."""

    def __init__(self, config: HannaConfig, inputs: int, vocabulary: int | None, features: int, slots: int) -> None:
        """inputs: width of the token states that come in; unused with a `vocabulary`, whose tokens are embedded here.
        features: F. slots: the largest A."""
        super().__init__()
        hidden = config.hidden
        size = TransformerSize(
            layers=1,
            hidden=hidden,
            heads=config.heads,
            feed_forward=4 * hidden,
            positions=1,
            dropout=config.dropout,
            init=1 / math.sqrt(hidden),
            vocabulary=1,
        )
        self.scale = math.sqrt(hidden)
        self.words = nn.Embedding(vocabulary, hidden) if vocabulary else nn.Linear(inputs, hidden)
        self.text = Block(size, BERT)
        self.views, self.slot = nn.Linear(features, hidden), nn.Linear(features, hidden)
        self.step = nn.Linear(3 * hidden, hidden)
        self.history = Block(size, BERT)
        self.heed = SoftDotAttention(hidden, hidden)
        self.walk_query = nn.Linear(hidden, hidden)
        self.ask = nn.Sequential(nn.Linear(hidden + slots, hidden), nn.ReLU(), nn.Linear(hidden, 2 + len(REASONS)))
        self.slots, self.dropout = slots, nn.Dropout(config.dropout)
        for part in (self.text, self.history):
            initialise(part, size.init)

    def read(self, x: Tensor, mask: Tensor) -> InstructionStates:
        """x: (B, L, D) token states, or (B, L) tokens; mask: (B, L). Returns states (B, L, H)."""
        x = self.words(x) * self.scale
        x = self.dropout(x + sinusoids(torch.arange(x.shape[1], device=x.device), x.shape[2]))
        return InstructionStates(self.text(x, mask[:, None, None]), mask)

    def forward(
        self, instruction: InstructionStates, observation: HannaObservation, memory: Tensor | None
    ) -> HannaDecision:
        """memory: (B, T - 1, H) of the steps before; None at the first."""
        query = instruction.states[:, 0] if memory is None else memory[:, -1]
        views, target = (self._look(query, panorama) for panorama in (observation.panorama, observation.target))
        time = torch.tensor(0 if memory is None else memory.shape[1], device=query.device)
        x = self.step(self.dropout(torch.cat([views, target, self.slot(observation.previous)], dim=-1)))
        x = (x + sinusoids(time, x.shape[1]))[:, None]
        memory = x if memory is None else torch.cat([memory, x], dim=1)
        now = self.history(x, context=memory)  # the query is this step alone
        state, attention = self.heed(now, instruction.states, instruction.mask)
        state = self.dropout(state[:, 0])
        scores = self.slot(observation.candidates) @ self.walk_query(state)[..., None] / self.scale
        walk = scores[..., 0].masked_fill(~observation.valid, -torch.inf)
        chances = F.pad(walk.detach().softmax(dim=-1), (0, self.slots - walk.shape[1]))
        ask, reasons = self.ask(torch.cat([state, chances], dim=-1)).split([2, len(REASONS)], dim=-1)
        never = torch.stack([torch.zeros_like(observation.may_ask), ~observation.may_ask], dim=-1)
        return HannaDecision(walk, ask.masked_fill(never, -torch.inf), reasons, memory, attention[:, 0])

    def _look(self, query: Tensor, panorama: Tensor) -> Tensor:
        """(B, H) attention of a query (B, H) over panoramas (B, 36, F)."""
        views = self.views(panorama)
        weights = (views @ query[..., None] / self.scale).softmax(dim=1)
        return (weights * views).sum(dim=1)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """(..., width) of positions (...): sines and cosines of wavelengths from 2π to 20,000π (Vaswani et al. 2017)."""
    rates = torch.exp(-math.log(10_000) * torch.arange(0, width, 2, device=positions.device) / width)
    angles = positions[..., None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
