"""Rollouts of HANNA's agent: at each step it walks, or requests help and is given a route to follow.

Shapes: B agents, T steps, A actions (slots, STOP first), L tokens, R routes of the helper.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genera.methods.prevalent.agents.episodes import EpisodeBatch
from genera.methods.prevalent.agents.hanna_network import HannaNetwork, HannaObservation
from genera.methods.prevalent.agents.network import InstructionStates
from genera.methods.prevalent.agents.rollouts import chosen_candidates, draw_actions, stop_features
from genera.methods.prevalent.encoder.network import NavigationEncoder


class HannaStep(NamedTuple):
    """One step of B agents, or, stacked, T steps: then the fields have the axis T after B."""

    walk: Tensor
    """(B, A) logits of the actions"""
    ask: Tensor
    """(B, 2) logits of going on and of requesting help"""
    reasons: Tensor
    """(B, 3) logits of `hanna_network.REASONS`"""
    attention: Tensor
    """(B, L) over the tokens of the text that the agent follows"""
    actions: Tensor
    """(B,) slots; not taken where help is requested"""
    asked: Tensor
    """(B,) bool: help is requested"""
    teacher: Tensor
    """(B,) slots that lead to the current target"""
    active: Tensor
    """(B,) bool: the agent has not ended its task before"""
    may_ask: Tensor
    """(B,) bool: help is available at the node"""
    node: Tensor
    """(B,) where the decision is made"""
    neighbours: Tensor
    """(B, A) nodes that the slots lead to"""
    metres: Tensor
    """(B,) to the current target: where to leave the route, or the nearest goal"""
    segment: Tensor
    """(B,) number of the segment of the rollout; a request and the end of a route begin a new one"""
    route: Tensor
    """(B,) the route that the agent follows, -1 for the task itself"""

    @classmethod
    def stack(cls, steps: Sequence[Self]) -> Self:
        return cls(*(torch.stack(values, dim=1) for values in zip(*steps, strict=True)))


class HannaTrace(NamedTuple):
    """Rollouts of B agents, at most T steps long. Steps after an agent has ended its task are not `active`."""

    steps: HannaStep
    """stacked"""
    nodes: Tensor
    """(B, T + 1)"""


class Guidance(NamedTuple):
    """The routes that B agents follow."""

    route: Tensor
    """(B,) number of the route, -1 for the task itself"""
    depart: Tensor
    """(B,) node where to leave the route"""


def hanna_rollout(
    network: HannaNetwork,
    encoder: NavigationEncoder | None,
    batch: EpisodeBatch,
    horizon: int,
    uniform: Tensor | None = None,
) -> HannaTrace:
    """Let the agents of a batch walk and request help until all have ended their task, for at most `horizon` steps.

    uniform: (B, T, 3) in [0, 1), from which actions, requests and routes are sampled; None for the likeliest ones.
    """
    town, node, view = batch.town, batch.node, batch.view
    help_available = torch.zeros_like(town.first, dtype=torch.bool)
    if batch.assistant is not None:
        help_available = torch.from_numpy(batch.assistant.helper.can_request).to(node.device)
    guidance, segment = Guidance(torch.full_like(node, -1), depart=node), torch.zeros_like(node)
    ended = torch.zeros_like(node, dtype=torch.bool)
    instructions = CurrentInstructions(network, encoder, batch)
    previous, memory = stop_features(batch), None
    steps, nodes = [], [node]

    for t in range(horizon):
        u_action, u_ask, u_route = (None, None, None) if uniform is None else uniform[:, t].unbind(dim=1)
        guided = guidance.route >= 0
        metres, target = _target(batch, node, guidance)

        # Decide.
        may_ask = help_available[node]
        observation = _observe(batch, node, view, previous, guidance, may_ask)
        decision = network(instructions.current, observation, memory)
        memory = decision.memory
        action = _choose(decision.walk, u_action)
        asked = ~ended & (_choose(decision.ask, u_ask) == 1)
        steps.append(
            HannaStep(
                walk=decision.walk,
                ask=decision.ask,
                reasons=decision.reasons,
                attention=decision.attention,
                actions=action,
                asked=asked,
                teacher=town.expert(node, view, target),
                active=~ended,
                may_ask=may_ask,
                node=node,
                neighbours=town.candidates(node, view)[0],
                metres=metres,
                segment=segment,
                route=guidance.route,
            )
        )

        # Walk. STOP on a route returns to the task; STOP on the task ends it.
        taken = torch.where(ended | asked, 0, action)
        stopped = ~ended & ~asked & (action == 0)
        previous = chosen_candidates(observation.candidates, taken)
        node, view = town.move(node, view, taken)
        route_before, guidance = guidance.route, guidance._replace(route=torch.where(stopped, -1, guidance.route))

        # Ask. The helper names the first node of a route, to which the agent moves.
        if not node.is_meta and bool(asked.any()):
            start, guidance = _request(batch, asked, node, guidance, u_route)
            node, view = start, town.move(node, view, town.slot_to(node, view, start))[1]

        segment = segment + (asked | (stopped & guided))
        ended = ended | (stopped & ~guided)
        instructions.follow(guidance.route, changed=guidance.route != route_before)
        nodes.append(node)
        if node.is_meta or bool(ended.all()):  # as in `rollouts.rollout`
            break
    return HannaTrace(HannaStep.stack(steps), torch.stack(nodes, dim=1))


def _target(batch: EpisodeBatch, node: Tensor, guidance: Guidance) -> tuple[Tensor, Tensor]:
    """(B,) metres to the current target, and its node: where to leave the route, or the nearest goal."""
    guided = guidance.route >= 0
    metres, goal = batch.town.nearest(node, batch.goals)
    metres = torch.where(guided, batch.town.distance(node, guidance.depart), metres)
    return metres, torch.where(guided, guidance.depart, goal)


def _observe(
    batch: EpisodeBatch, node: Tensor, view: Tensor, previous: Tensor, guidance: Guidance, may_ask: Tensor
) -> HannaObservation:
    factors = None if batch.feature_factors is None else batch.feature_factors[:, None]
    sight = batch.town.observe(node, view, factors)
    guided = guidance.route >= 0
    target = batch.town.panorama(guidance.depart, view, factors) * guided[:, None, None]
    return HannaObservation(sight.panorama, sight.candidates, sight.valid, previous, target, may_ask)


def _choose(logits: Tensor, uniform: Tensor | None) -> Tensor:
    logits = logits.detach()
    return logits.argmax(dim=-1) if uniform is None else draw_actions(logits, uniform)


def _request(
    batch: EpisodeBatch, asked: Tensor, node: Tensor, guidance: Guidance, uniform: Tensor | None
) -> tuple[Tensor, Guidance]:
    """Nodes (B,) and guidance after the helper has answered those who asked. uniform: (B,), breaks ties."""
    assert batch.assistant
    rows = asked.nonzero()[:, 0]
    ties = None if uniform is None else uniform[rows].cpu().numpy()
    answer = batch.assistant.helper.answer(node[rows].cpu().numpy(), batch.goals[rows].cpu().numpy(), ties)

    def updated(values: Tensor, new: NDArray[np.int64]) -> Tensor:
        return values.index_put((rows,), torch.from_numpy(new).to(values.device))

    return updated(node, answer.start), Guidance(
        updated(guidance.route, answer.route), updated(guidance.depart, answer.depart)
    )


class CurrentInstructions:
    """The text that each of B agents follows: its task, or the route that it was given last.

    A task is encoded once, a route whenever it is given. The frozen text layers need not run again for a route whose
    outputs the assistant holds.
    """

    current: InstructionStates

    def __init__(self, network: HannaNetwork, encoder: NavigationEncoder | None, batch: EpisodeBatch) -> None:
        self._network, self._encoder, self._assistant = network, encoder, batch.assistant
        self._routes = batch.tokens[:1] if batch.assistant is None else batch.assistant.tokens.to(batch.tokens.device)
        self._width = max(batch.tokens.shape[1], self._routes.shape[1])
        self._task = self.current = self._read(batch.tokens)

    def follow(self, route: Tensor, changed: Tensor) -> None:
        """Follow the routes (B,) from now on, -1 for the task. changed: (B,) rows whose text differs from before."""
        if route.is_meta or not bool(changed.any()):
            return
        to_task = changed & (route < 0)
        states = torch.where(to_task[:, None, None], self._task.states, self.current.states)
        mask = torch.where(to_task[:, None], self._task.mask, self.current.mask)
        rows = (changed & ~to_task).nonzero()[:, 0]
        if len(rows):
            new = self._read(self._routes[route[rows]], route[rows])
            states, mask = states.index_put((rows,), new.states), mask.index_put((rows,), new.mask)
        self.current = InstructionStates(states, mask)

    def _read(self, tokens: Tensor, route: Tensor | None = None) -> InstructionStates:
        """Encode texts (N, L), trimmed to the longest of them; the states are padded to the common width.

        route: (N,) numbers of the routes whose texts these are; None for tasks.
        """
        if not tokens.is_meta:
            tokens = tokens[:, : int((tokens != 0).sum(dim=1).max())]
        states, mask = self._network.read(self._inputs(tokens, route), tokens != 0)
        padding = self._width - tokens.shape[1]
        return InstructionStates(F.pad(states, (0, 0, 0, padding)), F.pad(mask, (0, padding)))

    @torch.no_grad()
    def _inputs(self, tokens: Tensor, route: Tensor | None) -> Tensor:
        """The network's inputs: tokens (N, L), or their states (N, L, D) in the frozen text layers."""
        if self._encoder is None:
            return tokens
        if route is not None and self._assistant and self._assistant.states is not None:
            return self._assistant.states[route, : tokens.shape[1]]
        return self._encoder.text(tokens, tokens != 0)
