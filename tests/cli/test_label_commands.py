"""`genera probe` and `genera guide`: tables for people, JSON for programs, one sentence for mistakes."""

import re
import shutil
from pathlib import Path

import pytest

from commands import genera
from genera.files import read_json

DATA = ("--factor", "number", "--items", "300", "--test-items", "80")
PROBE = ("--shots", "2", "10", "--draws", "2", "--no-tuned", "--map-items", "12")


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_probe(run):
    shown = genera("probe", run, *DATA, *PROBE)
    assert shown.code == 0
    result = read_json(run / "probe.json")
    rows = [line for line in shown.lines if "±" in line][1:]
    assert [row.split("  ")[0] for row in rows] == ["features", "features, untrained", "TF-IDF"]
    assert f"{100 * result['curves']['features'][0]['accuracy']:.1f} ±" in rows[0]
    assert all(finding in shown.out for finding in result["findings"])
    assert genera("probe", run, *DATA, *PROBE, "--json").json["curves"] == result["curves"]


def test_guide(run):
    words = ("guide", run, *DATA[2:], "--count", "3", "--max-tokens", "5")
    shown = genera(*words, "--factor", "number=plural", "--json")
    assert len(shown.json) == 3
    again = genera(*words, "--factor", "number", "--label", "plural")
    assert again.out == "\n".join(shown.json) + "\n"
    assert re.search(
        r"plural: \d of 3 by a classifier that is right about 100 % of real items \(probabilities", again.err
    )
    assert "did you mean plural" in genera(*words, "--factor", "number=plurals").error


def test_items_that_a_classifier_is_not_sure_of_are_rejected(run):
    words = ("guide", run, *DATA[2:], "--count", "4", "--factor", "number=plural")
    probabilities = []
    for sure in ("0.05", "0.5"):
        done = genera(*words, "--sure", sure)
        if done.code:  # a model of a few steps
            assert "of 200 items are 'plural' with a probability of at least" in done.error
            continue
        assert len(done.lines) == 4
        listed = re.search(r"\(probabilities (.*?)\)", done.err)[1].replace(" %", "").split(", ")
        assert all(float(share) >= 100 * float(sure) - 1 for share in listed)
        probabilities += listed
    assert probabilities
    assert "of 200 items are 'plural'" in genera(*words, "--sure", "0.9999999").error
    assert "--sure must lie between 0 and 1, got 1.0" in genera(*words, "--sure", "1").error
    score = genera("guide", run, *DATA[2:], "--factor", "number", "--score", "--sure", "0.5")
    assert "--score measures the guide without rejection" in score.error


def test_guides_are_scored_and_shown_in_the_report(run):
    scored = genera("guide", run, *DATA, "--score", "--count", "4")
    assert "Label seen by a classifier" in scored.out
    assert "plural: label seen by a classifier" in scored.out
    assert genera("probe", run, *DATA, *PROBE).code == 0
    page = Path(genera("report", run).out.strip()).read_text(encoding="utf-8")
    assert "Few labels" in page
    assert "number-vector" in page
    assert "t-SNE of the features" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["guide", "RUN", "--factor", "number"], "give a label: --label VALUE, or --factor NAME=VALUE"),
        (["guide", "RUN", "--factor", "number=plural", "--label", "x"], "differ; give one of them"),
        (["guide", "RUN", "--factor", "number=plural", "--score"], "--score measures every label"),
        (["guide", "RUN", "--factor", "number", "--score", "--top-k", "3"], "--score decodes greedily"),
        (["guide", "RUN", "--factor", "number=plural", "--count", "0"], "must be at least 1, got 0"),
        (["guide", "RUN", "--label", "x"], "has no labels; name them: --label-column"),
        (["probe", "RUN"], "has no labels; name them: --label-column"),
        (["probe", "RUN", "--factor", "number", "--shots", "100000"], "100000 shots per class requested"),
        (["probe", "RUN", "--label-column", "1"], "need --data"),
    ],
)
def test_mistakes(tiny_run, words, message):
    assert message in genera(*[tiny_run if word == "RUN" else word for word in words]).error
