"""Fine-tuning on NDH: going on after a dialogue (Thomason et al. 2019; Hao et al. 2020), by scheduled sampling."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import Adamax, Optimizer

from genera.engine.player import Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.methods.prevalent.agents.episodes import EpisodeBatch
from genera.methods.prevalent.agents.finetuning import Walking, imitation
from genera.methods.prevalent.agents.rollouts import greedy, mixed, rollout
from genera.navigation.episodes import DialogueEpisode, EpisodeTable, dialogue_text

HISTORY_TOKENS = {"none": 1, "target": 3, "oracle_ans": 70, "nav_q_oracle_ans": 80, "all": 300}
"""Tokens that are read of each history, [CLS] included. The oldest words go first."""


class Dialogues(Walking):
    """How the agent of NDH learns. Whose path it learns from is the data's `supervision`."""

    def optimiser(self, parameters: list[nn.Parameter], lr: float) -> Optimizer:
        return Adamax(parameters, lr=lr, weight_decay=self.config.weight_decay)

    def loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        """The teacher's likelihood, averaged over the steps of an episode, on walks that it chooses most steps of."""
        shape = len(batch), self.config.horizon
        choose = mixed(step.uniform(*shape), self.config.sampled, step.uniform(*shape))
        walk = rollout(self.agent, self.instructions(batch, unfrozen), batch, choose, self.config.horizon)
        return {"loss": (imitation(walk) / walk.active.sum(dim=1)).mean()}

    def validate(self, batch: EpisodeBatch, step: Step) -> Terms:
        """Goal progress of greedy walks, in metres, and minus that as `loss`: the best checkpoint is the one that comes
        nearest."""
        walk = rollout(self.agent, self.instructions(batch), batch, greedy, self.config.horizon)
        before, after = (batch.town.nearest(walk.nodes[:, at], batch.regions)[0] for at in (0, -1))
        progress = torch.where(torch.isfinite(before), before - after, 0.0).float().mean()
        return {"loss": -progress, "goal_progress": progress}

    def tokens(self, table: EpisodeTable, longest: int) -> NDArray[np.int64]:
        """Raises GeneraError for episodes without dialogues."""
        texts = []
        for episode in table.episodes:
            if not isinstance(episode, DialogueEpisode):
                raise GeneraError("the agent of NDH reads dialogues; give --data ndh:DIR or world:houses-ndh.")
            texts.append(dialogue_text(episode.turns, episode.target, self.config.history))
        longest = min(longest, HISTORY_TOKENS[self.config.history])
        return self.rows(texts, longest, keep="last")
