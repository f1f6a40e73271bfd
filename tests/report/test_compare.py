"""Runs side by side: who is best where, and when that must not be said."""

import json

import pytest

from genera.errors import GeneraError
from genera.files import read_json, read_yaml, write_json, write_yaml
from genera.report.compare import comparison_table, write_comparison
from report.fake_run import FIGURES, HOSTILE, make_run


@pytest.fixture
def runs(tmp_path):
    return [make_run(tmp_path / "main"), make_run(tmp_path / "plain", "collapsed", seed=1)]


def test_the_best_of_a_row_follows_the_catalogue(runs):
    table = comparison_table(runs)
    assert table["comparable"] is True
    best = {name: row["best"] for name, row in table["measures"].items()}
    assert best["exact_reconstruction"] == [0]  # higher is better
    assert best["ppl_word"] == [1]  # lower is better
    assert best["elbo"] == [1]  # nearer to 0
    assert best["kl"] == []  # neither
    assert json.loads(json.dumps(table)) == table


def test_values_within_noise_share_the_first_place(runs):
    evaluation = read_json(runs[1] / "evaluation.json")
    ours = {"value": 0.980, "error": 0.004, "n": 2000}
    write_json(runs[1] / "evaluation.json", evaluation | {"measures": {"exact_reconstruction": ours}})
    table = comparison_table(runs)
    assert table["measures"]["exact_reconstruction"]["best"] == [0, 1]
    assert table["measures"]["ppl_word"]["values"][1] is None
    assert table["measures"]["ppl_word"]["best"] == []


@pytest.mark.parametrize(("part", "value"), [("split", "valid"), ("items", 500)])
def test_other_items_are_not_compared(runs, part, value):
    write_json(runs[1] / "evaluation.json", read_json(runs[1] / "evaluation.json") | {part: value})
    table = comparison_table(runs)
    assert table["comparable"] is False
    assert f"plain: {value}" in table["warnings"][0]
    assert all(row["best"] == [] for row in table["measures"].values())


def test_other_data_are_not_compared(runs):
    config = read_yaml(runs[1] / "config.yaml")
    write_yaml(runs[1] / "config.yaml", config | {"data": {"data": "text:mine.txt"}})
    assert "the data differs (main: world:captions, plain: text:mine.txt)" in comparison_table(runs)["warnings"][0]
    measured = read_json(runs[1] / "evaluation.json") | {"data": "world:captions"}
    write_json(runs[1] / "evaluation.json", measured)  # trained on other data, measured on the same
    assert comparison_table(runs)["comparable"] is True


def test_another_vocabulary_spoils_the_perplexity_per_token_alone(runs):
    assert comparison_table(runs)["measures"]["ppl_token"]["best"]
    config = read_yaml(runs[1] / "config.yaml")
    write_yaml(runs[1] / "config.yaml", config | {"data": config["data"] | {"vocabulary": 500}})
    measures = comparison_table(runs)["measures"]
    assert measures["ppl_token"]["best"] == []
    assert measures["ppl_word"]["best"] == [1]


def test_measures_over_different_numbers_of_items_have_no_best(runs):
    evaluation = read_json(runs[0] / "evaluation.json")
    evaluation["measures"]["iw_bound"]["n"] = 500
    write_json(runs[0] / "evaluation.json", evaluation)
    measures = comparison_table(runs)["measures"]
    assert measures["iw_bound"]["best"] == []
    assert measures["iw_bound_10"]["best"] == [1]


def test_the_page_holds_both_runs(runs, tmp_path):
    path = write_comparison(runs, tmp_path / "compare.html")
    html = path.read_text(encoding="utf-8")
    assert "Posterior collapse" in html
    assert "model.free_bits" in html  # the setting that differs
    assert "model.latent_size" not in html.split('id="config"')[1]
    assert HOSTILE not in html
    assert html.count("<polyline") >= 2 * 8
    assert html.count('number best"') >= len(FIGURES["healthy"]) // 2


def test_folders_of_one_name_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / side / "demo") for side in "ab"]
    assert [run["run"] for run in comparison_table(runs)["runs"]] == [str(run) for run in runs]


def test_too_few_runs_and_an_unmeasured_run_are_named(runs):
    with pytest.raises(GeneraError, match="at least two"):
        comparison_table(runs[:1])
    (runs[0] / "evaluation.json").unlink()
    with pytest.raises(GeneraError, match="genera evaluate"):
        comparison_table(runs)
