"""Checkpoints: all that moves, whole or absent, and what damage is said to be."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import small_methods  # noqa: F401
from genera.engine import checkpoint as ckpt
from genera.engine import registry
from genera.engine.checkpoint import Position
from genera.engine.ranks import Ranks
from genera.engine.runtime import seed_all
from genera.engine.step import Step
from genera.engine.telemetry import Telemetry
from genera.engine.train import train
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.files import checksum, write_json, write_tensors
from storage import fill, read_only, small_disk

ALONE = Ranks(0, 1, torch.device("cpu"))


def configured(name="small-gan", **settings):
    config = registry.preset(f"{name}:tiny")[1]
    return replace(config, train=replace(config.train, **settings))


def built(config):
    """Method, its data and its step, as a run begins."""
    implementation = registry.entry(config.method).load()
    data = implementation.dataset.open(config.data)
    seed_all(config.train.seed)
    method = implementation(config.model, data.assets)
    return method, data, Step(config.train, ALONE, enrol(method.stages()[0].players(), config.train, ALONE))


def advance(method, data, step, first, last):
    stream = data.stream("train", 16, seed=3)
    for index in range(first, last):
        step.begin(index, index / 20)
        method.stages()[0].update(stream.batch(index), step)


def states(method, step):
    """All tensors that move, flat."""
    found = dict(method.state_dict())
    for name, trainee in step.trainees.items():
        for i, entry in trainee.player.optimiser.state_dict()["state"].items():
            found |= {f"{name}/{i}/{key}": torch.as_tensor(value) for key, value in entry.items()}
        found |= {f"{name}/average/{i}": mean for i, mean in enumerate(trainee.average)}
    return {key: value.clone() for key, value in found.items()}


def assert_equal(one, two):
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one), [k for k in one if not torch.equal(one[k], two[k])]


def final_weights(run):
    """In memory: what `load_file` gives alone would follow the file when a test damages it."""
    path = ckpt.pick(run / "checkpoints") / "weights.safetensors"
    return {name: value.clone() for name, value in load_file(path).items()}


@pytest.fixture
def finished(tmp_path):
    """A run of 40 steps with a checkpoint every 7: steps 35 and 40 stay, and the best."""
    config = configured()
    return config, train(config, tmp_path / "run")


# what a checkpoint holds


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_round_trip_of_weights_optimisers_averages_scale_and_random_states(tmp_path, precision):
    config = configured(ema=0.9, precision=precision)
    method, data, step = built(config)
    if precision == "fp16":
        step.scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    advance(method, data, step, 0, 5)
    random.gauss(0, 1), np.random.standard_normal()  # noqa: NPY002  (leaves half of a pair behind)
    ckpt.save(tmp_path, method, step, Position(step=5, stage_step=5, seconds=1.5), keep=1)
    saved = states(method, step)

    def draws():
        return torch.rand(2).tolist(), np.random.standard_normal(2).tolist(), [random.gauss(0, 1), random.random()]  # noqa: NPY002

    drawn = draws()
    advance(method, data, step, 5, 8)
    after = states(method, step)

    method, data, step = built(config)
    if precision == "fp16":
        step.scaler = torch.amp.GradScaler("cpu")
    where = ckpt.pick(tmp_path)
    ckpt.load_training(where, method, step)
    assert_equal(states(method, step), saved)
    assert draws() == drawn
    assert ckpt.position_of(where) == Position(step=5, stage_step=5, seconds=1.5)
    if precision == "fp16":
        assert step.scaler.get_scale() == 512.0
    advance(method, data, step, 5, 8)
    assert_equal(states(method, step), after)


def test_use_reads_the_average_and_training_the_weights(tmp_path):
    method, data, step = built(configured("small-two-stage", ema=0.9))
    advance(method, data, step, 0, 5)
    ckpt.save(tmp_path, method, step, Position(step=5), keep=1)
    live = {name: p.detach().clone() for name, p in method.named_parameters()}
    ckpt.load_weights(method, ckpt.pick(tmp_path))
    averages = step.trainees["autoencoder"].average
    assert all(torch.equal(p, mean) for p, mean in zip(method.autoencoder.parameters(), averages, strict=True))
    ckpt.load_weights(method, ckpt.pick(tmp_path), average=False)
    assert all(torch.equal(p, live[name]) for name, p in method.named_parameters())


# which stay


def saved_steps(folder):
    return [int(p.name[5:]) for p in ckpt.list_checkpoints(folder)]


def test_the_newest_and_the_best_stay(tmp_path):
    method, _, step = built(configured())
    for at in (1, 2, 3, 4, 5):
        ckpt.save(tmp_path, method, step, Position(step=at, best=0.5, best_step=min(at, 2)), keep=2)
    assert saved_steps(tmp_path) == [2, 4, 5]
    assert ckpt.pick(tmp_path).name == "step-00000005"
    assert ckpt.pick(tmp_path, "previous").name == "step-00000004"
    assert ckpt.pick(tmp_path, "best").name == "step-00000002"
    assert ckpt.pick(tmp_path, "4").name == "step-00000004"
    with pytest.raises(GeneraError, match="no checkpoint '3'; choose one of the steps 2, 4, 5"):
        ckpt.pick(tmp_path, "3")


def test_a_run_that_was_taken_back_leaves_what_came_after(tmp_path):
    method, _, step = built(configured())
    for at in (2, 4, 6):
        ckpt.save(tmp_path, method, step, Position(step=at), keep=3)
    ckpt.save(tmp_path, method, step, Position(step=3), keep=3)
    assert saved_steps(tmp_path) == [2, 3]


def test_none_before_the_only_one(tmp_path):
    assert ckpt.pick(tmp_path, "previous") is None
    method, _, step = built(configured())
    ckpt.save(tmp_path, method, step, Position(step=1), keep=1)
    assert ckpt.pick(tmp_path, "best").name == "step-00000001"
    with pytest.raises(GeneraError, match="only one checkpoint, step-00000001"):
        ckpt.pick(tmp_path, "previous")


def test_leftovers_of_a_kill_are_no_checkpoints_and_go(tmp_path, finished):
    config, folder = finished
    leftover = folder.checkpoints / ".step-00000042.77.tmp"
    leftover.mkdir()
    assert saved_steps(folder.checkpoints)[-1] == 40
    train(config, folder.path)
    assert not leftover.exists()


# sums since the last line of the metrics


def timeless(folder):
    clock = ("seconds", "items_per_second", "memory_mb")
    return [{k: v for k, v in row.items() if k not in clock} for row in folder.metrics()]


def test_a_resume_between_two_lines_of_the_metrics_writes_the_same_lines(tmp_path):
    config = configured(steps=20, log_every=8, checkpoint_every=3, validate_every=0, keep=9)
    whole = train(config, tmp_path / "whole")
    before = timeless(whole)
    assert [row["step"] for row in before] == [8, 16, 20]
    state = json.loads((whole.checkpoints / "step-00000012" / "state.json").read_text())
    assert set(state["telemetry"].values()) == {4}  # steps 9 to 12
    again = train(config, tmp_path / "whole", resume="12")
    assert timeless(again) == before
    last = json.loads((ckpt.pick(again.checkpoints) / "state.json").read_text())
    assert last["telemetry"] == {}  # all of it is in the last line


def test_a_checkpoint_without_sums_still_resumes(tmp_path):
    config = configured(steps=20, log_every=8, checkpoint_every=3, validate_every=0, keep=9)
    whole = train(config, tmp_path / "whole")
    weights = final_weights(whole.path)
    checkpoint = whole.checkpoints / "step-00000012"
    state = json.loads((checkpoint / "state.json").read_text())
    del state["telemetry"]
    tensors = {k: v for k, v in load_file(checkpoint / "training.safetensors").items() if "telemetry" not in k}
    write_tensors(checkpoint / "training.safetensors", tensors)
    state["files"]["training.safetensors"] = checksum(checkpoint / "training.safetensors")
    write_json(checkpoint / "state.json", state)
    train(config, whole.path, resume="12")
    assert_equal(final_weights(whole.path), weights)


def test_sums_of_two_ranks_resume_on_one_with_the_same_average():
    saved = [{"loss": torch.tensor(6.0)}, {"loss": torch.tensor(2.0)}]
    telemetry = Telemetry(ALONE)
    telemetry.restore(saved, {"loss": 4})
    telemetry.record(loss=torch.tensor(6.0))
    assert telemetry.averages() == {"loss": 2.0}  # (mean of the ranks' sums 4 + 6) / 5
    second = Telemetry(Ranks(1, 2, torch.device("cpu")))
    second.restore(saved, {"loss": 4})
    assert second.sums["loss"] == 2.0


# damage


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["weights.safetensors", "training.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [cut, flip])
def test_damage_is_named_and_the_one_before_arrives_at_the_same_weights(finished, file, damage):
    config, folder = finished
    whole = final_weights(folder.path)
    if file == "state.json" and damage is flip:
        damage = lambda path: path.write_text("{}")  # noqa: E731
    damage(ckpt.pick(folder.checkpoints) / file)
    folder.write_status("running")
    with pytest.raises(GeneraError) as error:
        train(config, folder.path)
    assert f"step-00000040/{file}" in str(error.value)
    assert "--resume previous" in str(error.value)
    assert str(error.value).count(". ") == 0  # one sentence
    train(config, folder.path, resume="previous")
    again = ckpt.pick(folder.checkpoints)
    assert again.name == "step-00000040"
    assert_equal(final_weights(folder.path), whole)
    assert folder.status()["state"] == "done"


def test_a_finished_run_is_taken_back_when_asked(finished):
    config, folder = finished
    whole = final_weights(folder.path)
    cut(ckpt.pick(folder.checkpoints) / "weights.safetensors")
    train(config, folder.path)  # it is done: nothing is read
    train(config, folder.path, resume="previous")
    assert_equal(final_weights(folder.path), whole)


def test_a_missing_file_is_named(finished):
    _, folder = finished
    (ckpt.pick(folder.checkpoints) / "weights.safetensors").unlink()
    with pytest.raises(GeneraError, match=r"weights.safetensors is missing; .* --checkpoint previous"):
        ckpt.read_tensors(ckpt.pick(folder.checkpoints), "weights")


def test_a_wrong_position_is_named(finished):
    _, folder = finished
    file = ckpt.pick(folder.checkpoints) / "state.json"
    state = json.loads(file.read_text())
    state["position"]["step"] = "forty"
    write_json(file, state)
    with pytest.raises(GeneraError, match=r"state.json: position.step must be int, got 'forty'"):
        ckpt.position_of(file.parent)


def test_a_checkpoint_of_another_method_or_size_names_the_tensors(finished):
    _, folder = finished
    where = ckpt.pick(folder.checkpoints)
    with pytest.raises(GeneraError, match=r"of another method or size: .*autoencoder.* is missing; .* more"):
        ckpt.load_weights(built(configured("small-two-stage"))[0], where)
    method = built(configured())[0]
    method.generator[0] = torch.nn.Linear(4, 17)
    with pytest.raises(GeneraError, match=r"generator.0.bias is \(16,\) and must be \(17,\)"):
        ckpt.load_weights(method, where)


# places that cannot be written


@pytest.mark.parametrize("leave", [0, 8192, 20480])
def test_a_full_disk_costs_no_checkpoint(tmp_path, monkeypatch, finished, leave):
    """Wherever the room ends: in the log, in the weights, in the training state."""
    config, unbroken = finished
    save, saved, fillers = ckpt.save, [], []

    def save_and_fill(folder, method, step, position, keep):
        save(folder, method, step, position, keep)
        saved.append(position.step)
        if len(saved) == 2:
            fillers.append(fill(tmp_path / "disk", leave))

    with small_disk(tmp_path / "disk") as disk:
        monkeypatch.setattr(ckpt, "save", save_and_fill)
        with pytest.raises(GeneraError, match=r"cannot write .*: No space left on device"):
            train(config, disk / "run")
        monkeypatch.undo()
        checkpoints = disk / "run" / "checkpoints"
        assert saved_steps(checkpoints)[-1] == saved[-1]
        assert not list(checkpoints.glob(".*"))
        for file in ("weights", "training"):
            ckpt.read_tensors(ckpt.pick(checkpoints), file)  # verifies it
        with pytest.raises(GeneraError, match=r"cannot write .*: No space left on device"):
            train(config, disk / "run")
        fillers[0].unlink()
        train(config, disk / "run")
        assert_equal(final_weights(disk / "run"), final_weights(unbroken.path))


def test_a_read_only_folder_is_named_before_anything_happens(finished):
    config, folder = finished
    before = sorted(folder.path.rglob("*"))
    with read_only(folder.path), pytest.raises(GeneraError, match=r"cannot write in .*; choose another --out"):
        train(config, folder.path)
    assert sorted(folder.path.rglob("*")) == before
