"""Every field of the speaker's and the synthesis' configs changes something."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genera.engine.ranks import Ranks
from genera.methods.prevalent.speaker.config import SpeakerConfig, SynthesisConfig
from genera.methods.prevalent.speaker.data import SpeakerData
from genera.methods.prevalent.speaker.synthesis import synthesise
from genera.methods.prevalent.speaker.training import build_speaker, speaker_stage, teacher_forcing
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData

SPEAKER = SpeakerConfig(hidden=16, embedding=8, dropout=0.0, feature_dropout=0.0, max_words=60, batch_size=8)
SYNTHESIS = SynthesisConfig(samples=2, share=0.004, max_words=6, shard_size=20, batch_size=16)

OTHER_SPEAKER = {
    "variant": "follower", "hidden": 32, "embedding": 4, "dropout": 0.5, "feature_dropout": 0.5,
    "optimiser": "sgd", "lr": 1e-2, "weight_decay": 1.0, "batch_size": 16, "max_words": 5,
    "word_vectors": Path("vectors.txt"),
}  # fmt: skip
OTHER_SYNTHESIS = {
    "split": "val_unseen", "samples": 3, "share": 0.008, "environment_dropout": 0.2, "temperature": 1.0,
    "max_words": 3, "exclude": True, "shard_size": 30, "batch_size": 8, "seed": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig())


def test_no_field_is_forgotten():
    assert set(OTHER_SPEAKER) == {field.name for field in fields(SpeakerConfig)}
    assert set(OTHER_SYNTHESIS) == {field.name for field in fields(SynthesisConfig)}


def learnt(data, config):
    """The words' weights after two steps on one batch, and how many rows the stage asks for."""
    torch.manual_seed(0)
    speaker = build_speaker(config, data.assets).train()
    stage = speaker_stage(speaker, config, data.assets)
    (player,) = stage.players().values()
    batch = SpeakerData(data, config.max_words).examples("valid").batch(np.arange(8))
    for _ in range(2):
        loss = teacher_forcing(speaker, batch)["loss"]
        loss.backward()
        player.optimiser.step()
        player.optimiser.zero_grad()
    return stage.batch_size, speaker.decoder.output.weight.detach().numpy().tobytes()


@pytest.mark.parametrize("name", OTHER_SPEAKER)
def test_fields_of_the_speaker(data, name):
    assert learnt(data, replace(SPEAKER, **{name: OTHER_SPEAKER[name]})) != learnt(data, SPEAKER)


@pytest.fixture(scope="module")
def speaker(data):
    torch.manual_seed(0)
    speaker = build_speaker(SPEAKER, data.assets)
    with torch.no_grad():
        for parameter in speaker.parameters():
            parameter.normal_(std=0.5)
    return speaker


def written(speaker, data, config, folder):
    """The shards, by name."""
    list(synthesise(speaker, config, data, folder, Ranks(0, 1, torch.device("cpu"))))
    return {shard.name: shard.read_bytes() for shard in folder.glob("[0-9]*.json")}


@pytest.fixture(scope="module")
def plain(speaker, data, tmp_path_factory):
    return written(speaker, data, SYNTHESIS, tmp_path_factory.mktemp("fields") / "plain")


@pytest.mark.parametrize("name", OTHER_SYNTHESIS)
def test_fields_of_the_synthesis(speaker, data, plain, name, tmp_path):
    assert written(speaker, data, replace(SYNTHESIS, **{name: OTHER_SYNTHESIS[name]}), tmp_path / "other") != plain
