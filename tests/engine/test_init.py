"""--init: a run that begins with the weights and assets of another."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import small_methods
from genera.engine import checkpoint, registry
from genera.engine.config import to_dict
from genera.engine.folder import RunFolder
from genera.engine.parents import Parent, inherit
from genera.engine.train import train
from genera.errors import GeneraError
from genera.files import write_json, write_tensors


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
    with pytest.raises(GeneraError, match="nowhere is not a run folder"):
        train(replace(config, train=replace(config.train, init=str(tmp_path / "nowhere"))), tmp_path / "a")
    other = registry.preset("small-two-stage:tiny")[1]
    with pytest.raises(GeneraError, match="is a run of small-gan; expected a run of small-two-stage"):
        train(replace(other, train=replace(other.train, init=str(first.path))), tmp_path / "b")
    shutil.rmtree(first.checkpoints)
    with pytest.raises(GeneraError, match="has no checkpoint yet"):
        train(replace(config, train=replace(config.train, init=str(first.path))), tmp_path / "c")


def parent(folder, network=None):
    return Parent(network, RunFolder(folder), "small", folder)


def saved(folder, tensors):
    """A checkpoint of these weights."""
    write_tensors(folder / "weights.safetensors", tensors)
    write_json(folder / "state.json", {"position": {}, "groups": {}, "scaler": None, "files": {}})


def test_networks_that_both_have_are_taken_over_and_the_others_named(tmp_path, capsys):
    """small-pipeline has no prior where small-two-stage has one: as methods whose later stages bring a new network."""
    two = small_methods.SmallTwoStage(small_methods.SmallConfig(), small_methods.RingAssets(2.0))
    one = small_methods.SmallPipeline(small_methods.SmallConfig(), small_methods.RingAssets(2.0))
    saved(tmp_path, one.state_dict())
    inherit(two, [parent(tmp_path)])
    for name, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[name], value)
    assert "initialised from: autoencoder; new: prior" in capsys.readouterr().err
    saved(tmp_path, two.state_dict())
    inherit(one, [parent(tmp_path)])
    assert "initialised from: autoencoder; unused: prior" in capsys.readouterr().err


def test_a_run_without_a_network_of_this_one_is_refused(tmp_path):
    gan = small_methods.SmallGan(small_methods.SmallConfig(), small_methods.RingAssets(2.0))
    pipeline = small_methods.SmallPipeline(small_methods.SmallConfig(), small_methods.RingAssets(2.0))
    saved(tmp_path, gan.state_dict())
    with pytest.raises(GeneraError, match="it has discriminator, generator, but autoencoder are needed"):
        inherit(pipeline, [parent(tmp_path)])


def test_a_network_of_another_size_is_refused(tmp_path):
    pipeline = small_methods.SmallPipeline(small_methods.SmallConfig(), small_methods.RingAssets(2.0))
    tensors = pipeline.state_dict() | {"autoencoder.decoder.2.bias": torch.zeros(3)}
    saved(tmp_path, tensors)
    with pytest.raises(GeneraError, match=r"decoder.2.bias is \(3,\) and must be \(2,\)"):
        inherit(pipeline, [parent(tmp_path)])


# several parents


def halves(tmp_path):
    """Checkpoints of two gans: one with the generator alone, one with both networks."""
    gans = [small_methods.SmallGan(small_methods.SmallConfig(), small_methods.RingAssets(2.0)) for _ in range(2)]
    folders = [tmp_path / "half", tmp_path / "whole"]
    states = [gans[0].generator.state_dict(prefix="generator."), gans[1].state_dict()]
    for folder, state in zip(folders, states, strict=True):
        folder.mkdir()
        saved(folder, state)
    return *gans, *folders


def test_each_network_comes_from_the_run_that_has_it(tmp_path, capsys):
    first, second, half, whole = halves(tmp_path)
    gan = small_methods.SmallGan(small_methods.SmallConfig(), small_methods.RingAssets(2.0))
    saved(whole, second.discriminator.state_dict(prefix="discriminator."))
    assert inherit(gan, [parent(half), parent(whole)]) == []
    expected = first.generator.state_dict(prefix="generator.") | second.discriminator.state_dict(
        prefix="discriminator."
    )
    assert all(torch.equal(value, expected[name]) for name, value in gan.state_dict().items())
    assert "initialised from: generator of" in capsys.readouterr().err.replace("\n", " ")


def test_a_network_of_two_runs_must_be_named(tmp_path):
    first, second, half, whole = halves(tmp_path)
    gan = small_methods.SmallGan(small_methods.SmallConfig(), small_methods.RingAssets(2.0))
    with pytest.raises(GeneraError, match="both have the network 'generator'; choose one with --init generator=RUN"):
        inherit(gan, [parent(half), parent(whole)])
    inherit(gan, [parent(half, "generator"), parent(whole)])
    assert torch.equal(gan.generator[0].weight, first.generator[0].weight)
    assert torch.equal(gan.discriminator[0].weight, second.discriminator[0].weight)
    with pytest.raises(GeneraError, match="no network 'critic', but"):
        inherit(gan, [parent(half, "critic")])
    with pytest.raises(GeneraError, match=r"it has generator, but discriminator is needed"):
        inherit(gan, [parent(half, "discriminator")])


def test_two_runs_on_the_command_line_and_in_the_file(config, first, tmp_path):
    other = train(replace(config, train=replace(config.train, seed=9)), tmp_path / "other")
    named = (f"generator={first.path}", f"discriminator={other.path}")
    still = replace(config.model, lr=1e-9)
    both = train(replace(config, model=still, train=replace(config.train, init=named)), tmp_path / "both")
    for name, value in weights(both).items():
        source = first if name.startswith("generator") else other
        torch.testing.assert_close(value, weights(source)[name], rtol=0, atol=1e-6)
    assert both.config().train.init == named
    small_methods.RingAssets(5.0).save(other.assets)
    with pytest.raises(GeneraError, match="have different assets"):
        train(replace(config, train=replace(config.train, init=named)), tmp_path / "third")


@pytest.mark.parametrize(("old", "read"), [(None, ()), ("runs/one", ("runs/one",)), (["a", "b"], ("a", "b"))])
def test_older_config_files_name_one_run_or_none(config, old, read):
    values = to_dict(config)
    values["train"]["init"] = old
    assert registry.run_config(values, "config.yaml").train.init == read
