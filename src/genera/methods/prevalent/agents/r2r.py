"""The agent of R2R, trained by imitation and advantage actor-critic (Tan et al. 2019; Hao et al. 2020), optionally with
back-translation under environmental dropout."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genera.engine.capabilities import Candidates
from genera.engine.player import Terms
from genera.engine.step import Step
from genera.methods.prevalent.agents.episodes import EpisodeBatch, Episodes
from genera.methods.prevalent.agents.finetuning import Agent, imitation_loss, stack_paths
from genera.methods.prevalent.agents.network import Critic, R2RNetwork
from genera.methods.prevalent.agents.rollouts import Trace, eval_mode, rollout, sampled, teacher_forced
from genera.methods.prevalent.agents.search import likeliest_routes
from genera.methods.prevalent.encoder.network import NavigationEncoder
from genera.methods.prevalent.speaker.inference import describe, environmental_dropout
from genera.methods.prevalent.speaker.network import Speaker
from genera.navigation.dataset import NavigationAssets, NavigationData
from genera.navigation.episodes import EpisodeTable
from genera.navigation.graphs import enumerate_paths
from genera.navigation.tokens import token_rows


class R2RAgent(Agent):
    """Follows instructions; also searches for its likeliest routes."""

    def __init__(
        self,
        network: R2RNetwork,
        encoder: NavigationEncoder | None,
        config: Any,
        assets: NavigationAssets,
        speaker: Speaker | None = None,
    ) -> None:
        """speaker: writes the instructions of synthetic paths; None without back-translation."""
        super().__init__(network, encoder, config, assets)
        self.critic, self.speaker = network.critic, speaker

    def loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        """L = w_IL L_IL + w_RL (L_actor + L_critic / 2 - w_H H), a mean over episodes.

        The imitation loss is summed over the steps of an episode, the actor-critic terms are averaged over them. The
        published loss averages these over all steps of the batch at once, which a batch split over ranks cannot do.
        """
        config, instructions = self.config, self.instructions(batch, unfrozen)
        imitation = imitation_loss(rollout(self.network, instructions, batch, teacher_forced, config.horizon))
        weight = torch.where(batch.synthetic, config.imitation_synthetic, config.imitation)
        loss, terms = (weight * imitation).mean(), {"imitation": imitation.mean()}
        if self.critic is not None:
            policy = sampled(step.uniform(len(batch), config.horizon))
            trace = rollout(self.network, instructions, batch, policy, config.horizon, bootstrap=True)
            actor, critic, entropy = actor_critic(trace, self.critic, config.discount)
            loss = loss + config.reinforcement * (actor + 0.5 * critic - config.entropy * entropy).mean()
            terms |= {"critic": critic.mean(), "entropy": entropy.mean(), "reward": trace.rewards.sum(dim=1).mean()}
        return {"loss": loss, **terms}

    # -- inference -----------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def likeliest_routes(self, table: EpisodeTable, data: NavigationData, count: int) -> Candidates:
        """Of every episode of a table; see `search.likeliest_routes`."""
        parts = [
            likeliest_routes(self.network, self.instructions(batch), batch, count, self.config.horizon)
            for batch in self.batches(table, data)
        ]
        most, longest = (max(part.nodes.shape[axis] for part in parts) for axis in (1, 2))
        return Candidates(
            nodes=np.concatenate([_pad(part.nodes, (most, longest), -1) for part in parts]),
            scores=np.concatenate([_pad(part.scores.double(), (most,), -np.inf) for part in parts]),
            explored=stack_paths([part.explored.cpu().numpy() for part in parts]),
        )

    # -- back-translation ---------------------------------------------------------------------------------------------

    def synthetic_episodes(self, data: NavigationData) -> Episodes | None:
        """Every path of the training scans that satisfies R2R's path rules, from a random start heading."""
        if self.speaker is None:
            return None
        scans = dict.fromkeys(episode.scan for episode in data.table("train").episodes)
        paths = enumerate_paths(data.graphs, list(scans))
        headings = np.random.default_rng(0).uniform(0, 2 * np.pi, len(paths))
        return Episodes.of_paths(paths, headings, data.town, data.config.max_tokens)

    def prepare(self, batch: EpisodeBatch, step: Step) -> EpisodeBatch:
        """Apply environmental dropout to the synthetic episodes, one mask for all of them, and let the
        speaker write their instructions from the remaining features."""
        if self.speaker is None or batch.ids.is_meta:
            return batch
        rows = batch.synthetic
        generator = torch.Generator().manual_seed(int(step.chance() * 2**53))
        uniform = torch.rand(batch.town.view_size, generator=generator).to(rows.device)
        factors = environmental_dropout(self.config.environment_dropout, uniform)
        town, nodes = batch.town, batch.paths[rows]
        with eval_mode(self.speaker):
            texts = describe(
                self.speaker, self.assets.words, town, nodes, views_along_paths(batch, rows), factors=factors
            )
        written = torch.from_numpy(token_rows(self.assets.tokeniser, texts, batch.max_tokens)).to(rows.device)
        width = max(batch.tokens.shape[1], written.shape[1])
        tokens = F.pad(batch.tokens, (0, width - batch.tokens.shape[1]))
        tokens[rows] = F.pad(written, (0, width - written.shape[1]))
        feature_factors = torch.where(rows[:, None], factors, torch.ones_like(factors))
        return replace(batch, tokens=tokens, feature_factors=feature_factors)


