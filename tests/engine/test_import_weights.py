"""Run folders around weights that were made elsewhere."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import genera
import small_methods
from genera.engine import checkpoint, registry
from genera.engine.import_weights import adopt, free
from genera.engine.train import train
from genera.errors import GeneraError


@pytest.fixture
def config():
    _, config = registry.preset("small-gan:tiny")
    return replace(config, train=replace(config.train, steps=3, checkpoint_every=1, keep=9, device="cpu"))


@pytest.fixture
def method(config):
    torch.manual_seed(3)
    return registry.entry("small-gan").load()(config.model, small_methods.RingAssets(1.0))


def test_it_is_a_finished_run_that_can_be_used_and_begun_with(config, method, tmp_path):
    folder = adopt(config, method, free(tmp_path / "run"), imported="somewhere")
    assert folder.status() == {"state": "done", "step": 0, "seconds": 0.0, "ranks": 1, "imported": "somewhere"}
    run = genera.load(folder.path, device="cpu")
    assert (run.step, run.config) == (0, config)
    for name, tensor in method.state_dict().items():
        assert torch.equal(run.method.state_dict()[name], tensor)
    before = checkpoint.pick(folder.checkpoints)
    assert train(config, folder.path).status()["step"] == 0  # it is done
    assert checkpoint.pick(folder.checkpoints) == before
    still = replace(config, model=replace(config.model, lr=1e-9), train=replace(config.train, init=str(folder.path)))
    begun = load_file(checkpoint.pick(train(still, tmp_path / "begun").checkpoints) / "weights.safetensors")
    for name, tensor in method.state_dict().items():
        torch.testing.assert_close(begun[name], tensor, rtol=0, atol=1e-6)


def test_from_step_0_its_own_settings_can_train_it(config, method, tmp_path):
    folder = adopt(config, method, free(tmp_path / "run"))
    assert train(config, folder.path, resume="0").status()["step"] == 3
    assert [checkpoint.position_of(path).step for path in checkpoint.list_checkpoints(folder.checkpoints)] == [
        0,
        1,
        2,
        3,
    ]


def test_a_run_or_other_files_that_are_there_stay(config, method, tmp_path):
    adopt(config, method, free(tmp_path / "run"))
    with pytest.raises(GeneraError, match="already holds a run"):
        free(tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(GeneraError, match="is not empty and is not a run"):
        adopt(config, method, free(tmp_path / "other"))
    with pytest.raises(GeneraError, match="--batch-size must be at least 1"):
        adopt(replace(config, train=replace(config.train, batch_size=0)), method, free(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
