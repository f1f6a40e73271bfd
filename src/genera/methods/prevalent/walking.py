"""What fine-tuning shares over the tasks: stages, players, instructions in the reading, validation, walks on request."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genera.data.navigation.dataset import NavigationAssets, NavigationData
from genera.data.navigation.episodes import EpisodeTable
from genera.engine.method import Player, Stage, Terms
from genera.engine.step import Step
from genera.methods.prevalent.agent_config import FollowerConfig
from genera.methods.prevalent.encoder import NavigationEncoder
from genera.methods.prevalent.episodes import EpisodeBatch, EpisodeData, Episodes, sketch
from genera.methods.prevalent.rollouts import (
    EncodedInstructions,
    Instructions,
    OwnInstructions,
    Trace,
    greedy,
    rollout,
    still,
)
from genera.uses.capabilities import Walk
from genera.worlds.environments import RADIUS

ROWS_AT_ONCE = 64
"""Episodes walked together outside of training."""


class Walking:
    """A recurrent agent, what reads its instructions, and how the two learn. Not a module: the method owns both."""

    def __init__(self, agent: nn.Module, encoder: NavigationEncoder | None, config: Any, assets: NavigationAssets) -> None:
        """encoder: None where the agent has embeddings of its own."""
        self.agent, self.encoder, self.config, self.assets = agent, encoder, config, assets

    # -- what each task says ------------------------------------------------------------------------------------------

    def optimiser(self, parameters: list[nn.Parameter], lr: float) -> Optimizer:
        raise TypeError(f"{type(self).__name__} must define optimiser()")

    def loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        raise TypeError(f"{type(self).__name__} must define loss()")

    def texts(self, table: EpisodeTable) -> list[str]:
        """What the agent reads of each episode."""
        return [episode.instruction for episode in table.episodes]

    def episodes(self, table: EpisodeTable, data: NavigationData) -> Episodes:
        texts = self.texts(table) if self.config.modality != "language" else ...
        return Episodes.of(table, data.town, self.assets.tokeniser, data.config.max_tokens, self.texts(table))
