"""Every field of Prevalent does something. A new field fails here until it says, in EFFECTS, what it changes."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genera.engine import registry
from genera.engine.config import TrainConfig
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.methods.prevalent.config import PrevalentConfig
from genera.methods.prevalent.method import Prevalent
from genera.methods.prevalent.speaker.synthesis import synthesise
from genera.methods.prevalent.speaker.training import build_speaker
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from training import TINY_PREVALENT, replaced

ALONE = Ranks(0, 1, torch.device("cpu"))
DATA = NavigationConfig(view_size=8, angle_size=4, limit=60, vocabulary=300)
BASE: dict[str, object] = {
    **{key.removeprefix("model."): value for key, value in TINY_PREVALENT.items() if key.startswith("model.")},
    **{f"agent.ndh.{name}": value for name, value in (("hidden", 16), ("context", 16), ("horizon", 3))},
    **{f"agent.hanna.{name}": value for name, value in (("hidden", 16), ("horizon", 3), ("evaluation_horizon", 3))},
    **{f"agent.{task}.batch_size": 4 for task in ("r2r", "ndh", "hanna")},
    **{f"agent.{task}.dropout": 0.0 for task in ("r2r", "ndh", "hanna")},
    "agent.r2r.horizon": 3,
    "pretrain.synthetic": 0.0,
    "pretrain.batch_size": 8,
}
WORLDS = {"r2r": "world:houses", "ndh": "world:houses-ndh", "hanna": "world:houses-hanna"}

EFFECTS: dict[str, tuple[object, dict[str, object]]] = {
    # field → another value, and what must be set for it to count
    "stages": (["pretrain"], {}),
    "shares": ((1.0, 1.0, 5.0), {}),
    "task": ("ndh", {"stages": ["finetune"]}),
    "speaker.variant": ("follower", {}),
    "speaker.hidden": (32, {}),
    "speaker.embedding": (4, {}),
    "speaker.dropout": (0.5, {}),
    "speaker.feature_dropout": (0.5, {}),
    "speaker.optimiser": ("sgd", {}),
    "speaker.lr": (1e-2, {}),
    "speaker.weight_decay": (0.1, {}),
    "speaker.batch_size": (4, {}),
    "speaker.max_words": (5, {}),
    "speaker.word_vectors": (Path("nowhere.txt"), {}),
    "synthesis.split": ("val_unseen", {}),
    "synthesis.samples": (3, {}),
    "synthesis.share": (0.002, {}),
    "synthesis.environment_dropout": (0.8, {}),
    "synthesis.temperature": (0.5, {}),
    "synthesis.max_words": (3, {}),
    "synthesis.exclude": (True, {}),
    "synthesis.shard_size": (10, {}),
    "synthesis.batch_size": (5, {}),
    "synthesis.seed": (1, {}),
    "encoder.layers": (2, {}),
    "encoder.cross_layers": (1, {}),
    "encoder.hidden": (32, {}),
    "encoder.heads": (2, {}),
    "encoder.feed_forward": (16, {}),
    "encoder.positions": (90, {}),
    "encoder.dropout": (0.5, {}),
    "encoder.init": (0.5, {}),
    "encoder.pretrained": ("nowhere.safetensors", {}),
    "pretrain.lr": (1e-2, {}),
    "pretrain.optimiser": ("sgd", {}),
    "pretrain.betas": ((0.0, 0.9), {}),
    "pretrain.eps": (1e-2, {}),
    "pretrain.momentum": (0.5, {"pretrain.optimiser": "sgd"}),
    "pretrain.nesterov": (True, {"pretrain.optimiser": "sgd", "pretrain.momentum": 0.5}),
    "pretrain.smoothing": (0.5, {"pretrain.optimiser": "rmsprop"}),
    "pretrain.average_from": (1, {}),  # adamw refuses it
    "pretrain.patience": (1, {}),
    "pretrain.schedule": ("inverse-sqrt", {"pretrain.warmup": 1}),
    "pretrain.decay_after": (0.5, {"pretrain.warmup": 0}),
    "pretrain.decay_to": (0.5, {"pretrain.warmup": 0}),
    "pretrain.decay_every": (1, {"pretrain.schedule": "step", "pretrain.warmup": 0, "pretrain.decay_every": 5}),
    "pretrain.decay_factor": (0.1, {"pretrain.schedule": "step", "pretrain.warmup": 0, "pretrain.decay_every": 1}),
    "pretrain.warmup": (0, {}),
    "pretrain.weight_decay": (0.5, {}),
    "pretrain.batch_size": (4, {}),
    "pretrain.mlm_weight": (0.5, {}),
    "pretrain.ap_weight": (0.0, {}),
    "pretrain.masked": (0.5, {}),
    "pretrain.synthetic": (0.5, {"pretrain.source": "nowhere"}),
    "pretrain.source": ("nowhere", {"pretrain.synthetic": 0.5, "pretrain.source": "elsewhere"}),
    "pretrain.clip": (0.01, {}),
    "pretrain.steps_of_one": (2, {}),
}
COMMON = {
    "modality": ("vision", {}),
    "batch_size": (2, {}),
    "optimiser": ("sgd", {}),
    "lr": (1e-2, {}),
    "weight_decay": (0.1, {}),
    "hidden": (32, {}),
    "dropout": (0.5, {}),
    "horizon": (2, {}),
    "reader": ("own", {}),
}
FOLLOWER = COMMON | {
    "unfreeze": (0.5, {}),
    "unfrozen_lr": (1e-2, {"unfreeze": 0.5}),
    "context": (32, {}),
    "embedding": (8, {"reader": "own"}),
    "feature_dropout": (0.5, {}),
}
AGENTS: dict[str, dict[str, tuple[object, dict[str, Any]]]] = {
    "r2r": FOLLOWER
    | {
        "imitation": (0.5, {}),
        "reinforcement": (0.5, {}),
        "discount": (0.5, {}),
        "entropy": (0.5, {}),
        "back_translation": (True, {}),
        "imitation_synthetic": (0.1, {"back_translation": True}),
        "environment_dropout": (0.8, {"back_translation": True}),
    },
    "ndh": FOLLOWER | {"history": ("target", {}), "sampled": (1.0, {})},
    "hanna": COMMON
    | {
        "heads": (2, {}),
        "evaluation_horizon": (2, {}),
        "repeat_penalty": (0.0, {"horizon": 10}),
        "uncertain": (0.9, {}),
    },
}
for _task, _table in AGENTS.items():
    EFFECTS |= {
        f"agent.{_task}.{name}": (value, {f"agent.{_task}.{key}": also for key, also in others.items()})
        for name, (value, others) in _table.items()
    }


def names(kind: Any, prefix: str = "") -> list[str]:
    """Dotted names of all fields, nested ones in place of the field that holds them."""
    found = []
    for f in fields(kind):
        value = getattr(kind, f.name)
        found += names(value, f"{prefix}{f.name}.") if is_dataclass(value) else [prefix + f.name]
    return found


def test_every_field_is_in_the_table():
    assert sorted(EFFECTS) == sorted(names(PrevalentConfig()))


@pytest.fixture(scope="module")
def data(opened):
    found: dict[str, NavigationData] = {}

    def of(task: str) -> NavigationData:
        if task not in found:
            opened(WORLDS[task])
            assets = found["r2r"].assets if found else None
            found[task] = NavigationData.open(replace(DATA, data=WORLDS[task]), assets)
        return found[task]

    of("r2r")
    return of


def configured(changes: dict[str, object]) -> PrevalentConfig:
    config = registry.preset("prevalent:tiny")[1].model
    for key, value in (BASE | changes).items():
        config = replaced(config, key.split("."), value)
    return config


def effect(config: PrevalentConfig, section: str, data: NavigationData, folder: Path) -> Any:
    """What a run of the stages that a section is about leaves: batches, terms, weights, files. Or why it refuses."""
    torch.manual_seed(0)
    if section == "synthesis":
        speaker = build_speaker(config.speaker, data.assets)
        list(synthesise(speaker, config.synthesis, data, folder, ALONE))
        return {file.name: file.read_text() for file in folder.glob("0*.json")}
    try:
        method = Prevalent(config, data.assets)
        if config.encoder.pretrained or config.speaker.word_vectors:
            method.initialise()
        return [_trained(method, stage, data, folder) for stage in method.stages() if stage.name != "synthesis"]
    except GeneraError as error:
        return str(error)


def _trained(method: Prevalent, stage: Any, data: NavigationData, folder: Path) -> Any:
    torch.manual_seed(0)
    train = TrainConfig(steps=10, batch_size=4, clip=0.0)
    step = Step(train, ALONE, enrol(stage.players(), train, ALONE))
    own = stage.data(data, folder)
    for index in range(2):
        step.begin(index, index / 10)
        stage.update(own.stream("train", stage.batch_size, seed=0).batch(index), step)
    method.eval()
    with torch.no_grad():
        probe = Step(train, ALONE, {})
        probe.begin(0, 0.0)
        valid = stage.validate(own.stream("valid", 4, seed=0).batch(0), probe)
    return stage.name, stage.share, step.averages(), {name: float(value) for name, value in valid.items()}


SECTIONS = {"speaker": ["speaker"], "encoder": ["pretrain"], "pretrain": ["pretrain"], "agent": ["finetune"]}


@pytest.fixture(scope="module")
def effect_of(data, tmp_path_factory):
    """effect_of(section, changes) → what they leave; the same ones are run once."""
    known: dict[str, Any] = {}

    def run(section: str, changes: dict[str, object], again: int = 0) -> Any:
        key = repr((section, sorted(changes.items(), key=lambda item: item[0]), again))
        if key not in known:
            config = configured(changes)
            known[key] = effect(config, section, data(config.task), tmp_path_factory.mktemp(section))
        return known[key]

    return run


def told(name: str) -> tuple[str, dict[str, object]]:
    """The section of a field, and the stages that it is about."""
    section, _, field = name.partition(".")
    task = field.partition(".")[0] if section == "agent" else "r2r"
    return section, {"stages": SECTIONS.get(section, ["pretrain", "finetune"]), "task": task}


@pytest.mark.parametrize("name", EFFECTS)
def test_every_field_has_an_effect(name, effect_of):
    (value, needs), (section, stages) = EFFECTS[name], told(name)
    assert effect_of(section, stages | needs) != effect_of(section, stages | needs | {name: value})


@pytest.mark.parametrize("name", ["speaker.lr", "synthesis.seed", "pretrain.lr", "agent.r2r.lr", "agent.hanna.lr"])
def test_nothing_else_varies(name, effect_of):
    section, stages = told(name)
    assert effect_of(section, stages) == effect_of(section, stages, again=1)
