"""A run that has ended is trained longer: larger budgets, what they do to schedules and stages, and what is refused."""

from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file

import small_methods
from genera.blocks.schedules import schedule
from genera.engine import checkpoint as ckpt
from genera.engine.config import with_budget
from genera.engine.folder import RunFolder
from genera.engine.train import train
from genera.errors import GeneraError
from small_methods import configured
from training import SHORT_TEXT, start
from training import configured as configured_method

torch.set_num_threads(1)


def state(run, file="weights"):
    return load_file(ckpt.pick(run / "checkpoints") / f"{file}.safetensors")


def assert_same(one, two, file="weights"):
    one, two = state(one, file), state(two, file)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture
def constant(monkeypatch):
    """The small GAN at a constant rate."""
    monkeypatch.setattr(small_methods.gan, "LINEAR", schedule("constant"))


@pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"checkpoint_every": 10**6, "validate_every": 7}])
def test_at_a_constant_rate_an_extended_run_is_a_longer_one(tmp_path, constant, settings):
    whole = train(configured(steps=31, **settings), tmp_path / "whole").path
    run = tmp_path / "run"
    train(configured(steps=13, **settings), run)
    train(configured(steps=20, **settings), run)
    folder = train(configured(steps=31, **settings), run)
    assert folder.status()["state"] == "done"
    assert_same(run, whole)
    assert_same(run, whole, "training")
    if "ema" in settings:
        assert_same(run, whole, "average")


LANGUAGE_MODEL = {"model.schedule": "inverse-sqrt", "model.warmup": 8, "train.steps": 24, "model.decoder.dropout": 0.0}


@pytest.mark.parametrize(
    "optimiser",
    [
        {"optimiser": "adam", "betas": [0.5, 0.9]},
        {"optimiser": "sgd", "momentum": 0.9, "nesterov": True},
        {"optimiser": "asgd", "average_from": 6},
        {"optimiser": "nt-asgd", "patience": 1, "lr": 12.0},
        {"optimiser": "adagrad"},
        {"optimiser": "rmsprop", "momentum": 0.5},
    ],
)
def test_every_kind_of_optimiser_is_kept(tmp_path, optimiser):
    given = SHORT_TEXT | LANGUAGE_MODEL | {f"model.{name}": value for name, value in optimiser.items()}
    given |= {"train.validate_every": 3, "train.epochs": None}
    config = configured_method("gpt2-lm:nano", given)
    whole, run = train(config, tmp_path / "whole").path, tmp_path / "run"
    train(replace(config, train=with_budget(config.train, steps=11)), run)
    train(config, run)
    assert_same(run, whole)
    assert_same(run, whole, "training")
    if "asgd" in optimiser["optimiser"]:
        assert_same(run, whole, "average")
        average, last = state(run, "average"), state(run)
        assert any(not torch.equal(average[name], last[name]) for name in average)


def test_a_decaying_rate_follows_the_new_budget_from_where_the_run_is(tmp_path):
    run = tmp_path / "run"
    train(configured(steps=20, log_every=1), run)
    folder = train(configured(steps=50, log_every=1), run)
    rates = [row["generator/lr"] / 0.01 for row in folder.metrics() if "generator/lr" in row]
    assert rates[:20] == pytest.approx([1 - step / 20 for step in range(20)])
    assert rates[20:] == pytest.approx([1 - step / 50 for step in range(20, 50)])


def test_the_config_has_the_new_budget_and_the_history_of_budgets(tmp_path):
    run = tmp_path / "run"
    folder = train(configured(steps=10), run)
    assert folder.budgets() == [{"from_step": 0, "steps": 10}]
    train(configured(steps=None, epochs=1.25), run)
    train(configured(steps=30), run)
    assert folder.budgets() == [
        {"from_step": 0, "steps": 10},
        {"from_step": 10, "epochs": 1.25},  # of 16 steps
        {"from_step": 20, "steps": 30},
    ]
    assert folder.config() == configured(steps=30)
    assert yaml.safe_load((run / "config.yaml").read_text())["train"]["epochs"] is None
    assert folder.status()["step"] == 30


