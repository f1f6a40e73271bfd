"""What probes and guides left, on the page."""

import pytest

from genera.errors import GeneraError
from genera.files import read_json, write_json
from genera.report.labels import guides_of, probe_of
from genera.report.page import write_report
from report.fake_run import HOSTILE
from report.test_page import Reader


def point(shots, accuracy):
    return {"shots": shots, "accuracy": accuracy, "sd": 0.012, "matthews": 0.4, "draws": [accuracy, accuracy]}


PROBE = {
    "data": "tsv:films.tsv",
    "test_items": 1872,
    "chance": 0.553,
    "curves": {"features": [point(1, 0.512), point(100, 0.687)], "TF-IDF": [point(1, 0.503), point(100, 0.741)]},
    "findings": ["features against TF-IDF: TF-IDF wins at 100 by 5.4 points (shots per class)."],
    "map": {
        "method": "t-SNE",
        "points": [[0, 0], [1, 2], [3, 1]],
        "texts": ["a", HOSTILE, "c"],
        "labels": ["bad", "good", "bad"],
    },
}
SCORES = {
    "method": "gan",
    "items_per_label": 100,
    "data": "tsv:films.tsv",
    "chance": 0.5,
    "measures": {"oracle_accuracy": {"value": 0.873, "error": 0.02, "n": 200}},
    "examples": {"good": [HOSTILE, "a fine film ."], "bad": ["a dull film ."]},
}


def page(run):
    html = write_report(run).read_text(encoding="utf-8")
    return html, Reader(html)


def test_a_run_without_them_has_no_such_sections(run):
    html, reader = page(run)
    assert "Few labels" not in reader.visible
    assert "Guided generation" not in reader.visible
    assert probe_of(run) == {}
    assert guides_of(run) == []
    assert HOSTILE not in html


def test_the_learning_curves_the_verdict_and_the_map(run):
    write_json(run / "probe.json", PROBE)
    html, reader = page(run)
    assert all(figure in reader.visible for figure in ("51.2 %", "68.7 %", "74.1 %", "55.3 %", "1,872"))
    assert "TF-IDF wins at 100 by 5.4 points" in reader.visible
    assert "t-SNE of the features" in reader.visible
    assert HOSTILE not in html
    points = probe_of(run)["map"]["points"]
    assert [colour for _, _, colour, _ in points] == [0, 1, 0]
    write_json(run / "probe.json", PROBE | {"map": None})
    assert "t-SNE" not in page(run)[1].visible


def test_the_scores_of_every_guide(run):
    for name in ("mood-gan", "mood-vector"):
        write_json(run / "guides" / name / "scores.json", SCORES)
    html, reader = page(run)
    for text in ("mood-gan", "mood-vector", "Label seen by a classifier", "87.3 %", "a fine film .", "50.0 %"):
        assert text in reader.visible
    assert HOSTILE not in html
    before = read_json(run / "guides/mood-gan/scores.json")
    assert before["examples"] == SCORES["examples"]


def test_damaged_files_are_named(run):
    write_json(run / "probe.json", {"curves": {}})
    with pytest.raises(GeneraError, match=r"probe\.json is damaged"):
        page(run)
    (run / "probe.json").unlink()
    write_json(run / "guides/x/scores.json", [])
    with pytest.raises(GeneraError, match=r"scores\.json is damaged"):
        page(run)
