"""Small agents of the three tasks on the world of houses, and training steps on them."""

from dataclasses import replace

import torch

from genera.blocks.size import TransformerSize
from genera.engine.config import TrainConfig
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.methods.prevalent.agents.config import HannaConfig, NDHConfig, R2RConfig
from genera.methods.prevalent.agents.hanna import HannaAgent
from genera.methods.prevalent.agents.hanna_network import HannaNetwork
from genera.methods.prevalent.agents.ndh import NDHAgent
from genera.methods.prevalent.agents.network import NDHNetwork, R2RNetwork
from genera.methods.prevalent.agents.r2r import R2RAgent
from genera.methods.prevalent.encoder.network import NavigationEncoder

ALONE = Ranks(0, 1, torch.device("cpu"))
R2R = R2RConfig(hidden=32, context=32, embedding=16, dropout=0.0, feature_dropout=0.0, horizon=10, lr=3e-3)
NDH = NDHConfig(hidden=32, context=32, embedding=16, dropout=0.0, horizon=10, lr=3e-3)
HANNA = HannaConfig(hidden=32, heads=4, dropout=0.0, horizon=10, evaluation_horizon=12, lr=3e-3)


def encoder_of(assets, layers=1):
    size = TransformerSize(
        layers=layers, hidden=32, heads=2, feed_forward=64, positions=300, init=0.15, vocabulary=assets.tokeniser.size
    )
    return NavigationEncoder(size, 2, assets.feature_size)


def r2r_agent(assets, config=R2R, seed=0, speaker=None, **changes):
    """The agent of R2R with these changes of its config, as it learns."""
    torch.manual_seed(seed)
    config = replace(config, **changes)
    encoder = encoder_of(assets) if config.reader == "prevalent" else None
    own = None if encoder else assets.tokeniser.size
    inputs = encoder.size if encoder else config.embedding
    agent = R2RNetwork(config, inputs, own, assets.feature_size, assets.angle_size)
    return R2RAgent(agent, encoder, config, assets, speaker)


def ndh_agent(assets, config=NDH, seed=0, **changes):
    """As `following`, the agent of NDH."""
    torch.manual_seed(seed)
    config = replace(config, **changes)
    encoder = encoder_of(assets) if config.reader == "prevalent" else None
    own = None if encoder else assets.tokeniser.size
    inputs = encoder.size if encoder else config.embedding
    agent = NDHNetwork(config, inputs, own, assets.feature_size, assets.angle_size)
    return NDHAgent(agent, encoder, config, assets)


def hanna_agent(assets, config=HANNA, seed=0, **changes):
    """As `following`, the agent of HANNA."""
    torch.manual_seed(seed)
    config = replace(config, **changes)
    encoder = encoder_of(assets) if config.reader == "prevalent" else None
    own = None if encoder else assets.tokeniser.size
    return HannaAgent(HannaNetwork(config, 32, own, assets.feature_size, assets.slots), encoder, config, assets)


def step_of(agent, unfrozen=False, index=0, **train):
    """A training step of these players; `step.begin` has been called."""
    config = TrainConfig(steps=100, clip=40.0, **train)
    step = Step(config, ALONE, enrol(agent.players(unfrozen), config, ALONE))
    step.begin(index, 0.0)
    return step


def learn(agent, batch, steps, unfrozen=False):
    """So many updates on one batch; returns the mean figures of the last ten."""
    step = step_of(agent, unfrozen)
    for index in range(steps):
        if index == steps - 10:
            step.averages()
        step.begin(index, index / steps)
        agent.update(batch, step, unfrozen)
    step.check()
    return step.averages()
