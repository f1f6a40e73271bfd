"""`genera train`: typed options, budgets, dry runs, and what it prints."""

import os
import shutil
import signal
from dataclasses import fields

import pytest
import yaml

import genera as library
from commands import genera, train
from genera.engine.folder import RunFolder
from genera.engine.registry import preset
from genera.methods.lm.method import Lm

SMALL = ("--data", "world:captions-small", "--limit", "300", "--vocabulary", "400", "--batch-size", "8")


def resolved(*words):
    return genera("train", *words, "--dry-run", "--json").json["config"]


def test_options_reach_every_part_of_the_config():
    config = resolved("optimus:nano", "--limit", "9", "--ema", "0.5", "--beta", "0.25", "--encoder.layers", "1")
    assert config["data"]["limit"] == 9
    assert config["train"]["ema"] == 0.5
    assert config["model"]["beta"] == 0.25
    assert config["model"]["encoder"]["layers"] == 1
    _, default = preset("optimus:nano")
    assert config["model"]["decoder"]["layers"] == default.model.decoder.layers


def test_without_options_a_run_is_its_preset():
    _, default = preset("optimus:nano")
    config = resolved("optimus")
    assert (config["method"], config["preset"]) == ("optimus", "nano")
    assert config["train"]["batch_size"] == default.train.batch_size
    assert set(config["train"]) == {f.name for f in fields(default.train)}


@pytest.mark.parametrize("words", [("--steps", "7"), ("--steps=7",)])
def test_a_budget_takes_the_place_of_the_presets(words):
    config = resolved("optimus:nano", *words)["train"]
    assert (config["steps"], config["epochs"], config["minutes"]) == (7, None, None)


def test_two_budgets_are_refused():
    failed = genera("train", "optimus:nano", "--steps", "3", "--minutes", "1", "--dry-run")
    assert failed.error == "give exactly one budget of --steps, --epochs, --minutes (got ['steps', 'minutes'])."


def test_all_complaints_come_at_once():
    failed = genera("train", "optimus:nano", "--steps", "0", "--clip", "-1", "--vocabulary", "3", "--beta", "-1")
    for option in ("budget", "--clip", "--vocabulary", "--beta"):
        assert option in failed.error


def test_a_dry_run_prints_config_parameters_flops_and_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = genera("train", "optimus:nano", *SMALL, "--dry-run", "--out", "run")
    assert shown.code == 0
    config, _, figures = shown.out.partition("\n\n")
    assert yaml.safe_load(config)["data"]["vocabulary"] == 400
    for words in ("player vae: ", " parameters", "FLOPs a step: ", "memory: weights ", "optimiser ", "activations "):
        assert words in figures
    assert list(tmp_path.iterdir()) == []  # it only looks
    as_json = genera("train", "optimus:nano", *SMALL, "--dry-run", "--json").json
    assert {"config", "players", "parameters", "flops_per_step", "memory_bytes"} <= as_json.keys()
    assert f"{as_json['players']['vae']['parameters']:,} parameters" in figures


def test_a_dry_run_shows_every_stage():
    shown = genera("train", "prevalent:tiny", "--dry-run")
    _, *stages = shown.out.split("\nstage ")
    assert [stage.split("\n")[0] for stage in stages] == ["speaker", "pretrain", "finetune"]
    for stage, player in zip(stages, ("speaker", "encoder", "agent"), strict=True):
        assert f"player {player}: " in stage
        assert "memory: weights " in stage


def test_a_dry_run_counts_the_largest_model_that_a_run_may_have(tiny_run):
    """The data may hold fewer tokens than the vocabulary has room for."""
    words = ("--data", "world:captions-small", "--vocabulary", "400")
    counted = genera("train", "optimus:nano", *words, "--dry-run", "--json").json["parameters"]
    method = library.load(tiny_run).method
    room = 400 - method.assets.encoder.size + 400 - method.assets.decoder.size
    assert counted == sum(p.numel() for p in method.parameters()) + 64 * room


def test_a_run_prints_what_to_do_next_and_is_done_the_second_time(tiny_run):
    again = train(tiny_run)
    assert (again.code, again.out) == (0, "")
    assert "is already trained (60 steps)" in again.err
    assert f"next: genera evaluate {tiny_run} && genera report {tiny_run}" in again.err
    as_json = train(tiny_run, "--json").json
    assert as_json["run"] == str(tiny_run)
    assert (as_json["state"], as_json["step"], as_json["ranks"]) == ("done", 60, 1)


def test_the_config_is_saved_whole(tiny_run):
    config = RunFolder.existing(tiny_run).config()
    assert (config.train.steps, config.train.epochs, config.train.batch_size) == (60, None, 16)
    assert (config.data.limit, config.data.vocabulary) == (2000, 400)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "runs/x"], "name the method first: genera train METHOD:PRESET --out runs/x"),
        (["optimus:nano"], "give a run folder: --out runs/NAME (or --dry-run to only print the plan)."),
        (["optimus:nana", "--out", "x"], "unknown preset of optimus 'nana'; did you mean nano?"),
        (["optimsu", "--out", "x"], "unknown method 'optimsu'; did you mean optimus?"),
    ],
)
def test_what_is_missing_is_asked_for(words, message):
    assert genera("train", *words).error == message


def test_what_changes_no_weight_may_change(tiny_run):
    assert train(tiny_run, "--log-every", "3", "--keep", "5", "--device", "cpu").code == 0
    failed = train(tiny_run, "--batch-size", "8")
    assert "holds a run with other settings (train.batch_size: 16 -> 8)" in failed.error


