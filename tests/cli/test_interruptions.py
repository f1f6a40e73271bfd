"""What ends a training from outside: a closed pipe, a closed terminal, a kill, a deleted folder; and what is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from commands import genera
from genera.engine import checkpoint as ckpt
from genera.engine.folder import RunFolder
from genera.methods.lm.method import Lm

WORDS = ["train", "gpt2-lm:nano", "--data", "world:captions-small", "--limit", "300", "--vocabulary", "400",
         "--batch-size", "8", "--log-every", "1", "--validate-every", "0", "--checkpoint-every", "5"]  # fmt: skip
ENDLESS = [sys.executable, "-m", "genera", *WORDS, "--steps", "100000", "--out"]


def resumes(run):
    """Whether the same command, in this process and with a budget that ends, goes on from the last checkpoint."""
    step = ckpt.position_of(ckpt.pick(run / "checkpoints")).step
    again = genera(*WORDS, "--steps", step + 2, "--out", run)
    assert again.code == 0, again.err
    assert RunFolder(run).status()["state"] == "done"
    return f"resuming from step {step} of" in again.err


def wait_for(holds, process):
    while process.poll() is None and not holds():
        time.sleep(0.01)
    assert holds()


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_of_the_messages_that_leaves_stops_and_saves(tmp_path):
    """`genera train … 2>&1 | head`"""
    run = tmp_path / "run"
    process = subprocess.Popen([*ENDLESS, run], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if line.startswith("step 3"):
            break
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    status = RunFolder(run).status()
    assert (status["state"], status["step"]) == ("stopped", ckpt.position_of(ckpt.pick(run / "checkpoints")).step)
    assert status["step"] >= 3
    assert resumes(run)


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
@pytest.mark.parametrize("nohup", [False, True])
def test_a_closed_terminal_stops_and_saves_unless_hangups_are_ignored(tmp_path, nohup):
    import pty

    run = tmp_path / "run"
    pid, terminal = pty.fork()
    if pid == 0:
        if nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
        os.execv(sys.executable, [*ENDLESS, str(run)])
    metrics = run / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") >= 3):
        if not nohup:
            os.read(terminal, 4096)
        time.sleep(0.01)
    os.close(terminal)
    if nohup:
        lines = metrics.read_text().count("\n")
        while metrics.read_text().count("\n") < lines + 5:  # it goes on
            assert os.waitpid(pid, os.WNOHANG) == (0, 0)
            time.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 128 + signal.SIGTERM if nohup else code in (128 + signal.SIGHUP, 128 + signal.SIGPIPE)
    status = RunFolder(run).status()
    assert (status["state"], status["step"]) == ("stopped", ckpt.position_of(ckpt.pick(run / "checkpoints")).step)


def test_the_status_names_the_last_checkpoint_and_notices_a_killed_process(tmp_path):
    run = RunFolder(tmp_path / "run")
    process = subprocess.Popen([*ENDLESS, run.path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: run.status()["state"] == "running" and run.status()["step"] >= 10, process)
        assert run.status()["step"] % 5 == 0
    finally:
        process.kill()
        process.wait()
    assert json.loads(run.status_file.read_text())["state"] == "running"  # as it was left
    last = ckpt.position_of(ckpt.pick(run.checkpoints)).step
    assert run.status() == {"state": "interrupted", "step": last}
    assert resumes(run.path)


def during_training(monkeypatch, act):
    """Call `act` in the fourth step."""
    update = Lm.update

    def acting(self, batch, step):
        update(self, batch, step)
        if step.index == 3:
            act()

    monkeypatch.setattr(Lm, "update", acting)


@pytest.mark.parametrize("log_every", [1, 100])  # noticed in a line of the metrics, or in the checkpoint
def test_a_folder_deleted_while_it_trains_is_said_and_stays_deleted(tmp_path, monkeypatch, log_every):
    run, words = tmp_path / "run", [*WORDS, "--steps", 12, "--log-every", log_every, "--out", tmp_path / "run"]
    with monkeypatch.context() as patch:
        during_training(patch, lambda: shutil.rmtree(run))
        failed = genera(*words)
    assert f"{run} was deleted or moved while it was being written" in failed.error
    assert not run.exists()
    again = genera(*words)
    assert again.code == 0, again.err
    assert RunFolder(run).status()["step"] == 12


def test_a_run_that_takes_the_place_of_a_deleted_one_is_left_alone(tmp_path, monkeypatch):
    run, other = tmp_path / "run", tmp_path / "other"
    assert genera(*WORDS, "--steps", 2, "--out", other).code == 0
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}

    def replace():
        run.rename(tmp_path / "moved")
        other.rename(run)

    during_training(monkeypatch, replace)
    assert "was deleted or moved" in genera(*WORDS, "--steps", 12, "--out", run).error
    assert {other / path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_folder_deleted_in_part_says_what_to_do(tmp_path):
    run = tmp_path / "run"
    assert genera(*WORDS, "--steps", 2, "--out", run).code == 0
    (run / "config.yaml").unlink()
    failed = genera(*WORDS, "--steps", 2, "--out", run)
    assert "holds the remains of a run without its config.yaml (assets, checkpoints, metrics.jsonl" in failed.error
    assert "delete the folder to start again" in failed.error
    assert ckpt.pick(run / "checkpoints")  # nothing is lost


def test_a_process_interrupted_before_it_trains_leaves_no_running_status(tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Lm, "lay_out", interrupted)
    assert genera(*WORDS, "--steps", 2, "--out", tmp_path / "run").code == 130
    assert json.loads((tmp_path / "run" / "status.json").read_text()) == {"state": "stopped", "step": 0}
