"""The last resort: whatever a command does not explain is one sentence, a kept traceback and a failed status."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import TINY, genera
from genera.cli import crash, sample
from genera.engine import loop
from genera.engine.folder import RunFolder


class Panic(BaseException):
    """As pyo3's PanicException, which is no Exception."""


@pytest.mark.parametrize("kind", [ZeroDivisionError, Panic, RecursionError, KeyError])
def test_an_unexplained_exception_is_one_sentence_and_its_traceback_a_file(monkeypatch, tmp_path, kind):
    def broken(arguments):
        raise kind("of no use\nsecond line")

    monkeypatch.setattr(sample, "main", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failed = genera("sample", "nowhere", crashes=True)
    (kept,) = tmp_path.glob("genera-*-traceback.txt")
    assert (failed.code, failed.out) == (crash.EXIT, "")
    assert failed.err.count("\n") == 1
    assert failed.err.startswith(f"error: {kind.__name__} (")
    assert f"during `genera sample`; the traceback is in {kept}." in failed.err
    text = kept.read_text()
    assert "genera sample nowhere" in text.splitlines()[0]
    assert "in broken" in text
    assert "second line" in text


def test_of_a_training_run_the_traceback_is_in_its_folder_and_the_status_failed(monkeypatch, tmp_path):
    run = tmp_path / "run"
    words = (*TINY.replace("60", "6").split(), "--checkpoint-every", "2", "--out", run)
    update = loop.Step.begin

    def broken(self, step, progress):
        if step == 4:
            raise RuntimeError("wrong shapes")
        return update(self, step, progress)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Step, "begin", broken)
        failed = genera(*words, crashes=True)
    assert failed.code == crash.EXIT
    assert failed.err.splitlines()[-1] == (
        "error: RuntimeError (wrong shapes): a bug in genera or in a plug-in during `genera train`; "
        f"the traceback is in {run / crash.FILE}."
    )
    assert "wrong shapes" in (run / crash.FILE).read_text()
    status = RunFolder(run).status()
    assert status["state"] == "failed"
    assert "RuntimeError (wrong shapes)" in status["message"]
    assert genera(*words).code == 0
    assert RunFolder(run).status()["state"] == "done"


def test_a_command_that_only_reads_a_run_leaves_its_status(monkeypatch, tiny_run, tmp_path):
    def broken(arguments):
        raise ValueError

    monkeypatch.setattr(sample, "main", broken)
    before = RunFolder(tiny_run).status()
    failed = genera("sample", tiny_run, crashes=True)
    (tiny_run / crash.FILE).unlink()
    assert failed.err.startswith("error: ValueError: a bug in genera")
    assert RunFolder(tiny_run).status() == before


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "error: the memory ran out: MemoryError; lower --batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 TB"), "error: the memory ran out: RuntimeError"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "no"), "error: the output has characters that ascii lacks"),
    ],
)
def test_known_reasons_are_told(monkeypatch, tmp_path, error, sentence):
    def broken(arguments):
        raise error

    monkeypatch.setattr(sample, "main", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert genera("sample", "nowhere", crashes=True).err.startswith(sentence)


def test_a_refusal_of_the_system_is_no_bug(monkeypatch):
    def broken(arguments):
        raise OSError(errno.EACCES, "Permission denied", "/secret")

    monkeypatch.setattr(sample, "main", broken)
    assert genera("sample", "nowhere").error == "cannot use /secret: Permission denied."


def test_developers_see_the_traceback(monkeypatch, tmp_path):
    failed = genera("sample", "nowhere", "--traceback")
    assert failed.code == 1
    assert "Traceback (most recent call last)" in failed.err
    assert failed.err.splitlines()[-1].startswith("error: nowhere is not a run folder")
    words = [sys.executable, "-m", "genera", "sample", "nowhere"]
    done = subprocess.run(words, env=os.environ | {crash.VARIABLE: "1"}, capture_output=True, text=True)
    assert "Traceback (most recent call last)" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "optimus:nano", "--out", "a\0b"], r"the argument 'a\x00b' has a NUL character; remove it."),
        (["guide", "run", "--label", "a\udce9"], r"the argument 'a\udce9' is not UTF-8; write it in UTF-8, or rename"),
        (["train", "optimus:nano", "--out", "a" * 300, "--steps", "2"], "File name too long"),
        (["sample", "a" * 300], "File name too long"),
        (["train", "optimus:nano", "--data", "text:" + "a" * 300, "--out", "run"], "File name too long"),
        (["train", "--config", "a" * 300 + ".yaml", "--out", "run"], "File name too long"),
        (["measure", "a" * 300, "b"], "File name too long"),
        (["verify", "a" * 300], "File name too long"),
    ],
)
def test_words_that_no_file_could_have_as_its_name(monkeypatch, tmp_path, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in genera(*words).error


def test_a_long_name_for_results(tiny_run, tmp_path):
    assert "File name too long" in genera("encode", tiny_run, "a cat", "--out", tmp_path / ("a" * 300 + ".npz")).error
    assert not list(Path(tmp_path).iterdir())
