"""State-factored search (Fried et al. 2018): the likeliest routes of a trained R2R agent that end at different nodes.

Shapes: B agents, M nodes of the largest scan, A actions (slots, STOP first), K routes, T nodes of a route.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from genera.methods.prevalent.agents.episodes import EpisodeBatch
from genera.methods.prevalent.agents.network import AgentState
from genera.methods.prevalent.agents.rollouts import Instructions, decide, stop_features


class Routes(NamedTuple):
    nodes: Tensor
    """(B, K, T) from the start, -1 after the last; all -1 where an agent has fewer than K routes"""
    scores: Tensor
    """(B, K) log-probabilities, STOP included, in descending order; -inf where there is no route"""
    explored: Tensor
    """(B, X) nodes in the order in which the search expanded them, -1 after the last"""


@torch.inference_mode()
def likeliest_routes(network: Any, instructions: Instructions, batch: EpisodeBatch, count: int, horizon: int) -> Routes:
    """The `count` likeliest routes of each agent, of at most `horizon` steps, no two of which end at the same node.

    Best-first search: each iteration expands the likeliest open partial route of each agent. The first route to be
    expanded at a node closes the node; STOP there completes a route. An agent has finished when it has `count` complete
    routes that are likelier than every open one.
    """
    town, first = batch.town, batch.town.first[batch.node]
    width = int((town.first == first[:, None]).sum(dim=1).max())
    rows, start, discard = torch.arange(len(batch), device=first.device), batch.node - first, width
    # Tables by node within its scan. Writes to the last column, `discard`, are dropped.
    score = torch.full((len(batch), width + 1), -torch.inf, device=first.device)
    view, parent, depth = (torch.zeros_like(score, dtype=torch.int64) for _ in range(3))
    closed, stop = torch.zeros_like(score, dtype=torch.bool), score.clone()
    score[rows, start], view[rows, start], parent[rows, start] = 0.0, batch.view, start
    states: list[Tensor] = []  # (B, M + 1, H) each
    explored, previous = [], stop_features(batch)
    while True:
        best, at = score[:, :discard].masked_fill(closed[:, :discard], -torch.inf).max(dim=1)
        active = (stop >= best[:, None]).logical_and(stop.isfinite()).sum(dim=1) < count
        active &= best.isfinite()
        if not bool(active.any()):
            break
        node, facing = first + at, view[rows, at]
        state = AgentState(*(table[rows, at] for table in states)) if states else None
        decision, _ = decide(network, instructions, batch, node, facing, previous, state, active)
        states = states or [part.new_zeros(*score.shape, part.shape[1]) for part in decision.state]
        explored.append(torch.where(active, node, -1))

        logs = decision.logits.log_softmax(dim=-1)
        stop[rows, at] = torch.where(active, best + logs[:, 0], stop[rows, at])
        closed[rows, at] |= active
        there, views, valid = town.candidates(node, facing)
        place, reached = there - first[:, None], best[:, None] + logs
        going = active & (depth[rows, at] + 1 < horizon)  # keep one step for STOP
        better = valid & going[:, None] & ~closed.gather(1, place) & (reached > score.gather(1, place))
        better[:, 0] = False
        target = torch.where(better, place, discard)
        score.scatter_(1, target, reached)
        view.scatter_(1, target, views)
        parent.scatter_(1, target, at[:, None].expand_as(target))
        depth.scatter_(1, target, (depth[rows, at] + 1)[:, None].expand_as(target))
        for table, part in zip(states, decision.state, strict=True):
            table[rows[:, None], target] = part[:, None]
    scores, ends = stop[:, :discard].topk(min(count, discard), dim=1)
    nodes = _backtrack(ends, parent, depth.gather(1, ends), first)
    return Routes(nodes.masked_fill(~scores.isfinite()[..., None], -1), scores, torch.stack(explored, dim=1))


def _backtrack(ends: Tensor, parent: Tensor, steps: Tensor, first: Tensor) -> Tensor:
    """(B, K, T) the nodes of the routes to `ends` (B, K), which are `steps` (B, K) long."""
    back = [ends]
    for _ in range(int(steps.max())):
        back.append(parent.gather(1, back[-1]))
    order = steps[..., None] - torch.arange(len(back), device=ends.device)
    nodes = torch.stack(back, dim=2).gather(2, order.clamp(min=0)) + first[:, None, None]
    return torch.where(order >= 0, nodes, -1)
