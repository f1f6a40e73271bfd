"""Fine-tuning on R2R: imitation and advantage actor-critic (Tan et al. 2019; Hao et al. 2020), and back-translation in
environments with features dropped."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer, RMSprop

from genera.engine.capabilities import Candidates
from genera.engine.player import Terms
from genera.engine.step import Step
from genera.methods.prevalent.agents.episodes import EpisodeBatch, Episodes
from genera.methods.prevalent.agents.finetuning import Walking, imitation, stacked
from genera.methods.prevalent.agents.network import Critic, Follower
from genera.methods.prevalent.agents.rollouts import Trace, as_taught, evaluating, rollout, sampled
from genera.methods.prevalent.agents.search import likeliest_routes
from genera.methods.prevalent.encoder.network import NavigationEncoder
from genera.methods.prevalent.speaker.network import Speaker
from genera.methods.prevalent.speaker.training import describe, environment
from genera.navigation.dataset import NavigationAssets, NavigationData
from genera.navigation.episodes import EpisodeTable
from genera.navigation.graphs import enumerate_paths
from genera.navigation.tokens import token_rows


class Following(Walking):
    """How the agent of R2R learns."""

    def __init__(
        self,
        agent: Follower,
        encoder: NavigationEncoder | None,
        config: Any,
        assets: NavigationAssets,
        speaker: Speaker | None = None,
    ) -> None:
        """speaker: writes the instructions of synthetic paths, where there is back-translation."""
        super().__init__(agent, encoder, config, assets)
        self.critic, self.speaker = agent.critic, speaker

    def optimiser(self, parameters: list[nn.Parameter], lr: float) -> Optimizer:
        return RMSprop(parameters, lr=lr)

    def loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        """Means over episodes. The teacher's steps are summed over an episode, those of the agent averaged: the
        published loss averages over all steps of the batch together, which one that is spread over ranks cannot see."""
        config, instructions = self.config, self.instructions(batch, unfrozen)
        taught = imitation(rollout(self.agent, instructions, batch, as_taught, config.horizon))
        weight = torch.where(batch.synthetic, config.imitation_synthetic, config.imitation)
        loss, terms = (weight * taught).mean(), {"imitation": taught.mean()}
        if self.critic is not None:
            choose = sampled(step.uniform(len(batch), config.horizon))
            walk = rollout(self.agent, instructions, batch, choose, config.horizon, look_on=True)
            actor, critic, entropy = actor_critic(walk, self.critic, config.discount)
            loss = loss + config.reinforcement * (actor + 0.5 * critic - config.entropy * entropy).mean()
            terms |= {"critic": critic.mean(), "entropy": entropy.mean(), "reward": walk.rewards.sum(dim=1).mean()}
        return {"loss": loss, **terms}

    # -- use ----------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def likeliest_routes(self, table: EpisodeTable, data: NavigationData, count: int) -> Candidates:
        """Of every episode of a table; see `searching`."""
        found = [
            likeliest_routes(self.agent, self.instructions(batch), batch, count, self.config.horizon)
            for batch in self.batches(table, data)
        ]
        most, longest = (max(part.nodes.shape[axis] for part in found) for axis in (1, 2))
        return Candidates(
            nodes=np.concatenate([_padded(part.nodes, (most, longest), -1) for part in found]),
            scores=np.concatenate([_padded(part.scores.double(), (most,), -np.inf) for part in found]),
            explored=stacked([part.explored.cpu().numpy() for part in found]),
        )

    # -- back-translation ---------------------------------------------------------------------------------------------

    def synthetic(self, data: NavigationData) -> Episodes | None:
        """Every path of the training scans that R2R's rule allows, from a random first heading."""
        if self.speaker is None:
            return None
        scans = dict.fromkeys(episode.scan for episode in data.table("train").episodes)
        paths = enumerate_paths(data.graphs, list(scans))
        headings = np.random.default_rng(0).uniform(0, 2 * np.pi, len(paths))
        return Episodes.of_paths(paths, headings, data.town, data.config.max_tokens)

    def prepare(self, batch: EpisodeBatch, step: Step) -> EpisodeBatch:
        """Drop features from the views of the synthetic episodes, the same ones from all, and let the speaker write
        their instructions in what is left."""
        if self.speaker is None or batch.ids.is_meta:
            return batch
        rows = batch.synthetic
        dice = torch.Generator().manual_seed(int(step.chance() * 2**53))
        uniform = torch.rand(batch.town.view_size, generator=dice).to(rows.device)
        factors = environment(self.config.environment_dropout, uniform)
        town, nodes = batch.town, batch.paths[rows]
        with evaluating(self.speaker):
            texts = describe(self.speaker, self.assets.words, town, nodes, views_of(batch, rows), factors=factors)
        written = torch.from_numpy(token_rows(self.assets.tokeniser, texts, batch.longest)).to(rows.device)
        width = max(batch.tokens.shape[1], written.shape[1])
        tokens = F.pad(batch.tokens, (0, width - batch.tokens.shape[1]))
        tokens[rows] = F.pad(written, (0, width - written.shape[1]))
        pictures = torch.where(rows[:, None], factors, torch.ones_like(factors))
        return replace(batch, tokens=tokens, pictures=pictures)


