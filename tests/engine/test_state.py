"""Kinds of state: weights, training state, per-rank state, references."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import genera
import small_methods
from genera.engine import checkpoint as ckpt
from genera.engine.ranks import Ranks
from genera.engine.references import FILE, content_hash
from genera.engine.state import StatefulModule
from genera.engine.train import train
from genera.errors import GeneraError
from small_methods import configured
from training import start


def tensors(run, file):
    path = ckpt.pick(run / "checkpoints") / f"{file}.safetensors"
    return {name: value.clone() for name, value in load_file(path).items()}


def assert_same(one, two):
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


# training state


@pytest.fixture(scope="module")
def energy(tmp_path_factory):
    return train(configured("small-energy", keep=9), tmp_path_factory.mktemp("state") / "energy").path


def test_a_replay_buffer_lies_with_the_optimiser_and_not_with_the_weights(energy):
    assert not any("replay" in name for name in tensors(energy, "weights"))
    assert tensors(energy, "training")["state/replay"].shape == (64, 2)
    assert json.loads((ckpt.pick(energy / "checkpoints") / "state.json").read_text())["values"]["rate"] <= 1.0


def test_use_needs_no_training_state(energy, tmp_path):
    run = shutil.copytree(energy, tmp_path / "run")
    (ckpt.pick(run / "checkpoints") / "training.safetensors").unlink()
    assert genera.load(run, device="cpu").step == 40


def test_a_resumed_run_has_the_training_state_of_its_checkpoint(energy, tmp_path):
    run = shutil.copytree(energy, tmp_path / "run")
    train(configured("small-energy", keep=9), run, resume="14")
    for file in ("weights", "training"):
        assert_same(tensors(energy, file), tensors(run, file))


def test_a_checkpoint_without_it_is_refused(energy, tmp_path):
    run = shutil.copytree(energy, tmp_path / "run")
    path = ckpt.pick(run / "checkpoints", "14") / "state.json"
    state = json.loads(path.read_text())
    del state["values"]["rate"]
    path.write_text(json.dumps(state))
    with pytest.raises(GeneraError, match="lacks the training state 'rate'"):
        train(configured("small-energy", keep=9), run, resume="14")


def test_modules_values_and_tensors_that_come_later():
    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("items", torch.zeros(2))

    def build():
        module = StatefulModule()
        module.weight = nn.Parameter(torch.ones(1))
        module.register_training_state("memory", Memory())
        module.register_training_state("later", None)
        module.register_training_state("patience", 3)
        return module

    one, two = build(), build()
    assert set(one.state_dict()) == {"weight"}
    assert set(one.training_tensors()) == {"memory.items"}
    one.memory.items, one.later, one.patience = torch.ones(5), torch.arange(3), 1
    two.restore_state(one.training_tensors(), one.training_values())
    assert torch.equal(two.memory.items, torch.ones(5))
    assert torch.equal(two.later, torch.arange(3))
    assert two.patience == 1
    with pytest.raises(TypeError, match="'net' has parameters"):
        one.register_training_state("net", nn.Linear(1, 1))


# validation


def test_validation_takes_gradients_of_inputs_and_leaves_none_on_parameters(tmp_path, monkeypatch):
    seen = []

    def watched(self, batch, step):
        x = batch.x.requires_grad_()
        energy = self.energy(x).sum()
        (slope,) = torch.autograd.grad(energy, x)
        seen.append((slope.norm() > 0, any(p.requires_grad for p in self.parameters())))
        return {"loss": energy}

    monkeypatch.setattr(small_methods.SmallEnergy, "validate", watched)
    monkeypatch.setattr(small_methods.SmallEnergy, "validated", lambda self, figures, improved: grads(self))
    left = []

    def grads(method):
        left.extend(p.grad for p in method.parameters())
        left.extend(None for p in method.parameters() if p.requires_grad)

    train(configured("small-energy", steps=10), tmp_path / "run")
    assert seen
    assert all(differentiable and not learning for differentiable, learning in seen)
    assert left == [None] * 8  # four parameters: no gradient, and trainable again


def test_other_methods_validate_without_graphs(tmp_path, monkeypatch):
    seen = []

    def watched(self, batch, step):
        seen.append(torch.is_grad_enabled())
        return {"loss": batch.x.mean()}

    monkeypatch.setattr(small_methods.SmallGan, "validate", watched)
    train(configured(steps=10), tmp_path / "run")
    assert seen
    assert not any(seen)


def test_the_method_is_told_of_each_validation(tmp_path, monkeypatch):
    told = []
    losses = iter([3.0, 2.0, 2.5, 1.0])
    gan = small_methods.SmallGan
    monkeypatch.setattr(gan, "validate", lambda self, batch, step: {"loss": torch.tensor(next(losses))})
    monkeypatch.setattr(gan, "validated", lambda self, figures, improved: told.append((figures, improved)))
    train(configured(validate_batches=1), tmp_path / "run")
    assert told == [({"loss": 3.0}, True), ({"loss": 2.0}, True), ({"loss": 2.5}, False), ({"loss": 1.0}, True)]


# per-rank state


def test_each_rank_resumes_its_own_and_other_numbers_of_ranks_share_the_rows(tmp_path):
    words = ["small-student:tiny", tmp_path / "run", "train.keep=9"]
    assert start(*words, ranks=2).returncode == 0
    last = ckpt.pick(tmp_path / "run" / "checkpoints")
    one, two = (load_file(last / f"ranks/rank-{rank:05d}.safetensors")["hidden"].clone() for rank in (0, 1))
    assert one.shape == two.shape == (8, 8)
    assert not torch.equal(one, two)
    done = start(*words, "resume=14")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (last / "ranks").iterdir()] == ["rank-00000.safetensors"]
    alone = load_file(last / "ranks/rank-00000.safetensors")["hidden"]
    torch.testing.assert_close(alone, torch.cat([one, two]), rtol=1e-3, atol=2e-4)


def test_rows_that_ranks_cannot_share_are_said(tmp_path):
    train(configured("small-student", steps=7), tmp_path / "run")
    ranks = Ranks(1, 3, torch.device("cpu"))
    checkpoint = ckpt.pick(tmp_path / "run" / "checkpoints")
    with pytest.raises(GeneraError, match=r"'hidden' of .* has 16 rows to divide over 3 ranks; resume on 1"):
        ckpt._rank_state(checkpoint, ["ranks/rank-00000.safetensors"], ranks)


# references


@pytest.fixture
def teacher(tmp_path):
    return train(configured("small-gan", steps=5), tmp_path / "teacher").path


def student(teacher):
    return genera.configure("small-student:tiny", teacher=str(teacher), steps=14, keep=9)


def test_a_teacher_is_no_part_of_weights_or_checkpoints(teacher, tmp_path):
    run = train(student(teacher), tmp_path / "run").path
    assert {name.partition(".")[0] for name in tensors(run, "weights")} == {"student"}
    record = json.loads((run / FILE).read_text())["teacher"]
    assert record["checkpoint"] == 5
    assert len(record["sha256"]) == 64
    method = genera.load(run, device="cpu").method
    assert method.references["teacher"].opened is None
    opened = method.reference("teacher")
    assert_same(dict(opened.state_dict()), tensors(teacher, "weights"))
    assert not any(p.requires_grad for p in opened.parameters())
    assert not opened.training


def test_a_teacher_that_trains_on_stays_what_it_was(teacher, tmp_path):
    whole = train(student(teacher), tmp_path / "whole").path
    run = shutil.copytree(whole, tmp_path / "run")
    shutil.copytree(ckpt.pick(teacher / "checkpoints"), teacher / "checkpoints" / "step-00000099")
    train(student(teacher), run, resume="7")
    assert_same(tensors(whole, "weights"), tensors(run, "weights"))


def test_a_changed_or_missing_teacher_stops_the_run_before_it_trains(teacher, tmp_path):
    run = train(student(teacher), tmp_path / "run").path
    shutil.move(teacher, tmp_path / "elsewhere")
    with pytest.raises(GeneraError, match=f"'teacher' is missing: {teacher} does not exist; put it back, or write"):
        train(student(teacher), run, resume="7")
    record = json.loads((run / FILE).read_text())
    record["teacher"]["path"] = "../elsewhere"
    (run / FILE).write_text(json.dumps(record))
    train(student(teacher), run, resume="7")
    small_methods.RingAssets(5.0).save(tmp_path / "elsewhere" / "assets")
    with pytest.raises(GeneraError, match=r"'teacher' has changed: .*elsewhere is not what .*run started with"):
        train(student(teacher), run, resume="7")
    (run / FILE).unlink()
    with pytest.raises(GeneraError, match=f"{FILE} is missing"):
        train(student(teacher), run, resume="7")


def test_a_first_start_without_its_teacher_says_so(tmp_path):
    with pytest.raises(GeneraError, match=r"'teacher' is missing: .*nowhere does not exist"):
        train(student(tmp_path / "nowhere"), tmp_path / "run")


def test_the_hash_of_a_folder_is_that_of_its_files_and_names(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "a").write_text("text")
    (tmp_path / "two" / "a").write_text("text")
    (tmp_path / "three" / "b").write_text("text")
    one, two, three = (content_hash([tmp_path / name]) for name in ("one", "two", "three"))
    assert one == two != three
    (tmp_path / "two" / "a").write_text("Text")
    assert content_hash([tmp_path / "two"]) != one
