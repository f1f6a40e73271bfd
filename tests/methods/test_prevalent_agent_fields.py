"""Every field of the agents' configs does something. A new field fails here until it says what shows it."""

from dataclasses import fields, replace

import pytest
import torch

from genera.methods.prevalent.agents.config import AgentConfig
from genera.methods.prevalent.speaker.config import SpeakerConfig
from genera.methods.prevalent.speaker.training import build_speaker
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from navigation_agents import HANNA, NDH, R2R, hanna_agent, ndh_agent, r2r_agent, step_of

MAKE = {"r2r": r2r_agent, "ndh": ndh_agent, "hanna": hanna_agent}
BASE = {
    "r2r": replace(R2R, hidden=8, context=8, embedding=8, horizon=4, batch_size=4),
    "ndh": replace(NDH, hidden=8, context=8, embedding=8, horizon=4, batch_size=4, sampled=0.5),
    "hanna": replace(HANNA, hidden=8, heads=2, horizon=6, evaluation_horizon=6, batch_size=4),
}

SHARED = {
    "reader": {"reader": "own"},
    "modality": {"modality": "language"},
    "batch_size": {"batch_size": 8},
    "optimiser": {"optimiser": "sgd"},
    "lr": {"lr": 1e-2},
    "weight_decay": {"weight_decay": 0.5},
    "hidden": {"hidden": 16},
    "dropout": {"dropout": 0.5},
    "horizon": {"horizon": 2},
}
RECURRENT = {
    "unfreeze": {"unfreeze": 0.5},
    "unfrozen_lr": {"unfrozen_lr": 1e-2},
    "context": {"context": 16},
    "embedding": {"embedding": 16},
    "feature_dropout": {"feature_dropout": 0.5},
}
EFFECTS = {
    "r2r": SHARED
    | RECURRENT
    | {
        "imitation": {"imitation": 1.0},
        "reinforcement": {"reinforcement": 0.5},
        "discount": {"discount": 0.1},
        "entropy": {"entropy": 1.0},
        "back_translation": {"back_translation": True},
        "imitation_synthetic": {"imitation_synthetic": 0.1},
        "environment_dropout": {"environment_dropout": 0.1},
    },
    "ndh": SHARED
    | RECURRENT
    | {
        "history": {"history": "target"},
        "sampled": {"sampled": 0.0},
    },
    "hanna": SHARED
    | {
        "heads": {"heads": 4},
        "evaluation_horizon": {"evaluation_horizon": 3},
        "repeat_penalty": {"repeat_penalty": 5.0},
        "uncertain": {"uncertain": 10.0},
    },
}  # fmt: skip
NEEDS = {
    "embedding": {"reader": "own"},
    "unfrozen_lr": {"unfreeze": 0.5},
    "imitation_synthetic": {"back_translation": True},
    "environment_dropout": {"back_translation": True},
}
"""What else must be set for a field to matter."""


@pytest.fixture(scope="module")
def opened():
    """opened(task) → a little of its data."""
    sources = {"r2r": "world:houses", "ndh": "world:houses-ndh", "hanna": "world:houses-hanna"}
    made = {}

    def data(task):
        if task not in made:
            made[task] = NavigationData.open(NavigationConfig(data=sources[task], limit=40))
        return made[task]

    return data


def shown(task, config, data):
    """What a run with this config does: its stages, the weights after a few steps, and its validation."""
    more = {}
    if task == "r2r" and config.back_translation:
        torch.manual_seed(0)
        more["speaker"] = build_speaker(SpeakerConfig(hidden=8, embedding=8), data.assets)
    agent = MAKE[task](data.assets, config, **more)
    stages = agent.stages(1.0)
    episodes = agent.data(data, None)
    torch.manual_seed(1)
    for stage in stages:
        unfrozen = stage.name == "unfreeze"
        step = step_of(agent, unfrozen)
        stream = episodes.stream("train", config.batch_size, seed=0)
        for index in range(2):
            step.begin(index, 0.0)
            stage.update(stream.batch(index), step)
    weights = torch.cat([p.detach().flatten() for p in agent.network.parameters()])
    with torch.no_grad():
        agent.network.eval()
        terms = agent.validate(episodes.stream("valid", 10, seed=0).batch(0), step_of(agent))
    return [(stage.name, stage.share, stage.batch_size) for stage in stages], weights.tolist(), str(terms)


@pytest.mark.parametrize("task", MAKE)
def test_every_field_is_listed(task):
    assert set(EFFECTS[task]) == {field.name for field in fields(AgentConfig().of(task))}


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in MAKE for name in EFFECTS[task]])
def test_every_field_does_something(task, name, opened):
    data = opened(task)
    before = replace(BASE[task], **NEEDS.get(name, {}))
    after = replace(before, **EFFECTS[task][name])
    assert not after.check()
    assert shown(task, before, data) != shown(task, after, data)


@pytest.mark.parametrize("task", MAKE)
def test_the_same_config_does_the_same(task, opened):
    assert shown(task, BASE[task], opened(task)) == shown(task, BASE[task], opened(task))


@pytest.mark.parametrize(
    ("task", "change", "complaint"),
    [
        ("r2r", {"batch_size": 0}, "--agent.r2r.batch-size must be at least 1, got 0"),
        ("r2r", {"unfreeze": 0.5, "reader": "own"}, "--agent.r2r.unfreeze needs the prevalent reader"),
        ("r2r", {"back_translation": True, "batch_size": 5}, "--agent.r2r.batch-size must be even with back-transl"),
        ("r2r", {"back_translation": True, "modality": "vision"}, "--agent.r2r.back-translation needs views and instr"),
        ("r2r", {"imitation": -1.0}, "--agent.r2r.imitation must not be negative, got -1.0"),
        ("ndh", {"context": 5}, "--agent.ndh.context must be even, got 5"),
        ("ndh", {"sampled": 1.5}, "--agent.ndh.sampled must lie in [0, 1], got 1.5"),
        ("hanna", {"heads": 3}, "--agent.hanna.hidden 8 must be a multiple of heads 3"),
    ],
)
def test_bad_values_are_named(task, change, complaint):
    (found,) = AgentConfig(**{task: replace(BASE[task], **change)}).check()
    assert found.startswith(complaint)