def _padded(values: Tensor, sizes: tuple[int, ...], padding: float) -> NDArray[Any]:
    """(B, *sizes) of values whose other axes may be shorter."""
    missing = [(0, size - have) for size, have in zip(sizes, values.shape[1:], strict=True)]
    return np.pad(values.cpu().numpy(), [(0, 0), *missing], constant_values=padding)


def views_of(batch: EpisodeBatch, rows: Tensor) -> Tensor:
    """(R, T) the views on the way along the paths of some rows; those after the last node stay."""
    nodes, view = batch.paths[rows], batch.view[rows]
    views = [view]
    for here, there in zip(nodes.T, nodes.T[1:], strict=False):
        here = here.clamp(min=0)
        action = batch.town.slot_to(here, view, torch.where(there >= 0, there, here))
        view = batch.town.move(here, view, action)[1]
        views.append(view)
    return torch.stack(views, dim=1)


def actor_critic(walk: Trace, critic: Critic, discount: float) -> tuple[Tensor, Tensor, Tensor]:
    """(B,) each, averaged over the steps of a walk: -log p(action) · advantage, (R - V)², and the entropy.

    R is the discounted return, from the critic's own guess on where the horizon cut a walk off.
    """
    values = critic(walk.hidden)
    going = walk.active[:, -1] & (walk.actions[:, -1] != 0)
    expected = returns(walk.rewards, values[:, -1].detach() * going, discount)
    difference = expected - values[:, :-1]
    logs = walk.logits.log_softmax(dim=-1)
    chosen = logs.gather(2, walk.actions[..., None])[..., 0]
    entropy = -(logs.exp() * logs.masked_fill(torch.isinf(logs), 0.0)).sum(dim=-1)
    steps = walk.active.sum(dim=1)

    def mean(values: Tensor) -> Tensor:
        return (values * walk.active).sum(dim=1) / steps

    return mean(-chosen * difference.detach()), mean(difference.square()), mean(entropy)


def returns(rewards: Tensor, after: Tensor, discount: float) -> Tensor:
    """(B, T) R_t = Σ_k γ^k r_(t+k) + γ^(T-t) · after, of rewards (B, T) and what is expected after them (B,)."""
    length = rewards.shape[1]
    steps = torch.arange(length, device=rewards.device)
    gap = steps - steps[:, None]
    powers = torch.where(gap >= 0, discount ** gap.clamp(min=0), 0.0).to(rewards)
    return rewards @ powers.T + after[:, None] * discount ** (length - steps)
