"""Input unlike the training data is noticed, with the figure; usual input and runs without an evaluation are not."""

import json
import re
import warnings

import numpy as np
import pytest

import genera
from commands import genera as command
from genera import worlds
from genera.cli.main import overview
from genera.errors import FarFromTraining, GeneraError
from genera.evaluation.evaluate import evaluate
from genera.uses.typical import FILE, nats_per_word

FOREIGN = "The government announced new taxes on Monday ."
QUICK = {"likelihood": {"items": 20, "samples": 2}}


@pytest.fixture
def inside():
    return worlds.load("captions-small").sentences(5, seed=3, split="test")


def test_an_evaluation_on_the_runs_own_data_says_what_is_typical(copied):
    run = copied()
    run.reconstruct([FOREIGN])
    evaluate(run, measures=("likelihood",), **QUICK)
    about = json.loads((run.folder.path / FILE).read_text())
    assert about["items"] == 500
    assert about["step"] == run.step
    quantiles = about["quantiles"]
    assert 0 < quantiles["0.01"] < quantiles["0.5"] < quantiles["0.9"] < quantiles["0.99"]
    data = run.method.dataset.open(run.config.data, run.method.assets)
    assert quantiles["0.5"] == pytest.approx(np.median(nats_per_word(run, data.items("test", 500))), rel=0.1)


def test_the_shipped_model_warns_of_ordinary_english():
    run = genera.load("optimus-mini", device="cpu")
    usual = "a man is holding a kite near the church ."
    for use in (run.encode, run.reconstruct):
        with pytest.warns(FarFromTraining, match=r"1 of 2 texts .* 'The government .*' costs 4\d.* nats a word"):
            use([usual, FOREIGN])
    with pytest.warns(FarFromTraining):
        run.interpolate(usual, FOREIGN, steps=1)
    with pytest.warns(FarFromTraining):
        run.analogy(usual, usual, FOREIGN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.reconstruct(worlds.load("captions").sentences(60, seed=5, split="test"))
        run.reconstruct(worlds.load("captions-small").sentences(60, seed=5, split="test"))


def test_without_an_evaluation_nothing_is_said(run, inside):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.reconstruct([*inside, FOREIGN])


def test_a_damaged_file_is_named(copied, inside):
    run = copied()
    (run.folder.path / FILE).write_text('{"quantiles": 3}')
    with pytest.raises(GeneraError, match=r"typical\.json is damaged; delete it"):
        run.encode(inside)


def test_the_command_warns_on_stderr():
    done = command("reconstruct", "optimus-mini", FOREIGN)
    assert done.code == 0
    assert done.err.startswith("warning: 1 of 1 texts are unlike the training data")
    assert "warning" not in done.out


def test_the_first_example_of_the_help_lies_inside_the_grammar():
    line = next(line for line in overview().splitlines() if "interpolate optimus-mini" in line)
    sentences = re.findall(r'"(.*?)"', line)
    assert len(sentences) == 2
    assert all(worlds.load("captions").factors_of(sentence) for sentence in sentences)
    assert not command("interpolate", "optimus-mini", *sentences).err
