"""Stages with data of their own, and stages that work without training."""

import signal
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

import small_methods
from genera.engine.folder import RunFolder
from genera.engine.train import train
from genera.errors import GeneraError, Stopped
from genera.files import write_tensors
from small_methods import configured


def test_a_stage_has_data_batch_and_validation_of_its_own(tmp_path):
    folder = train(configured("small-pipeline"), tmp_path / "run")
    rows = [row for row in folder.metrics() if row["stage"] == "again"]
    assert [row["step"] for row in rows if "valid/loss" in row] == [30, 40]
    assert rows[-1]["valid/loss"] == pytest.approx(1.0)  # the radius, halved
    assert rows[-1]["epoch"] == pytest.approx(20 * 8 / 256, abs=1e-3)
    assert sorted(p.name for p in (folder.artefacts / "synthesis").iterdir()) == [f"{i}.safetensors" for i in range(4)]


def test_a_stage_of_work_goes_on_after_a_kill(tmp_path, monkeypatch):
    def killed(self, data, folder, ranks):
        monkeypatch.undo()
        folder.mkdir(parents=True)
        write_tensors(folder / "0.safetensors", {"x": data.splits["train"][:64]})  # not halved
        raise KeyboardInterrupt

    whole = train(configured("small-pipeline"), tmp_path / "whole")
    monkeypatch.setattr(small_methods.SmallPipeline, "synthesise", killed)
    with pytest.raises(KeyboardInterrupt):
        train(configured("small-pipeline"), tmp_path / "run")
    folder = train(configured("small-pipeline"), tmp_path / "run")
    kept = load_file(folder.artefacts / "synthesis" / "0.safetensors")["x"]
    assert torch.equal(kept, 2 * load_file(whole.artefacts / "synthesis" / "0.safetensors")["x"])
    assert folder.status()["step"] == 40


def test_a_stage_of_work_stops_when_asked_and_goes_on(tmp_path, monkeypatch):
    synthesise = small_methods.SmallPipeline.synthesise

    def asked(self, data, folder, ranks):
        for _ in synthesise(self, data, folder, ranks):
            signal.raise_signal(signal.SIGTERM)
            yield

    monkeypatch.setattr(small_methods.SmallPipeline, "synthesise", asked)
    with pytest.raises(Stopped, match="stopped at step 20"):
        train(configured("small-pipeline"), tmp_path / "run")
    monkeypatch.undo()
    run = RunFolder(tmp_path / "run")
    assert run.status()["state"] == "stopped"
    assert [shard.name for shard in (run.artefacts / "synthesis").iterdir()] == ["0.safetensors"]
    assert train(configured("small-pipeline"), tmp_path / "run").status()["step"] == 40


def test_the_batch_of_a_stage_is_shared_by_the_parts(tmp_path):
    with pytest.raises(GeneraError, match="batch of stage again: 8 does not divide over 1 ranks x 16 parts"):
        train(configured("small-pipeline", accumulate=16), tmp_path / "run")


@pytest.fixture
def second_best(monkeypatch):
    """The autoencoder of `small-two-stage` validates best at step 10 of 20, and its stage asks for that."""
    losses = {10: 1.0, 20: 2.0}
    stages = small_methods.SmallTwoStage.stages

    def validate(self, batch, step):
        return {"loss": torch.tensor(losses.get(round(20 * step.progress), 3.0))}

    def with_best(self):
        first, second = stages(self)
        first.best, first.validate = True, partial(validate, self)
        return [first, second]

    monkeypatch.setattr(small_methods.SmallTwoStage, "stages", with_best)


def autoencoder(folder, step):
    weights = load_file(folder.checkpoints / f"step-{step:08d}" / "weights.safetensors")
    return {name: tensor for name, tensor in weights.items() if name.startswith("autoencoder.")}


def test_a_stage_ends_with_its_best_weights(tmp_path, second_best):
    folder = train(configured("small-two-stage", keep=99), tmp_path / "run")
    best, last, after = (autoencoder(folder, step) for step in (10, 20, 40))
    before = autoencoder(folder, 14)
    assert all(torch.equal(best[name], last[name]) and torch.equal(best[name], after[name]) for name in best)
    assert any(not torch.equal(best[name], before[name]) for name in best)


def test_the_best_weights_come_back_after_a_kill(tmp_path, second_best, monkeypatch):
    """The moving averages too: they are what the stage's artefact and later stages do not read, but a run keeps."""

    def killed(self, data, folder):
        raise KeyboardInterrupt

    settings = {"keep": 1, "ema": 0.9}
    whole = train(configured("small-two-stage", **settings), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(small_methods.SmallTwoStage, "write_latents", killed)
        with pytest.raises(KeyboardInterrupt):
            train(configured("small-two-stage", **settings), tmp_path / "run")
    folder = train(configured("small-two-stage", **settings), tmp_path / "run")
    for name in ("weights", "average"):
        one, other = (load_file(f.checkpoints / "step-00000040" / f"{name}.safetensors") for f in (whole, folder))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
