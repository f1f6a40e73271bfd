"""`genera demo`: the whole way, at a size that a test can wait for."""

import shlex
from dataclasses import replace
from functools import partial

import pytest

from commands import genera
from genera.cli import demo
from genera.engine import registry
from genera.engine.step import Step
from genera.evaluation.evaluate import evaluate


@pytest.fixture
def small_demo(monkeypatch):
    """The demo with a smaller preset and a quicker evaluation."""
    entry = registry.entry("optimus")
    nano = entry.presets["nano"]
    small = replace(
        nano,
        data=replace(nano.data, data="world:captions-small", limit=400, vocabulary=400),
        train=replace(nano.train, steps=30, epochs=None, batch_size=8, checkpoint_every=10),
    )
    monkeypatch.setitem(entry.presets, "demo-size", small)
    monkeypatch.setattr(demo, "SPEC", "optimus:demo-size")
    few = {"likelihood": {"items": 4, "samples": 11}, "samples": {"count": 8, "items": 20}, "analogy": {"count": 20}}
    few |= {"latent": {"items": 20}, "reconstruction": {"items": 20}, "interpolation": {"pairs": 2}}
    monkeypatch.setattr("genera.evaluation.evaluate.evaluate", partial(evaluate, **few))


def test_killed_halfway_it_goes_on_and_the_second_time_it_is_done(tmp_path, monkeypatch, small_demo):
    out = tmp_path / "demo"
    begin = Step.begin

    def interrupted(self, index, progress):
        if index == 25:
            raise KeyboardInterrupt
        begin(self, index, progress)

    monkeypatch.setattr(Step, "begin", interrupted)
    assert genera("demo", "--out", out).code == 130
    monkeypatch.setattr(Step, "begin", begin)

    first = genera("demo", "--out", out)
    assert first.code == 0, first.err
    assert "resuming from step 20" in first.err
    assert (out / "report.html").exists()
    assert "The demo is done: a text VAE that turns sentences into 32 numbers and back." in first.out
    assert f"The report: {out / 'report.html'}" in first.out

    (file,) = (out / "evaluations").glob("*.json")
    evaluation = file.stat().st_mtime_ns
    second = genera("demo", "--out", out)
    assert second.out == first.out
    assert "already trained" in second.err
    assert file.stat().st_mtime_ns == evaluation

    _, _, advice = first.out.partition("Try next:\n")
    commands = [shlex.split(line) for line in advice.splitlines()]
    assert [words[:2] for words in commands] == [["genera", w] for w in ("sample", "interpolate", "analogy", "train")]
    for words in commands[:3]:
        result = genera(*words[1:])
        assert result.code == 0, result.err
        assert result.out
    mine = tmp_path / "mine.txt"
    mine.write_text("".join(f"sentence {i} of my own .\n" for i in range(400)))
    words = [word.replace("YOUR_FILE.txt", str(mine)).replace("runs/", f"{tmp_path}/") for word in commands[3][1:]]
    assert genera(*words, "--batch-size", "8", "--steps", "2").code == 0
    assert (tmp_path / "mine" / "config.yaml").exists()
