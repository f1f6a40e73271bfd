"""Rollouts of a batch of agents under a policy: teacher forcing, greedy, sampled, or scheduled sampling.

Shapes: B agents, T steps, A actions (slots, STOP first), L tokens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from genera.measures.navigation import SUCCESS_RADIUS
from genera.methods.prevalent.agents.episodes import EpisodeBatch
from genera.methods.prevalent.agents.network import AgentState, Decision, InstructionStates, Observation
from genera.methods.prevalent.encoder.network import NavigationEncoder

Policy = Callable[[int, Tensor, Tensor], Tensor]
"""(step, logits (B, A), the teacher's actions (B,)) → actions (B,)"""


class Instructions(Protocol):
    """The instructions of B agents during a rollout."""

    def at(self, panorama: Tensor, active: Tensor) -> InstructionStates:
        """Their states, given the panoramas (B, V, F) that the agents see. Rows not in `active` (B,) are undefined."""
        ...


class EmbeddedInstructions:
    """Read once by the network's own word embeddings, independent of what is seen."""

    def __init__(self, network: Any, tokens: Tensor) -> None:
        self._reading = network.reader(tokens, tokens != 0)

    def at(self, panorama: Tensor, active: Tensor) -> InstructionStates:
        return self._reading


class EncodedInstructions:
    """Read by the image-text encoder, again at each step with the views seen there. Only the cross layers depend on the
    views: the text layers run once for a rollout."""

    def __init__(self, network: Any, encoder: NavigationEncoder, tokens: Tensor, unfrozen: bool) -> None:
        """unfrozen: compute gradients of the cross layers; the rest of the encoder has none."""
        self._network, self._encoder, self._unfrozen = network, encoder, unfrozen
        self._mask = tokens != 0
        with torch.no_grad():
            self._text = encoder.text(tokens, self._mask)

    def at(self, panorama: Tensor, active: Tensor) -> InstructionStates:
        if active.is_meta or bool(active.all()):
            return self._read(self._text, self._mask, panorama)
        rows = active.nonzero()[:, 0]
        states = self._read(self._text[rows], self._mask[rows], panorama[rows]).states
        padded = states.new_zeros(len(active), *states.shape[1:]).index_put((rows,), states)
        return InstructionStates(padded, self._mask)

    def _read(self, text: Tensor, mask: Tensor, panorama: Tensor) -> InstructionStates:
        with torch.no_grad():
            image = self._encoder.image(panorama)
        with torch.set_grad_enabled(self._unfrozen and torch.is_grad_enabled()):
            states = self._encoder.cross(text, mask, image)
        return self._network.reader(states, mask)


@contextmanager
def eval_mode(module: nn.Module | None) -> Iterator[None]:
    """Put a module into eval mode for a while, which switches its dropout off."""
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
    """Rollouts of B agents, at most T steps long. Steps after an agent's STOP are not `active`."""

    logits: Tensor
    """(B, T, A)"""
    actions: Tensor
    """(B, T)"""
    teacher: Tensor
    """(B, T) the expert's actions"""
    active: Tensor
    """(B, T) bool: the agent had not stopped before"""
    rewards: Tensor
    """(B, T) ±1 for a move towards or away from the goal, ±2 for STOP inside or outside 3 m (Tan et al. 2019)"""
    hidden: Tensor
    """(B, T + 1, H) states; the last one follows the last step"""
    nodes: Tensor
    """(B, T + 1)"""
    views: Tensor
    """(B, T + 1)"""
    attention: Tensor
    """(B, T, L)"""


def rollout(
    network: Any,
    instructions: Instructions,
    batch: EpisodeBatch,
    policy: Policy,
    horizon: int,
    *,
    bootstrap: bool = False,
) -> Trace:
    """Roll out a policy until all agents have stopped, for at most `horizon` steps.

    bootstrap: also compute the state after the last step if an agent has not stopped, from which a critic estimates the
    remaining return. It is zero otherwise.
    """
    town, node, view = batch.town, batch.node, batch.view
    previous = stop_features(batch)
    ended = torch.zeros_like(node, dtype=torch.bool)
    metres, goal = town.nearest(node, batch.goals)
    steps: list[tuple[Tensor, ...]] = []
    nodes, views = [node], [view]
    state = None

    for t in range(horizon):
        decision, observation = decide(network, instructions, batch, node, view, previous, state, ~ended)
        state = decision.state
        teacher = town.expert(node, view, goal)
        action = torch.where(ended, 0, policy(t, decision.logits.detach(), teacher))
        previous = chosen_candidates(observation.candidates, action)
        node, view = town.move(node, view, action)
        metres_before, (metres, goal) = metres, town.nearest(node, batch.goals)
        progress = (metres < metres_before).float() - (metres > metres_before).float()
        reward = torch.where(action == 0, torch.where(metres < SUCCESS_RADIUS, 2.0, -2.0), progress)
        active = ~ended
        steps.append((decision.logits, action, teacher, active, reward * active, state.hidden, decision.attention))
        nodes.append(node)
        views.append(view)
        ended = ended | (action == 0)
        # On the meta device one step is enough. Elsewhere one host sync a step saves the idle steps to the horizon.
        over = node.is_meta or bool(ended.all())
        if over:
            break
    logits, actions, teachers, actives, rewards, hidden, attention = map(torch.stack, zip(*steps, strict=True))
    after = torch.zeros_like(hidden[0])
    if bootstrap and not over:
        after = decide(network, instructions, batch, node, view, previous, state, ~ended)[0].state.hidden
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


def stop_features(batch: EpisodeBatch) -> Tensor:
    """(B, F) features of STOP, which stands for the previous action at the start of a rollout."""
    return batch.town.candidate_features(batch.node, batch.view)[:, 0]


def decide(
    network: Any,
    instructions: Instructions,
    batch: EpisodeBatch,
    node: Tensor,
    view: Tensor,
    previous: Tensor,
    state: AgentState | None,
    active: Tensor,
) -> tuple[Decision, Observation]:
    """The decisions of agents at nodes (B,) with views (B,), and what they observe there.

    previous: (B, F) features of the actions taken last. state: None at the start. active: (B,) agents whose decisions
    are needed; those of the others are undefined.
    """
    factors = batch.feature_factors
    sight = batch.town.observe(node, view, None if factors is None else factors[:, None])
    observation = Observation(
        panorama=sight.panorama[:, :: network.stride],
        candidates=sight.candidates,
        valid=sight.valid,
        gaze=batch.town.gaze(view),
        previous=previous,
        dropped=None if factors is None else batch.synthetic,
    )
    instruction = instructions.at(observation.panorama, active)
    return network(network.start(instruction) if state is None else state, instruction, observation), observation


def chosen_candidates(candidates: Tensor, action: Tensor) -> Tensor:
    """(B, F) of candidates (B, A, F) the ones that actions (B,) choose."""
    return candidates.gather(1, action[:, None, None].expand(-1, 1, candidates.shape[2]))[:, 0]


# -- policies ------------------------------------------------------------------------------------------------------


def teacher_forced(t: int, logits: Tensor, teacher: Tensor) -> Tensor:
    return teacher


def greedy(t: int, logits: Tensor, teacher: Tensor) -> Tensor:
    return logits.argmax(dim=-1)


def sampled(uniform: Tensor) -> Policy:
    """Actions sampled from the network's distribution with uniform (B, T) in [0, 1)."""
    return lambda t, logits, teacher: draw_actions(logits, uniform[:, t])


def scheduled_sampling(uniform: Tensor, share: float, coin: Tensor) -> Policy:
    """A sampled action where coin (B, T) in [0, 1) is below `share`, the teacher's elsewhere (Bengio et al. 2015)."""
    return lambda t, logits, teacher: torch.where(coin[:, t] < share, draw_actions(logits, uniform[:, t]), teacher)


def draw_actions(logits: Tensor, uniform: Tensor) -> Tensor:
    """Actions (B,) sampled from logits (B, A): the inverse cumulative distribution at uniform (B,) in [0, 1)."""
    cumulative = logits.softmax(dim=-1).cumsum(dim=-1)
    action = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(dim=-1)
    return torch.minimum(action, torch.isfinite(logits).sum(dim=-1) - 1)