def test_help_has_groups_and_begins_with_what_most_runs_need():
    page = genera("train", "biggan:nano-fq", "--help").out
    places = [page.index(words) for words in ("--out", "--data", "--steps", "data options", "--image-size")]
    places += [page.index(words) for words in ("model options", "--hierarchical", "quantiser options")]
    assert places == sorted(places)
    assert all(title in page for title in ("memory options", "logging options", "train options"))


def test_quiet_says_nothing_and_still_prints_results_and_errors(tmp_path):
    done = genera("--quiet", "train", "gpt2-lm:nano", "--data", "world:captions-small", "--limit", 300,
                  "--vocabulary", 400, "--steps", 2, "--out", tmp_path / "run", "--json")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.json["state"] == "done"
    assert genera("sample", tmp_path / "none", "--quiet").error


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_training_exits_as_the_shell_expects_and_resumes(tmp_path, monkeypatch, asked):
    words = ["train", "gpt2-lm:nano", "--data", "world:captions-small", "--limit", 300, "--vocabulary", 400,
             "--steps", 4, "--out", tmp_path / "run"]  # fmt: skip
    update = Lm.update

    def asked_to_stop(self, batch, step):
        update(self, batch, step)
        if step.index == 1:
            os.kill(os.getpid(), asked)

    with monkeypatch.context() as patch:
        patch.setattr(Lm, "update", asked_to_stop)
        stopped = genera(*words)
    assert stopped.code == 128 + asked
    assert "stopped at step 2" in stopped.err
    assert "Rerun the command to resume" in stopped.err
    resumed = genera(*words)
    assert resumed.code == 0
    assert "from step 2" in resumed.err


# saved configs


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    run = tmp_path_factory.mktemp("saved") / "run"
    done = genera("train", "gpt2-lm:nano", *SMALL, "--steps", "6", "--seed", "5", "--out", str(run), "--json")
    assert done.code == 0, done.err
    return run


def weights_of(run):
    return (next(iter(sorted((run / "checkpoints").glob("step-*")))) / "weights.safetensors").read_bytes()


def test_a_saved_config_runs_again(saved, tmp_path):
    for number, words in enumerate(
        [["--config", f"{saved}/config.yaml"], [f"--config={saved}"], [f"{saved}/config.yaml"]]
    ):
        out = tmp_path / str(number)
        done = genera("train", *words, "--out", str(out))
        assert done.code == 0, done.err
        assert weights_of(out) == weights_of(saved)
        assert RunFolder(out).config() == RunFolder(saved).config()


def test_options_apply_on_top_of_a_saved_config(saved):
    config = resolved("--config", f"{saved}/config.yaml", "--epochs", "2", "--lr", "0.5")
    assert (config["train"]["steps"], config["train"]["epochs"], config["train"]["seed"]) == (None, 2.0, 5)
    assert (config["model"]["lr"], config["data"]["limit"]) == (0.5, 300)
    assert resolved("--seed", "8", "--config", f"{saved}/config.yaml")["train"]["seed"] == 8


def test_a_run_is_trained_longer_by_its_own_config(saved, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    done = genera("train", f"{run}/config.yaml", "--out", str(run), "--steps", "9")
    assert done.code == 0, done.err
    assert RunFolder(run).budgets() == [{"from_step": 0, "steps": 6}, {"from_step": 6, "steps": 9}]
    lower = genera("train", f"{run}/config.yaml", "--out", str(run), "--steps", "4")
    assert "has trained 9 steps, more than the 4 steps of the new budget" in lower.error


def test_in_python_a_saved_config_is_read_and_changed(saved):
    config = library.read_config(saved / "config.yaml")
    assert config == library.read_config(saved) == RunFolder(saved).config()
    assert library.configure(config, minutes=2, betas=(0.0, 0.9)).train.minutes == 2
    with pytest.raises(library.GeneraError, match="unknown option of gpt2-lm:nano 'bettas'; did you mean betas"):
        library.configure(config, bettas=(0.0, 0.9))


def test_bad_config_files_are_named(saved, tmp_path):
    assert "no-such.yaml" in genera("train", "no-such.yaml", "--out", "x").error
    (tmp_path / "broken.yaml").write_text("method: gpt2-lm\n")
    assert (
        "broken.yaml is not a genera run configuration"
        in genera("train", "--config", str(tmp_path / "broken.yaml")).error
    )
    assert "--config needs a file" in genera("train", "--out", "x", "--config").error
    both = genera("train", "gpt2-lm:nano", "--config", f"{saved}/config.yaml", "--out", "x")
    assert "give METHOD:PRESET or --config, not both" in both.error


def test_an_option_that_the_optimiser_lacks_is_an_error():
    wrong = genera("train", "gpt2-lm:nano", "--optimiser", "adam", "--momentum", "0.9", "--dry-run")
    assert "--momentum 0.9 is not an option of --optimiser adam (its options: --betas, --eps)" in wrong.error
    restricted = genera("train", "stylegan2:nano", "--optimiser", "sgd", "--dry-run")
    assert "this method needs --optimiser adam, adamw, nadam, radam or adamax, got 'sgd'" in restricted.error
    assert (
        "--schedule step needs --decay-every"
        in genera("train", "optimus:nano", "--schedule", "step", "--dry-run").error
    )
    config = resolved("optimus:nano", "--optimiser", "sgd", "--momentum", "0.9", "--schedule", "cosine")["model"]
    assert (config["optimiser"], config["momentum"], config["schedule"]) == ("sgd", 0.9, "cosine")
