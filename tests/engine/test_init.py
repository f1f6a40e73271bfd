"""--init: a run that begins with the weights and assets of another."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import small_methods
from genera.engine import checkpoint, registry
from genera.engine.train import train
from genera.errors import GeneraError


def weights(folder, which="last"):
    return load_file(checkpoint.pick(folder.checkpoints, which) / "weights.safetensors")


@pytest.fixture
def config():
    _, config = registry.preset("small-gan:tiny")
    return replace(config, train=replace(config.train, steps=6, checkpoint_every=1, keep=9, device="cpu"))


@pytest.fixture
def first(config, tmp_path):
    return train(config, tmp_path / "first")


def test_it_begins_where_the_other_ended(config, first, tmp_path):
    still = replace(config.model, lr=1e-9)
    second = train(replace(config, model=still, train=replace(config.train, init=str(first.path))), tmp_path / "second")
    for name, value in weights(second).items():
        torch.testing.assert_close(value, weights(first)[name], rtol=0, atol=1e-6)


def test_its_assets_are_those_of_the_other(config, first, tmp_path):
    small_methods.RingAssets(5.0).save(first.assets)
    second = train(replace(config, train=replace(config.train, init=str(first.path))), tmp_path / "second")
    assert small_methods.RingAssets.load(second.assets).radius == 5.0


def test_the_other_is_needed_only_once(config, first, tmp_path):
    begun = replace(config, train=replace(config.train, init=str(first.path)))
    whole = train(begun, tmp_path / "whole")
    broken = train(begun, tmp_path / "broken")
    shutil.rmtree(first.path)
    train(begun, tmp_path / "broken", resume="3")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name])


def test_errors_name_the_run(config, first, tmp_path):
    with pytest.raises(GeneraError, match="nowhere is no run folder"):
        train(replace(config, train=replace(config.train, init=str(tmp_path / "nowhere"))), tmp_path / "a")
    other = registry.preset("small-two-stage:tiny")[1]
    with pytest.raises(GeneraError, match="is a run of small-gan, and small-two-stage is to be trained"):
        train(replace(other, train=replace(other.train, init=str(first.path))), tmp_path / "b")
    shutil.rmtree(first.checkpoints)
    with pytest.raises(GeneraError, match="has no checkpoint yet"):
        train(replace(config, train=replace(config.train, init=str(first.path))), tmp_path / "c")
