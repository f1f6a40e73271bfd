"""Search with a trained follower: its likeliest routes to different places (state-factored search, Fried et al. 2018).

Axes: B agents, M nodes of the largest of their scans, A slots, K routes, T nodes of a route.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from genera.methods.prevalent.agents.episodes import EpisodeBatch
from genera.methods.prevalent.agents.network import State
from genera.methods.prevalent.agents.rollouts import Instructions, consider, nothing


class Routes(NamedTuple):
    nodes: Tensor
    """(B, K, T) from the start on, -1 after the last; nothing but -1 where an agent has fewer than K routes"""
    scores: Tensor
    """(B, K) log-probabilities with that of STOP, the likeliest first; -inf where there is no route"""
    explored: Tensor
    """(B, E) nodes in the order in which the agent looked around there, -1 after the last"""


@torch.inference_mode()
def likeliest_routes(agent: Any, instructions: Instructions, batch: EpisodeBatch, count: int, horizon: int) -> Routes:
    """The `count` likeliest routes of each agent, of at most `horizon` steps, no two of which end at the same node.

    Best first: of the ways that are open, the agent goes on with the likeliest, and a node keeps the first way that was
    gone on with. STOP there ends a route. An agent is done once `count` routes are likelier than every open way.
    """
    town, first = batch.town, batch.town.first[batch.node]
    width = int((town.first == first[:, None]).sum(dim=1).max())
    rows, start, nobody = torch.arange(len(batch), device=first.device), batch.node - first, width
    # By node, counted within its scan; column `nobody` takes what is not to be kept.
    score = torch.full((len(batch), width + 1), -torch.inf, device=first.device)
    view, parent, depth = (torch.zeros_like(score, dtype=torch.int64) for _ in range(3))
    closed, stop = torch.zeros_like(score, dtype=torch.bool), score.clone()
    score[rows, start], view[rows, start], parent[rows, start] = 0.0, batch.view, start
    memory: list[Tensor] = []
    explored, begun = [], nothing(batch)
    while True:
        best, at = score[:, :nobody].masked_fill(closed[:, :nobody], -torch.inf).max(dim=1)
        active = (stop >= best[:, None]).logical_and(stop.isfinite()).sum(dim=1) < count
        active &= best.isfinite()
        if not bool(active.any()):
            break
        node, looking = first + at, view[rows, at]
        state = State(*(table[rows, at] for table in memory)) if memory else None
        choice, _ = consider(agent, instructions, batch, node, looking, begun, state, active)
        memory = memory or [part.new_zeros(*score.shape, part.shape[1]) for part in choice.state]
        explored.append(torch.where(active, node, -1))

        logs = choice.logits.log_softmax(dim=-1)
        stop[rows, at] = torch.where(active, best + logs[:, 0], stop[rows, at])
        closed[rows, at] |= active
        there, views, valid = town.candidates(node, looking)
        place, reached = there - first[:, None], best[:, None] + logs
        going = active & (depth[rows, at] + 1 < horizon)  # one step is left for STOP
        better = valid & going[:, None] & ~closed.gather(1, place) & (reached > score.gather(1, place))
        better[:, 0] = False
        target = torch.where(better, place, nobody)
        score.scatter_(1, target, reached)
        view.scatter_(1, target, views)
        parent.scatter_(1, target, at[:, None].expand_as(target))
        depth.scatter_(1, target, (depth[rows, at] + 1)[:, None].expand_as(target))
        for table, part in zip(memory, choice.state, strict=True):
            table[rows[:, None], target] = part[:, None]
    scores, ends = stop[:, :nobody].topk(min(count, nobody), dim=1)
    found = _traced(ends, parent, depth.gather(1, ends), first)
    return Routes(found.masked_fill(~scores.isfinite()[..., None], -1), scores, torch.stack(explored, dim=1))


def _traced(ends: Tensor, parent: Tensor, steps: Tensor, first: Tensor) -> Tensor:
    """(B, K, T) the nodes of the ways to `ends` (B, K), each `steps` (B, K) long."""
    back = [ends]
    for _ in range(int(steps.max())):
        back.append(parent.gather(1, back[-1]))
    order = steps[..., None] - torch.arange(len(back), device=ends.device)
    nodes = torch.stack(back, dim=2).gather(2, order.clamp(min=0)) + first[:, None, None]
    return torch.where(order >= 0, nodes, -1)