def test_minutes_can_be_raised(tmp_path):
    run = tmp_path / "run"
    first = train(configured(steps=None, minutes=0.005), run).status()
    second = train(configured(steps=None, minutes=0.01), run).status()
    assert second["step"] > first["step"]
    assert 0.6 <= second["seconds"] < 3
    again = train(configured(steps=None, minutes=0.01), run).status()
    assert again == second


def test_a_budget_below_what_is_done_is_refused_and_the_run_stays_done(tmp_path):
    run = tmp_path / "run"
    train(configured(steps=20), run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(GeneraError, match=r"has trained 20 steps, more than the 10 steps of the new budget"):
        train(configured(steps=10), run)
    with pytest.raises(GeneraError, match=r"has trained 20 steps, more than the 16 steps of the new budget"):
        train(configured(steps=None, epochs=1), run)
    with pytest.raises(GeneraError, match=r"minutes, more than the 1.67e-05 minutes of the new budget"):
        train(configured(steps=None, minutes=1e-3 / 60), run)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert train(configured(steps=16), run, resume="14").status()["step"] == 16  # or it is taken back
    assert RunFolder(run).budgets()[-1] == {"from_step": 14, "steps": 16}


def test_other_settings_are_still_refused(tmp_path):
    train(configured(steps=10), tmp_path / "run")
    with pytest.raises(GeneraError, match=r"other settings \(train.seed: 3 -> 1\)"):
        train(configured(steps=20, seed=1), tmp_path / "run")


def test_of_several_stages_the_last_goes_on(tmp_path, capfd):
    run = tmp_path / "run"
    train(configured("small-two-stage", steps=20), run)
    first = {name: tensor for name, tensor in state(run).items() if name.startswith("autoencoder")}
    folder = train(configured("small-two-stage", steps=40), run)
    assert "the new budget applies from stage prior on; earlier stages stay unchanged: autoencoder" in (
        " ".join(capfd.readouterr().err.split())
    )
    assert folder.status()["step"] == 30  # 10 of the first stage, 20 of the second
    after = state(run)
    assert all(torch.equal(after[name], tensor) for name, tensor in first.items())
    with pytest.raises(GeneraError, match="has trained 20 steps of stage prior, more than the 18 steps"):
        train(configured("small-two-stage", steps=36), run)


def test_a_stage_that_others_have_used_keeps_its_budget(tmp_path, monkeypatch):
    def killed(self, data, folder, ranks):
        folder.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(small_methods.SmallPipeline, "synthesise", killed)
    with pytest.raises(KeyboardInterrupt):
        train(configured("small-pipeline"), tmp_path / "run")
    with pytest.raises(GeneraError, match=r"stage synthesis of .* has used the result of stage"):
        train(configured("small-pipeline", steps=80), tmp_path / "run")


@pytest.mark.parametrize("kill", ["step:3", "save:4"])
def test_a_kill_while_extending_changes_nothing(tmp_path, kill):
    whole, run = tmp_path / "whole", tmp_path / "run"
    for out in (whole, run):
        train(configured(steps=10), out)
    train(configured(steps=30), whole)
    assert start("small-gan:tiny", run, "train.steps=30", f"kill={kill}").returncode == -9
    train(configured(steps=30), run)
    assert_same(run, whole)
    assert RunFolder(run).budgets() == [{"from_step": 0, "steps": 10}, {"from_step": 10, "steps": 30}]


def test_two_ranks_extend_alike(tmp_path):
    run = tmp_path / "run"
    train(configured(steps=10), run)
    done = start("small-gan:tiny", run, "train.steps=20", ranks=2)
    assert done.returncode == 0, done.stderr
    assert RunFolder(run).status()["step"] == 20
    refused = start("small-gan:tiny", run, "train.steps=5", ranks=2)
    assert "more than the 5 steps of the new budget" in refused.stderr
    assert RunFolder(run).status()["state"] == "done"
