"""The loop: budgets, validation, logs, signals, and going on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

import small_methods
from genera.engine import checkpoint as ckpt
from genera.engine import logs
from genera.engine.checkpoint import Position
from genera.engine.config import TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.logs import memory_megabytes, open_tracker, status_line
from genera.engine.loop import Budget
from genera.engine.ranks import Ranks
from genera.engine.runtime import stop_signals
from genera.engine.train import train
from genera.errors import GeneraError, Stopped
from small_methods import configured
from training import TESTS, start

SPEC = "small-gan:tiny"
torch.set_num_threads(1)  # as in the processes that these runs are compared with


def weights(run, file="weights"):
    return load_file(ckpt.pick(run / "checkpoints") / f"{file}.safetensors")


def assert_same_weights(one, two):
    one, two = weights(one), weights(two)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return train(configured(), tmp_path_factory.mktemp("loop") / "unbroken")


# budgets


def test_budgets_in_steps_epochs_and_minutes():
    assert Budget.of(TrainConfig(steps=40), 0.5, 10).steps == 20
    assert Budget.of(TrainConfig(epochs=1.5), 1.0, 10).steps == 15
    assert Budget.of(TrainConfig(epochs=0.001), 1.0, 10).steps == 1  # at least one
    minutes = Budget.of(TrainConfig(minutes=2), 0.25, 10)
    assert (minutes.steps, minutes.seconds) == (None, 30.0)
    assert minutes.progress(Position(stage_seconds=15)) == 0.5
    assert minutes.progress(Position(stage_seconds=31)) == 1.0
    assert Budget(8, None).progress(Position(stage_step=2)) == 0.25


def test_epochs_are_passes_over_the_data(tmp_path):
    folder = train(configured(steps=None, epochs=2.5), tmp_path / "run")
    assert folder.status()["step"] == 40  # 256 points in batches of 16
    assert folder.metrics()[-1]["epoch"] == 2.5


def test_minutes_end_with_a_log_a_validation_and_a_checkpoint(tmp_path):
    settings = {"steps": None, "minutes": 0.01, "log_every": 10**6, "validate_every": 10**6, "checkpoint_every": 10**6}
    folder = train(configured("small-two-stage", **settings), tmp_path / "run")
    last = ckpt.position_of(ckpt.pick(folder.checkpoints))
    assert 0.3 <= last.stage_seconds < 3
    assert 0.6 <= last.seconds < 5  # of both stages
    assert last.step == folder.status()["step"] == folder.metrics()[-1]["step"]
    assert [row["stage"] for row in folder.metrics() if "valid/loss" in row] == ["autoencoder", "prior"]


def test_progress_runs_from_zero_to_one_in_every_stage(tmp_path, monkeypatch):
    seen = []
    update = small_methods.SmallTwoStage.first_update

    def watched(self, batch, step):
        seen.append((step.index, step.progress))
        update(self, batch, step)

    monkeypatch.setattr(small_methods.SmallTwoStage, "first_update", watched)
    train(configured("small-two-stage", steps=20), tmp_path / "run")
    assert seen == [(i, i / 10) for i in range(10)]


# validation


def test_validation_rows_and_the_best_checkpoint(tmp_path):
    folder = train(configured("small-two-stage", checkpoint_every=10**6, keep=1, validate_every=4), tmp_path / "run")
    first = [row for row in folder.metrics() if row["stage"] == "autoencoder" and "valid/loss" in row]
    assert [row["step"] for row in first] == [4, 8, 12, 16, 20]
    second = [row for row in folder.metrics() if row["stage"] == "prior" and "valid/loss" in row]
    best = min(second, key=lambda row: row["valid/loss"])
    last = ckpt.position_of(ckpt.pick(folder.checkpoints))
    assert last.best == pytest.approx(best["valid/loss"])
    assert ckpt.position_of(ckpt.pick(folder.checkpoints, "best")).step == last.best_step == best["step"]


def test_validation_can_be_left_out(tmp_path):
    folder = train(configured("small-two-stage", validate_every=0), tmp_path / "run")
    assert not any("valid/loss" in row for row in folder.metrics())


def test_a_loss_that_is_not_finite_is_never_the_best(tmp_path, monkeypatch):
    def nan_once(self, batch, step):
        losses.append(1.0)
        return {"loss": torch.tensor(float("nan") if len(losses) == 1 else float(len(losses)))}

    losses = []
    monkeypatch.setattr(small_methods.SmallGan, "validate", nan_once)
    folder = train(configured(validate_every=10, validate_batches=1), tmp_path / "run")
    assert ckpt.position_of(ckpt.pick(folder.checkpoints)).best == 2.0
    assert next(row for row in folder.metrics() if "valid/loss" in row)["valid/loss"] is None


def test_the_averages_move_once_a_step(tmp_path):
    run = train(configured(steps=12, ema=0.75, checkpoint_every=1, keep=12, validate_every=0), tmp_path / "run").path
    saved = sorted((run / "checkpoints").glob("step-*"))
    live, mean = ([load_file(p / f"{file}.safetensors") for p in saved] for file in ("weights", "average"))
    for before, after, weights in zip(mean, mean[1:], live[1:], strict=False):
        for name in before:
            torch.testing.assert_close(after[name], 0.75 * before[name] + 0.25 * weights[name])


def test_validation_sees_the_averages_and_training_goes_on_from_the_weights(tmp_path, monkeypatch):
    seen = {}

    def look(self, batch, step):
        seen["validated"] = self.generator[0].weight.detach().clone()
        return {"loss": torch.zeros(())}

    monkeypatch.setattr(small_methods.SmallGan, "validate", look)
    averaged = train(configured(ema=0.9, validate_every=40), tmp_path / "averaged").path
    assert torch.equal(seen["validated"], weights(averaged, "average")["generator.0.weight"])
    assert not torch.equal(seen["validated"], weights(averaged)["generator.0.weight"])
    assert not any(name.startswith("discriminator") for name in weights(averaged, "average"))
    monkeypatch.undo()
    assert_same_weights(averaged, train(configured(ema=0.0), tmp_path / "plain").path)


def test_too_little_to_validate_on_is_said_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(small_methods.Ring, "size", lambda self, split: 0)
    with pytest.raises(GeneraError, match=r"held-out items, but there are none; --validate-every 0 disables it"):
        train(configured(), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    train(configured(validate_every=0), tmp_path / "run")


# going on


def launch(out, *words, wait_for=None):
    """Start a run of many steps in a process of its own, and wait until it has logged something."""
    command = [sys.executable, str(TESTS / "training.py"), SPEC, str(out), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    log = out / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.005)
    return process


MANY = ("train.steps=600", "train.log_every=1", "train.checkpoint_every=150", "train.validate_every=0")


@pytest.fixture(scope="module")
def unbroken_long(tmp_path_factory):
    return train(many(), tmp_path_factory.mktemp("long") / "unbroken").path


def many():
    return configured(**{word.split("=")[0].split(".")[1]: int(word.split("=")[1]) for word in MANY})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_says_so_and_the_same_run_goes_on(tmp_path, capfd, unbroken_long, number):
    out = tmp_path / "run"
    process = launch(out, *MANY)
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    step = RunFolder(out).status()["step"]
    assert f"stopped at step {step}; saved in {out}" in said
    assert RunFolder(out).status()["state"] == "stopped"
    assert 0 < step < 600
    assert ckpt.position_of(ckpt.pick(out / "checkpoints")).step == step
    train(many(), out)
    assert f"resuming from step {step}" in capfd.readouterr().err
    assert_same_weights(out, unbroken_long)
    assert [row["step"] for row in RunFolder(out).metrics()] == list(range(1, 601))


def test_no_step_is_logged_twice_after_kills(tmp_path, unbroken_long):
    out = tmp_path / "run"
    for point in ("step:200", "save:1"):
        assert start(SPEC, out, *MANY, f"kill={point}").returncode == -signal.SIGKILL
    train(many(), out)
    assert [row["step"] for row in RunFolder(out).metrics()] == list(range(1, 601))
    assert_same_weights(out, unbroken_long)


def test_a_second_ctrl_c_interrupts_at_once():
    with stop_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stop == [signal.SIGINT, signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_two_ranks_stop_together(tmp_path):
    out = tmp_path / "run"
    words = (*MANY, "train.steps=100000")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, str(TESTS / "training.py"), SPEC, str(out), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (out / "metrics.jsonl").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    status = RunFolder(out).status()
    assert status["state"] == "stopped"
    assert ckpt.position_of(ckpt.pick(out / "checkpoints")).step == status["step"]


def test_a_finished_run_is_done_at_once(unbroken, capfd):
    before = {path: path.stat().st_mtime_ns for path in unbroken.path.rglob("*") if path.name != ".lock"}
    started = time.monotonic()
    train(configured(), unbroken.path)
    assert time.monotonic() - started < 0.5
    assert "already trained (40 steps)" in capfd.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in unbroken.path.rglob("*") if path.name != ".lock"}
    assert after == before


def test_a_run_that_was_stopped_and_moved_goes_on(tmp_path, monkeypatch, unbroken):
    update = small_methods.SmallGan.update

    def asked_to_stop(self, batch, step):
        update(self, batch, step)
        if step.index == 12:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(small_methods.SmallGan, "update", asked_to_stop)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="stopped at step 13; saved in"):
        train(configured(), tmp_path / "here")
    assert signal.getsignal(signal.SIGTERM) is handler
    monkeypatch.undo()
    shutil.move(tmp_path / "here", tmp_path / "there")
    train(configured(), tmp_path / "there")
    assert_same_weights(tmp_path / "there", unbroken.path)


def test_two_processes_on_one_folder(tmp_path):
    process = launch(tmp_path / "run", *MANY, "train.steps=100000")
    try:
        late = start(SPEC, tmp_path / "run", *MANY, "train.steps=100000")
        assert late.returncode == 1
        assert late.stderr.count("error: ") == 1
        assert f"is being written by another process (pid {process.pid} on" in late.stderr
        assert process.poll() is None  # the first does not care
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


# what is said


def test_metrics_hold_what_happened(unbroken):
    rows = unbroken.metrics()
    assert [row["step"] for row in rows] == list(range(5, 41, 5))
    terms = {"discriminator/loss", "discriminator/real", "discriminator/grad_norm", "generator/loss"}
    assert terms <= rows[0].keys()
    for row in rows:
        assert row["items_per_second"] > 0
        assert row["memory_mb"] > 50
        assert row["epoch"] == pytest.approx(row["step"] / 16, abs=1e-3)
        assert row["discriminator/lr"] == pytest.approx(1e-2 * (1 - (row["step"] - 1) / 40))
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)


def test_status_line():
    row = {"step": 150, "stage": "vae", "epoch": 0.5, "seconds": 9.0, "loss": 4.25, "kl": None, "memory_mb": 410.4}
    assert status_line(row | {"items_per_second": 512.3}, 130.7) == (
        "step 150 · loss 4.25 · 512 items/s · 410 MB · 2:10 left"
    )


def test_a_status_line_of_many_terms_fits_a_terminal_and_keeps_the_losses():
    terms = ("loss", "adversarial", "real", "fake", "r1/loss", "r1/grad_norm", "grad_norm")
    row = {f"{player}/{term}": 1.2345 for player in ("discriminator", "generator") for term in terms}
    row |= {"discriminator/lr": 5e-5, "generator/lr": 5e-5, "step": 3000, "items_per_second": 512.3}
    line = status_line(row, 130.7, width=100)
    assert len(line) <= 100
    assert "discriminator/loss 1.234" in line
    assert "generator/loss 1.234" in line
    assert "lr" not in line
    assert len(status_line(row, 130.7, width=10_000)) > 300  # nothing is left out where there is room


def test_the_speed_is_items_over_time(tmp_path, monkeypatch):
    """50 steps of 16 items, each of at least 4 ms, are at most 4000 items a second, and as many as the clock says."""
    update = small_methods.SmallGan.update
    monkeypatch.setattr(
        small_methods.SmallGan, "update", lambda self, batch, step: (time.sleep(0.004), update(self, batch, step))
    )
    folder = train(configured(steps=50, log_every=50, validate_every=0), tmp_path / "run")
    (row,) = folder.metrics()
    assert 0 < row["items_per_second"] < 4000
    assert row["items_per_second"] == pytest.approx(50 * 16 / row["seconds"], rel=0.25)


def test_memory_is_that_of_this_process():
    before = memory_megabytes(torch.device("cpu"))
    held = torch.ones(64 * 2**20 // 4 + int(before * 2**20) // 4)  # more than the peak so far
    assert memory_megabytes(torch.device("cpu")) - before > 50
    del held


def test_a_tensorboard_is_written(tmp_path):
    pytest.importorskip("tensorboardX")
    folder = train(configured(track=("tensorboard",)), tmp_path / "run")
    (events,) = (folder.path / "tensorboard").glob("events.out.tfevents.*")
    assert b"discriminator/loss" in events.read_bytes()


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_missing_tracker_says_how_to_install_it(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "tensorboardX" if name == "tensorboard" else name, None)
    with pytest.raises(GeneraError, match=rf'--track {name} needs .*pip install "genera\[track\]"'):
        open_tracker(name, RunFolder(tmp_path), {})
    with pytest.raises(GeneraError, match="pip install"):
        train(configured(track=(name,)), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_tracker_gets_every_row(tmp_path, monkeypatch):
    rows = []

    class Notebook:
        def log(self, row, step):
            rows.append((step, row))

    monkeypatch.setattr("genera.engine.train.open_tracker", lambda name, folder, config: Notebook())
    folder = train(configured(track=("wandb",)), tmp_path / "run")
    assert json.loads(json.dumps([row for _, row in rows])) == folder.metrics()
    assert [step for step, _ in rows] == [row["step"] for row in folder.metrics()]


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    log = logs.Log(RunFolder(tmp_path), [], 10)
    log.write({"step": 1, "loss": 2.0})
    log.close()
    assert list(tmp_path.iterdir()) == []


# compilers and dry runs


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="torch.compile needs a C compiler")
def test_a_compiled_run_learns_the_same(tmp_path, unbroken):
    done = start(SPEC, tmp_path / "run", "train.compile=true")
    assert done.returncode == 0, done.stderr
    one, two = weights(unbroken.path), weights(tmp_path / "run")
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)


def test_the_loop_stays_readable():
    assert len((TESTS.parent / "src/genera/engine/loop.py").read_text().splitlines()) < 300


def test_one_rank_agrees_with_itself():
    ranks = Ranks(0, 1, torch.device("cpu"))
    assert ranks.agree(3.0) == 3.0
    assert ranks.gather("me") == ["me"]
