"""Walks of a batch of agents, whoever chooses the actions: the teacher, the agent's distribution, or its best guess.

Axes: B agents, T steps, A slots, L tokens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from genera.methods.prevalent.agents.episodes import EpisodeBatch
from genera.methods.prevalent.agents.network import Choice, Reading, Seen, State
from genera.methods.prevalent.encoder.network import NavigationEncoder
from genera.navigation.environments import RADIUS

Choose = Callable[[int, Tensor, Tensor], Tensor]
"""(step, logits (B, A), the teacher's actions (B,)) → actions (B,)"""


class Instructions(Protocol):
    """B instructions on a walk."""

    def at(self, panorama: Tensor, active: Tensor) -> Reading:
        """As they are read where the agents see panorama (B, V, F); what is not active (B,) does not count."""
        ...


class OwnInstructions:
    """Read once, by the agent's own embeddings; what is seen changes nothing."""

    def __init__(self, agent: Any, tokens: Tensor) -> None:
        self._reading = agent.reader(tokens, tokens != 0)

    def at(self, panorama: Tensor, active: Tensor) -> Reading:
        return self._reading


class EncodedInstructions:
    """Read anew at every step with what is seen there. Only the cross layers depend on that: the text layers run once
    for a walk."""

    def __init__(self, agent: Any, encoder: NavigationEncoder, tokens: Tensor, unfrozen: bool) -> None:
        """unfrozen: let gradients into the cross layers, and into nothing else of the encoder."""
        self._agent, self._encoder, self._unfrozen = agent, encoder, unfrozen
        self._mask = tokens != 0
        with torch.no_grad():
            self._text = encoder.text(tokens, self._mask)

    def at(self, panorama: Tensor, active: Tensor) -> Reading:
        if active.is_meta or bool(active.all()):
            return self._read(self._text, self._mask, panorama)
        rows = active.nonzero()[:, 0]
        found = self._read(self._text[rows], self._mask[rows], panorama[rows]).states
        return Reading(found.new_zeros(len(active), *found.shape[1:]).index_put((rows,), found), self._mask)

    def _read(self, text: Tensor, mask: Tensor, panorama: Tensor) -> Reading:
        with torch.no_grad():
            image = self._encoder.image(panorama)
        with torch.set_grad_enabled(self._unfrozen and torch.is_grad_enabled()):
            states = self._encoder.cross(text, mask, image)
        return self._agent.reader(states, mask)


@contextmanager
def evaluating(module: nn.Module | None) -> Iterator[None]:
    """What does not learn drops nothing either."""
    if module is None:
        yield
        return
    before = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(before)


class Trace(NamedTuple):
    """What happened on B walks of at most T steps; nothing happens after an agent's STOP."""

    logits: Tensor
    """(B, T, A)"""
    actions: Tensor
    """(B, T)"""
    teacher: Tensor
    """(B, T)"""
    active: Tensor
    """(B, T) bool: the agent had not stopped before"""
    rewards: Tensor
    """(B, T) ±1 for a move nearer or farther, ±2 for STOP inside or outside 3 m (Tan et al. 2019)"""
    hidden: Tensor
    """(B, T + 1, H) states, the last of them after the walk"""
    nodes: Tensor
    """(B, T + 1)"""
    views: Tensor
    """(B, T + 1)"""
    attention: Tensor
    """(B, T, L)"""


def rollout(
    agent: Any,
    instructions: Instructions,
    batch: EpisodeBatch,
    choose: Choose,
    horizon: int,
    *,
    look_on: bool = False,
) -> Trace:
    """Let the agents of a batch walk until all have stopped, or for `horizon` steps.

    look_on: compute the state after the last step where somebody still walks, which only a critic asks for; zeros
    otherwise.
    """
    town, node, view = batch.town, batch.node, batch.view
    before = nothing(batch)
    ended = torch.zeros_like(node, dtype=torch.bool)
    metres, goal = town.nearest(node, batch.goals)
    steps: list[tuple[Tensor, ...]] = []
    nodes, views = [node], [view]
    state = None

    for t in range(horizon):
        choice, seen = consider(agent, instructions, batch, node, view, before, state, ~ended)
        state = choice.state
        teacher = town.expert(node, view, goal)
        action = torch.where(ended, 0, choose(t, choice.logits.detach(), teacher))
        before = seen.candidates.gather(1, action[:, None, None].expand(-1, 1, seen.candidates.shape[2]))[:, 0]
        node, view = town.move(node, view, action)
        last, (metres, goal) = metres, town.nearest(node, batch.goals)
        nearer = (metres < last).float() - (metres > last).float()
        reward = torch.where(action == 0, torch.where(metres < RADIUS, 2.0, -2.0), nearer)
        active = ~ended
        steps.append((choice.logits, action, teacher, active, reward * active, state.hidden, choice.attention))
        nodes.append(node)
        views.append(view)
        ended = ended | (action == 0)
        # Shapes alone take the first step. Else one wait for the device a step, against idle steps to the horizon.
        over = node.is_meta or bool(ended.all())
        if over:
            break
    logits, actions, teachers, actives, rewards, hidden, attention = map(torch.stack, zip(*steps, strict=True))
    after = torch.zeros_like(hidden[0])
    if look_on and not over:
        after = consider(agent, instructions, batch, node, view, before, state, ~ended)[0].state.hidden
    return Trace(
        logits=logits.transpose(0, 1),
        actions=actions.T,
        teacher=teachers.T,
        active=actives.T,
        rewards=rewards.T,
        hidden=torch.cat([hidden, after[None]]).transpose(0, 1),
        nodes=torch.stack(nodes, dim=1),
        views=torch.stack(views, dim=1),
        attention=attention.transpose(0, 1),
    )


def nothing(batch: EpisodeBatch) -> Tensor:
    """(B, F) what an agent that has just begun has chosen before: what STOP looks like."""
    return batch.town.candidate_features(batch.node, batch.view)[:, 0]


def consider(
    agent: Any,
    instructions: Instructions,
    batch: EpisodeBatch,
    node: Tensor,
    view: Tensor,
    before: Tensor,
    state: State | None,
    active: Tensor,
) -> tuple[Choice, Seen]:
    """What the agents at nodes (B,) with views (B,) would do, and what they see there.

    before: (B, F) the candidates that they chose last. state: None at the start. active: (B,) who counts.
    """
    sight = batch.town.observe(node, view, None if batch.pictures is None else batch.pictures[:, None])
    panorama = sight.panorama[:, :: agent.stride]
    dropped = None if batch.pictures is None else batch.synthetic
    seen = Seen(panorama, sight.candidates, sight.valid, batch.town.gaze(view), before, dropped)
    reading = instructions.at(panorama, active)
    return agent(agent.start(reading) if state is None else state, reading, seen), seen


# -- who chooses ------------------------------------------------------------------------------------------------------


def as_taught(t: int, logits: Tensor, teacher: Tensor) -> Tensor:
    return teacher


def greedy(t: int, logits: Tensor, teacher: Tensor) -> Tensor:
    return logits.argmax(dim=-1)


def sampled(uniform: Tensor) -> Choose:
    """Actions drawn from the agent's distribution with U[0, 1) numbers (B, T)."""
    return lambda t, logits, teacher: draw(logits, uniform[:, t])


def mixed(uniform: Tensor, share: float, coin: Tensor) -> Choose:
    """Scheduled sampling: where coin (B, T), of U[0, 1), is below `share`, a drawn action, else the teacher's."""
    return lambda t, logits, teacher: torch.where(coin[:, t] < share, draw(logits, uniform[:, t]), teacher)


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """One action (B,) of each distribution (B, A), by the inverse of its cumulative sum at uniform (B,) in [0, 1)."""
    cumulative = logits.softmax(dim=-1).cumsum(dim=-1)
    action = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(dim=-1)
    return torch.minimum(action, torch.isfinite(logits).sum(dim=-1) - 1)
