"""Fine-tuning on R2R: imitation and advantage actor-critic (Tan et al. 2019; Hao et al. 2020), and back-translation in
environments with features dropped."""

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import RMSprop

from genera.engine.method import Player, Terms
from genera.engine.step import Step
from genera.methods.prevalent.agent import Follower
from genera.methods.prevalent.agent_config import R2RConfig
from genera.methods.prevalent.encoder import NavigationEncoder
from genera.methods.prevalent.episodes import EpisodeBatch
from genera.methods.prevalent.rollouts import Trace, as_taught, greedy, rollout, sampled
from genera.methods.prevalent.walking import Walking


class Following(Walking):
    """How the agent of R2R learns and walks."""

    def __init__(self, agent, encoder, config, assets, describe=None): ...
