"""Frozen parts of Optimus: what is trained, and the features that are computed once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import genera
from genera.engine.config import RunConfig
from genera.engine.origin import Origin
from genera.engine.runtime import seed_all
from genera.methods.optimus import frozen as frozen_module
from genera.methods.optimus.config import OptimusConfig
from genera.methods.optimus.frozen import EncodedCorpus, encode
from genera.methods.optimus.method import Optimus

SHORT = {
    "data": "world:captions-small", "limit": 200, "vocabulary": 400, "steps": 6, "batch_size": 16, "log_every": 3,
    "validate_every": 3, "validate_batches": 1, "device": "cpu",
}  # fmt: skip


def configured(**changes: object) -> RunConfig:
    config = genera.configure("optimus:nano", **SHORT)
    return replace(config, model=replace(config.model, **changes))


@pytest.mark.parametrize("frozen", [("encoder",), ("decoder",), ("encoder", "decoder")])
def test_frozen_parts_keep_their_weights_and_the_rest_learns(frozen, tmp_path):
    torch.set_num_threads(1)
    run = genera.load(genera.train(configured(freeze=frozen), tmp_path / "run").path)
    seed_all(run.config.train.seed)
    start = Optimus(run.config.model, run.method.assets).network.state_dict()
    for name, tensor in run.method.network.state_dict().items():
        same = torch.equal(tensor, start[name])
        assert same == (name.partition(".")[0] in frozen), name


def test_cached_features_are_those_of_the_encoder(tmp_path):
    config = configured(freeze=("encoder",))
    run = genera.load(genera.train(config, tmp_path / "run").path)
    method = run.method
    corpus = method.dataset.open(run.config.data, method.assets)
    features = torch.from_numpy(encode(method.network, corpus)["train"].vectors)
    texts = corpus.items("train", 40)
    assert_close(features[:40], method.features(texts), atol=1e-5, rtol=1e-5)
    # standardised, they have mean 0 and variance 1 in every dimension
    h = (features - method.network.feature_mean) / method.network.feature_scale
    assert_close(h.mean(0), torch.zeros(64), atol=1e-4, rtol=0)
    assert_close(h.std(0), torch.ones(64), atol=1e-3, rtol=0)
    mean, _ = method.network.posterior(features[:40])
    assert_close(run.encode(texts).mean, mean, atol=1e-5, rtol=1e-5)


def test_queries_read_the_cached_states_as_they_read_the_encoder(tmp_path):
    config = configured(freeze=("encoder",), feature="attention", feature_queries=4)
    run = genera.load(genera.train(config, tmp_path / "run").path)
    network, corpus = run.method.network, run.method.dataset.open(run.config.data, run.method.assets)
    encoded = encode(network, corpus)["train"]
    assert encoded.vectors.dtype == np.float16
    batch = EncodedCorpus(corpus, {"train": encoded}).stream("train", 16, seed=0).batch(0)
    cached = network.summary(batch.features, batch.encoder != 0)
    assert_close(cached, network.features(batch.encoder), atol=5e-3, rtol=5e-3)  # of float16
    states = (torch.from_numpy(encoded.vectors).double() - network.feature_mean) / network.feature_scale
    assert_close(states.mean(0), torch.zeros(64).double(), atol=1e-3, rtol=0)
    assert_close(states.std(0), torch.ones(64).double(), atol=1e-3, rtol=0)
    # padding is not read: a longer batch gives the same features
    wide = torch.nn.functional.pad(batch.encoder, (0, 5))
    assert_close(network.features(wide), network.features(batch.encoder), atol=1e-5, rtol=1e-5)


def test_an_export_holds_what_is_read_of_the_frozen_encoder(tmp_path):
    config = configured(freeze=("encoder",), feature="attention", feature_queries=4)
    run = genera.load(genera.train(config, tmp_path / "run").path)
    genera.export_run(run, tmp_path / "export")
    folder = genera.import_run("optimus", tmp_path / "imported", Origin(source=str(tmp_path / "export")))
    again = genera.load(folder.path)
    texts = ["a red square", "two small green circles"]
    assert torch.equal(again.encode(texts).mean, run.encode(texts).mean)


def test_features_are_computed_once(tmp_path, monkeypatch):
    calls = []
    write = frozen_module._write
    monkeypatch.setattr(frozen_module, "_write", lambda *args: calls.append(args[2]) or write(*args))
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path / "cache"))
    config = configured(freeze=("encoder",))
    genera.train(config, tmp_path / "run")
    genera.train(replace(config, train=replace(config.train, steps=8)), tmp_path / "run")  # longer
    genera.train(replace(config, model=replace(config.model, latent_size=8)), tmp_path / "other")
    assert calls == ["train", "valid"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"memory_slots": 0}, "--memory-slots must be at least 1"),
        ({"memory_slots": 2, "injection": "embedding"}, "--memory-slots 2 needs --injection"),
    ],
)
def test_complaints(changes, words):
    (complaint,) = OptimusConfig(**changes).check()
    assert words in complaint


def test_memory_slots_take_positions_of_the_decoder():
    config = genera.configure("optimus:nano")
    model, data = replace(config.model, memory_slots=30), replace(config.data, max_tokens=100)
    assert model.check_data(data) == ["--max-tokens 100 exceeds the 99 positions of encoder and decoder"]
