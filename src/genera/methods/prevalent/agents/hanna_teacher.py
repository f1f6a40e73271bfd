"""What HANNA's agent should have done (Nguyen & Daumé 2019): when to request help, judged in hindsight, and which
mistakes it repeats.

Shapes: B agents, T steps. (t, s) are pairs of steps of one rollout.
"""

import math

import torch
from torch import Tensor

from genera.methods.prevalent.agents.hanna_rollouts import HannaStep

ACTIONS = 37
"""36 views and STOP: the uncertainty of a choice is its entropy as a share of log 37, as published."""


def help_labels(steps: HannaStep, uncertain: float) -> tuple[Tensor, Tensor]:
    """Whether the agent should have requested help, (B, T), and which of `hanna_network.REASONS` hold, (B, T, 3).

    lost: the agent was nearer to the target at an earlier step of the same segment, and never came as near again.
    uncertain_wrong: the likeliest action was wrong, with an entropy of at least `uncertain` · log 37.
    already_asked: it has requested help at this viewpoint before, so it should not again.
    """
    times = torch.arange(steps.segment.shape[1], device=steps.segment.device)
    same_segment = (steps.segment[:, :, None] == steps.segment[:, None]) & steps.active[:, None]  # (B, t, s)
    metres = steps.metres[:, None].expand(same_segment.shape).masked_fill(~same_segment, torch.inf)
    nearest = metres <= metres.amin(dim=2, keepdim=True)
    lost = times > torch.where(nearest & same_segment, times, -1).amax(dim=2)

    log_p = steps.walk.log_softmax(dim=-1)
    entropy = -(log_p.exp() * log_p.masked_fill(torch.isinf(log_p), 0.0)).sum(dim=-1)
    wrong = steps.walk.argmax(dim=-1) != steps.teacher
    uncertain_wrong = wrong & (entropy >= uncertain * math.log(ACTIONS))

    same_node = steps.node[:, :, None] == steps.node[:, None]
    already_asked = (same_node & (times < times[:, None]) & steps.asked[:, None]).any(dim=2)

    should_ask = (lost | uncertain_wrong) & ~already_asked & steps.may_ask
    return should_ask, torch.stack([lost, uncertain_wrong, already_asked], dim=-1)


def repeated_mistakes(steps: HannaStep) -> Tensor:
    """(B, T) mean log-probability of the neighbours that were wrongly chosen before, at the same node under the same
    instruction; 0 where there are none."""
    times = torch.arange(steps.segment.shape[1], device=steps.segment.device)
    mistaken = steps.active & ~steps.asked & (steps.actions != steps.teacher)
    same_node = steps.node[:, :, None] == steps.node[:, None]
    same_instruction = steps.route[:, :, None] == steps.route[:, None]
    chosen = steps.neighbours.gather(2, steps.actions[..., None])[..., 0]
    # The slot of step t that leads to the neighbour chosen at step s: slots depend on the heading.
    slot = (steps.neighbours[:, :, None] == chosen[:, None, :, None]).int().argmax(dim=-1)  # (B, t, s)
    repeated = same_node & same_instruction & mistaken[:, None] & (times < times[:, None])
    repeated &= slot != steps.teacher[:, :, None]
    log_p = steps.walk.log_softmax(dim=-1).gather(2, torch.where(repeated, slot, 0))
    return (log_p * repeated).sum(dim=2) / repeated.sum(dim=2).clamp(min=1)