def _pad(values: Tensor, sizes: tuple[int, ...], padding: float) -> NDArray[Any]:
    """(B, *sizes) of values whose axes after the first may be shorter."""
    widths = [(0, size - length) for size, length in zip(sizes, values.shape[1:], strict=True)]
    return np.pad(values.cpu().numpy(), [(0, 0), *widths], constant_values=padding)


def views_along_paths(batch: EpisodeBatch, rows: Tensor) -> Tensor:
    """(R, T) the agent's view at each node of the reference paths of some rows; constant after the last node."""
    nodes, view = batch.paths[rows], batch.view[rows]
    views = [view]
    for here, there in zip(nodes.T, nodes.T[1:], strict=False):
        here = here.clamp(min=0)
        action = batch.town.slot_to(here, view, torch.where(there >= 0, there, here))
        view = batch.town.move(here, view, action)[1]
        views.append(view)
    return torch.stack(views, dim=1)


def actor_critic(trace: Trace, critic: Critic, discount: float) -> tuple[Tensor, Tensor, Tensor]:
    """Actor loss -log p(action) · (R - V), critic loss (R - V)² and entropy, (B,) each, averaged over the steps.

    R is the discounted return. Where the horizon cut a rollout off, the critic estimates the rest of it.
    """
    values = critic(trace.hidden)
    cut_off = trace.active[:, -1] & (trace.actions[:, -1] != 0)
    advantage = returns(trace.rewards, values[:, -1].detach() * cut_off, discount) - values[:, :-1]
    logs = trace.logits.log_softmax(dim=-1)
    chosen = logs.gather(2, trace.actions[..., None])[..., 0]
    entropy = -(logs.exp() * logs.masked_fill(torch.isinf(logs), 0.0)).sum(dim=-1)
    steps = trace.active.sum(dim=1)

    def mean(values: Tensor) -> Tensor:
        return (values * trace.active).sum(dim=1) / steps

    return mean(-chosen * advantage.detach()), mean(advantage.square()), mean(entropy)


def returns(rewards: Tensor, after: Tensor, discount: float) -> Tensor:
    """(B, T) R_t = Σ_k γ^k r_(t+k) + γ^(T-t) · after, of rewards (B, T) and the expected return (B,) after them."""
    length = rewards.shape[1]
    steps = torch.arange(length, device=rewards.device)
    gap = steps - steps[:, None]
    powers = torch.where(gap >= 0, discount ** gap.clamp(min=0), 0.0).to(rewards)
    return rewards @ powers.T + after[:, None] * discount ** (length - steps)
