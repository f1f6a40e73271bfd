"""The agent of NDH: navigation from dialogue history (Thomason et al. 2019; Hao et al. 2020), trained by imitation with
scheduled sampling."""

import numpy as np
import torch
from numpy.typing import NDArray

from genera.engine.player import Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.methods.prevalent.agents.episodes import EpisodeBatch
from genera.methods.prevalent.agents.finetuning import Agent, imitation_loss
from genera.methods.prevalent.agents.rollouts import greedy, rollout, scheduled_sampling
from genera.navigation.episodes import DialogueEpisode, EpisodeTable, dialogue_text

HISTORY_TOKENS = {"none": 1, "target": 3, "oracle_ans": 70, "nav_q_oracle_ans": 80, "all": 300}
"""Tokens of each kind of history, [CLS] included. Longer histories lose their oldest words."""


class NDHAgent(Agent):
    """The data's `supervision` (planner, player, trusted) decides whose path the agent imitates."""

    def loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        """The imitation loss under scheduled sampling, averaged over the steps of each episode."""
        shape = len(batch), self.config.horizon
        policy = scheduled_sampling(step.uniform(*shape), self.config.sampled, step.uniform(*shape))
        trace = rollout(self.network, self.instructions(batch, unfrozen), batch, policy, self.config.horizon)
        return {"loss": (imitation_loss(trace) / trace.active.sum(dim=1)).mean()}

    def validate(self, batch: EpisodeBatch, step: Step) -> Terms:
        """Goal progress of greedy rollouts in metres. `loss`, which selects the best checkpoint, is minus that."""
        trace = rollout(self.network, self.instructions(batch), batch, greedy, self.config.horizon)
        before, after = (batch.town.nearest(trace.nodes[:, at], batch.regions)[0] for at in (0, -1))
        progress = torch.where(torch.isfinite(before), before - after, 0.0).float().mean()
        return {"loss": -progress, "goal_progress": progress}

    def tokens(self, table: EpisodeTable, max_tokens: int) -> NDArray[np.int64]:
        """Raises GeneraError for episodes without dialogues."""
        texts = []
        for episode in table.episodes:
            if not isinstance(episode, DialogueEpisode):
                raise GeneraError("the agent of NDH reads dialogues; give --data ndh:DIR or world:houses-ndh.")
            texts.append(dialogue_text(episode.turns, episode.target, self.config.history))
        return self.token_rows(texts, min(max_tokens, HISTORY_TOKENS[self.config.history]), keep="last")
