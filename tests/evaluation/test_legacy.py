"""Runs that were evaluated before RUN/evaluations/ existed are read as if they were measured today."""

import json

import pytest

from genera.errors import GeneraError
from genera.evaluation.label_blocks import guide_blocks, probe_blocks
from genera.evaluation.storage import chosen, read, stored_in
from genera.files import write_json
from genera.report.compare import comparison_table
from genera.report.page import write_report
from report.fake_run import HOSTILE, evaluation_file, make_run
from report.test_page import Reader

WALK = {
    "id": "7_0", "split": "val_unseen", "scan": "house", "instruction": "go to the <door>",
    "positions": [[0, 0, 0], [4, 0, 0]], "edges": [[0, 1]], "path": [0, 1], "reference": [0, 1], "goals": [1],
    "words": ["go"], "attention": [[1.0], [1.0]], "figures": {"SR": 1.0, "NE": 0.0, "SPL": 1.0},
}  # fmt: skip
GROUP = {"episodes": 5, "SR": 0.5, "SPL": 0.4}
OLD = {
    "method": "optimus", "preset": "nano", "data": "world:captions", "split": "test", "items": 40, "step": 3125,
    "seed": 3, "seconds": 1.5, "settings": {"items": 40},
    "measures": {
        "kl": {"value": 17.5, "error": 0.1, "n": 40},
        "iw_bound_10": {"value": -20.2, "error": None, "n": 8},
        "iw_bound": {"value": -19.0, "error": None, "n": 8},
        "fid_a2b": {"value": 3.0, "error": None, "n": 60},
        "unheard_of": {"value": None, "error": None, "n": 3},
    },
    "diagnosis": [{"level": "good", "finding": "It is used.", "evidence": {"kl": 17.5}, "advice": "Go on."}],
    "examples": {
        "samples": [HOSTILE, "two dogs ."],
        "reconstructions": [{"input": "a dog .", "output": "a cat .", "exact": False}],
        "interpolations": [{"start": "a", "end": "b", "path": ["a", "c", "b"]}],
        "analogies": [{"a": "p", "b": "q", "c": "r", "expected": "s", "output": "t", "correct": False}],
        "responses": [{"context": ["hi"], "references": ["yo"], "responses": [{"text": "no", "right": False}]}],
    },
    "latent_map": {"method": "PCA", "points": [[0, 1], [1, 0]], "texts": ["x", "y"], "labels": {"words": ["1", "2"]}},
    "kl_per_dimension": [1.0, 2.0], "variance_per_dimension": [0.5, 0.6],
    "lengths": {"words": [8, 10], "reconstruction_nats": [2.1, 3.2], "exact": [1.0, 0.9]},
    "factors": {"tense": {"reconstruction": 0.9, "chance": 0.5, "analogy": 0.8, "analogy_chance": 0.6}},
    "images": [{"title": "Samples", "text": "Not picked.", "file": "samples/gone.png"}],
    "factor_shares": {"shape": {"star": {"generated": 0.2, "data": 0.3}}},
    "walks": [WALK],
    "breakdowns": {"val_unseen": {"edges": {"4": GROUP}, "scan": {"house": GROUP}}},
    "actions": {"valid": {"0": {"share": 0.2, "accuracy": 0.9}}},
    "instructions": [{"scan": "house", "split": "val_seen", "written": "go out", "annotated": ["leave", "walk out"]}],
}  # fmt: skip
PROBE = {
    "data": "tsv:films.tsv", "test_items": 1872, "chance": 0.553,
    "curves": {"features": [{"shots": n, "accuracy": a, "sd": 0.012} for n, a in ((1, 0.512), (100, 0.687))]},
    "findings": ["TF-IDF wins at 100."],
    "map": {"method": "t-SNE", "points": [[0, 0], [1, 2]], "texts": ["a", HOSTILE], "labels": ["bad", "good"]},
}  # fmt: skip
SCORES = {
    "method": "gan", "items_per_label": 100, "data": "tsv:films.tsv", "chance": 0.5,
    "measures": {"oracle_accuracy": {"value": 0.873, "error": 0.02, "n": 200}},
    "examples": {"good": [HOSTILE, "a fine film ."], "bad": ["a dull film ."]},
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run with an evaluation.json alone."""
    path = make_run(tmp_path / "old")
    evaluation_file(path).unlink()
    write_json(path / "evaluation.json", OLD)
    return path


def test_names_become_fields(run):
    stored = chosen(run)
    assert stored.name == "evaluation"
    assert {figure.key for figure in stored.figures} == {"kl", "iw_bound/K=10", "iw_bound", "fid/a2b", "unheard_of"}
    assert stored.settings == {"seed": 3}
    assert stored.definitions["iw_bound"].unit == "nats/item"


def test_splits_of_navigation(run):
    names = ("SR", "SR_unseen", "SR_gap", "SR_random_unseen")
    figures = {name: {"value": 0.5, "error": None, "n": 5} for name in names}
    write_json(run / "evaluation.json", OLD | {"split": "val_seen + val_unseen", "measures": figures})
    keys = [figure.key for figure in chosen(run).figures]
    assert keys == ["SR/val_seen", "SR/val_unseen", "SR_gap", "SR_random/val_unseen"]


def test_everything_is_on_the_page(run):
    html = write_report(run).read_text()
    reader = Reader(html)
    for text in (
        "It is used.", "KL to the prior", "Importance-weighted bound, K = 10", "FID", "two dogs", "a cat .", "expected",
        "house, episode 7_0", "SR by house", "STOP", "leave", "hi", "star", "20.0 % · data 30.0 %",
        "80.0 % · chance 60.0 %",
    ):  # fmt: skip
        assert text in reader.visible, text
    assert "<script>alert" not in html


def test_a_new_evaluation_comes_first_and_the_old_one_stays(run):
    make_run(run)
    assert [stored.name for stored in stored_in(run)] == ["evaluation", "world-captions.test.step-3125"]
    assert "--evaluation evaluation" in write_report(run).read_text()
    assert "It is used." in write_report(run, evaluation="evaluation").read_text()


def test_old_and_new_runs_are_compared(run, tmp_path):
    table = comparison_table([run, make_run(tmp_path / "new")])
    assert [entry["evaluation"] for entry in table["runs"]] == ["evaluation", "world-captions.test.step-3125"]
    assert [value["value"] for value in table["measures"]["kl"]["values"]] == [17.5, 17.5]


def test_every_part_is_optional(run):
    for part in OLD:
        write_json(run / "evaluation.json", {key: value for key, value in OLD.items() if key != part})
        write_report(run)
        write_json(run / "evaluation.json", {part: OLD[part]})
        write_report(run)


def test_probes_and_guides(run):
    write_json(run / "probe.json", PROBE)
    for name in ("mood-gan", "mood-vector"):
        write_json(run / "guides" / name / "scores.json", SCORES)
    html = write_report(run).read_text()
    reader = Reader(html)
    for text in (
        "51.2 % ± 1.2 %", "68.7 %", "55.3%", "1,872", "TF-IDF wins at 100.", "t-SNE", "mood-gan", "mood-vector",
        "Label seen by a classifier", "87.3%", "a fine film .",
    ):  # fmt: skip
        assert text in reader.visible, text
    assert "<script>alert" not in html


def test_blocks_that_probes_and_guides_store_are_drawn_as_they_are(run):
    blocks = [block.plain() for block in (*probe_blocks(PROBE), *guide_blocks("mood", SCORES))]
    write_json(run / "probe.json", {"blocks": json.loads(json.dumps(blocks))})
    assert "TF-IDF wins at 100." in Reader(write_report(run).read_text()).visible


def test_damaged_files_are_named(run):
    write_json(run / "probe.json", {"curves": {}})
    with pytest.raises(GeneraError, match=r"probe\.json is damaged"):
        write_report(run)
    (run / "probe.json").unlink()
    write_json(run / "guides/x/scores.json", [])
    with pytest.raises(GeneraError, match=r"scores\.json is damaged"):
        write_report(run)
    (run / "guides/x/scores.json").unlink()
    (run / "evaluation.json").write_text("[]")
    with pytest.raises(GeneraError, match=r"evaluation\.json is damaged"):
        write_report(run)


def test_the_entropy_floor_is_read_with_the_sign_of_the_bounds(tmp_path):
    definition = {"name": "nll_floor", "title": "Entropy floor", "unit": "nats/item", "better": "neither", "text": ""}
    figures = [
        {"measure": "nll_floor", "value": 17.3, "error": 0.1, "n": 500},
        {"measure": "elbo", "value": -23.4, "error": 0.1, "n": 500},
    ]
    entry = {"question": "", "options": {}, "seconds": 1.0, "figures": figures, "blocks": [], "facts": {}}
    told = {
        "method": "optimus", "preset": "nano", "data": "world:captions", "split": "test", "step": 3, "settings": {},
        "written": 1.0, "results": {"likelihood": entry | {"measures": [definition, definition | {"name": "elbo"}]}},
        "diagnosis": [{"level": "note", "finding": "", "advice": "", "evidence": {"nll_floor": 17.3, "elbo": -23.4}}],
    }  # fmt: skip
    write_json(tmp_path / "old.json", told)
    stored = read(tmp_path / "old.json")
    assert {figure.key: figure.value for figure in stored.figures} == {"log_likelihood_of_world": -17.3, "elbo": -23.4}
    assert stored.definitions["log_likelihood_of_world"].title == "Log-likelihood under the world"
    assert stored.diagnosis[0]["evidence"] == {"log_likelihood_of_world": -17.3, "elbo": -23.4}
