"""Runs side by side: who is best where, and when that must not be said."""

import json

import pytest

from genera.errors import GeneraError
from genera.files import read_json, read_yaml, write_json, write_yaml
from genera.measures.schema import Figure
from genera.report.compare import comparison_table, kept, write_comparison
from genera.report.markdown import markdown_table
from genera.worlds.captions import CAPTIONS
from report.fake_run import FIGURES, HOSTILE, change, evaluation_file, make_run, write_evaluation


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


def test_values_within_noise_are_no_better_than_each_other(runs):
    write_evaluation(runs[1], {"exact": Figure("exact_reconstruction", 0.980, 0.004, 2000)})
    table = comparison_table(runs)
    assert table["measures"]["exact_reconstruction"]["best"] == []
    assert table["measures"]["ppl_word"]["values"][1] is None
    assert table["measures"]["ppl_word"]["best"] == []


def test_other_splits_and_data_are_not_compared(runs):
    change(runs[1], split="valid")
    table = comparison_table(runs)
    assert table["comparable"] is False
    assert table["warnings"] == ["Not comparable: the split differs (main: test, plain: valid)."]
    assert all(row["best"] == [] for row in table["measures"].values())
    change(runs[1], split="test", data="text:mine.txt")
    assert "the data differs (main: world:captions, plain: text:mine.txt)" in comparison_table(runs)["warnings"][0]


def test_runs_trained_on_other_data_and_measured_on_the_same_are_compared(runs):
    config = read_yaml(runs[1] / "config.yaml")
    write_yaml(runs[1] / "config.yaml", config | {"data": {"data": "text:mine.txt"}})
    assert comparison_table(runs)["comparable"] is True


def test_the_newest_evaluation_that_all_runs_have_is_compared(runs, tmp_path):
    write_evaluation(runs[0], {"kl": 1.0}, split="valid", written=3000.0)
    table = comparison_table(runs)
    assert [run["split"] for run in table["runs"]] == ["test", "test"]
    assert table["runs"][0]["others"] == ["world-captions.valid.step-3125"]
    write_evaluation(runs[1], {"kl": 2.0}, split="valid", written=2000.0)
    assert [value["value"] for value in comparison_table(runs)["measures"]["kl"]["values"]] == [1.0, 2.0]
    table = comparison_table(runs, evaluation="world-captions.test")
    assert [run["evaluation"] for run in table["runs"]] == ["world-captions.test.step-3125"] * 2
    page = write_comparison(runs, tmp_path / "c.html", evaluation="world-captions.test").read_text()
    assert "world:captions, test split, step 3125" in page
    assert "also there: <code>world-captions.valid.step-3125</code>" in page
    with pytest.raises(GeneraError, match="unknown evaluation of"):
        comparison_table(runs, evaluation="other")


def test_measures_with_other_options_have_no_best(runs):
    for run, samples in zip(runs, (10, 100), strict=True):
        file = evaluation_file(run)
        stored = read_json(file)
        stored["results"]["everything"]["options"] = {"samples": samples}
        write_json(file, stored)
    assert comparison_table(runs)["measures"]["ppl_word"]["best"] == []


def test_figures_without_a_standard_error_have_no_best(runs):
    for run, value in zip(runs, (1.0, 90.0), strict=True):
        write_evaluation(run, {"fid": Figure("fid", value, None, 2000), "kid": Figure("kid", value, 0.1, 2000)})
    measures = comparison_table(runs)["measures"]
    assert (measures["fid"]["best"], measures["kid"]["best"]) == ([], [0])


def test_other_decoding_features_and_image_sizes_are_named(runs, tmp_path):
    greedy, sampled = {"temperature": 0.0, "top_k": 0, "top_p": 1.0}, {"temperature": 1.0, "top_k": 0, "top_p": 0.9}
    for run, facts in zip(runs, ({"decoding": [greedy]}, {"decoding": [sampled]}), strict=True):
        change_facts(run, facts)
    differs = "decoding: greedy and temperature 1, top-p 0.9"
    table = comparison_table(runs)
    assert {row["differs"] for row in table["measures"].values() if row["unit"] != "per token"} == {differs}
    assert all(row["best"] == [] for row in table["measures"].values())
    assert f"Not comparable: {differs}" in write_comparison(runs, tmp_path / "c.html").read_text()
    assert f"(not comparable: {differs})" in markdown_table(table)
    for run, name in zip(runs, ("in-domain classifier", "inception"), strict=True):
        change_facts(run, {"features": name})
    assert comparison_table(runs)["measures"]["kl"]["differs"] == "features: in-domain classifier and inception"
    for run, size in zip(runs, (28, 32), strict=True):
        change_facts(run, {"features": "in-domain classifier"})
        config = read_yaml(run / "config.yaml")
        write_yaml(run / "config.yaml", config | {"data": config["data"] | {"image_size": size}})
    assert comparison_table(runs)["measures"]["kl"]["differs"] == "image size: 28 and 32"


def change_facts(run, facts):
    file = evaluation_file(run)
    stored = read_json(file)
    stored["results"]["everything"]["facts"] = facts
    write_json(file, stored)


def test_directions_and_splits_are_rows_of_their_own(runs, tmp_path):
    for run, value in zip(runs, (3.0, 9.0), strict=True):
        figures = [Figure("fid", value + i, 0.1, 50, direction=d) for i, d in enumerate(("a2b", "b2a"))]
        write_evaluation(run, dict(enumerate(figures)))
    table = comparison_table(runs)
    assert [row["title"] for row in table["measures"].values()] == ["FID, a2b", "FID, b2a"]
    assert table["measures"]["fid/b2a"]["best"] == [0]
    page = write_comparison(runs, tmp_path / "c.html").read_text()
    assert "FID, b2a" in page
    assert "fid/b2a" not in page


def test_another_vocabulary_spoils_the_perplexity_per_token_alone(runs):
    assert comparison_table(runs)["measures"]["ppl_token"]["best"]
    config = read_yaml(runs[1] / "config.yaml")
    write_yaml(runs[1] / "config.yaml", config | {"data": config["data"] | {"vocabulary": 500}})
    measures = comparison_table(runs)["measures"]
    assert measures["ppl_token"]["best"] == measures["ppl_token_bos_eos"]["best"] == []
    assert measures["ppl_word"]["best"] == [1]


def test_measures_over_different_numbers_of_items_have_no_best(runs):
    figures = {key: value for key, value in FIGURES["healthy"].items() if key != "iw_bound"}
    write_evaluation(runs[0], figures | {"iw_bound": Figure("iw_bound", -19.0, 0.1, 500)})
    measures = comparison_table(runs)["measures"]
    assert measures["iw_bound"]["best"] == []
    assert measures["iw_bound/K=10"]["best"] == [1]


def test_the_page_holds_both_runs(runs, tmp_path):
    path = write_comparison(runs, tmp_path / "compare.html")
    html = path.read_text(encoding="utf-8")
    assert "Posterior collapse" in html
    assert "model.free_bits" in html  # the setting that differs
    assert "model.latent_size" not in html.split('id="config"')[1]
    assert HOSTILE not in html
    samples = html.split('id="section-samples"')[1].split("</section>")[0]  # side by side
    assert all(CAPTIONS.sentences(61, seed, "test")[60] in samples for seed in (0, 1))
    assert html.count("<polyline") >= 2 * 8
    assert html.count('number best"') >= 10


def test_folders_of_one_name_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / side / "demo") for side in "ab"]
    assert [run["run"] for run in comparison_table(runs)["runs"]] == ["a/demo", "b/demo"]


def test_too_few_runs_and_an_unmeasured_run_are_named(runs):
    with pytest.raises(GeneraError, match="at least two"):
        comparison_table(runs[:1])
    evaluation_file(runs[0]).unlink()
    with pytest.raises(GeneraError, match="genera evaluate"):
        comparison_table(runs)


@pytest.fixture
def seeds(tmp_path):
    """Three seeds of one setting, whose FID is 10, 12 and 17, and one run of another setting."""
    runs = [make_run(tmp_path / "main" / f"seed-{seed}", seed=seed) for seed in (3, 4, 5)]
    runs.append(make_run(tmp_path / "plain" / "seed-3", "collapsed", seed=3))
    for run, fid in zip(runs, (10.0, 12.0, 17.0, 12.5), strict=True):
        write_evaluation(run, {"fid": Figure("fid", fid, 0.1, 2000)})
    return runs


def test_runs_that_differ_in_their_seed_alone_are_one_column(seeds):
    table = comparison_table(seeds)
    names = [f"main/seed-{seed}" for seed in (3, 4, 5)]
    assert table["groups"] == [{"name": "main", "runs": names}, {"name": "plain/seed-3", "runs": ["plain/seed-3"]}]
    assert [run["group"] for run in table["runs"]] == ["main"] * 3 + ["plain/seed-3"]
    together, alone = table["measures"]["fid"]["values"]
    sd = ((3**2 + 1**2 + 4**2) / 2) ** 0.5  # around the mean of 13
    assert together == {"value": 13.0, "sd": sd, "error": sd / 3**0.5, "n": 2000, "runs": [10.0, 12.0, 17.0]}
    assert alone == {"value": 12.5, "error": 0.1, "n": 2000}
    assert table["measures"]["fid"]["best"] == []  # 0.5 apart, by two standard errors of 2.1


def test_the_spread_over_seeds_decides_who_is_best(seeds):
    for run, fid in zip(seeds, (12.9, 13.0, 13.1), strict=False):
        write_evaluation(run, {"fid": Figure("fid", fid, 9.0, 2000)})
    assert comparison_table(seeds)["measures"]["fid"]["best"] == [1]


def test_a_seed_whose_figure_is_no_number_leaves_no_mean(seeds):
    write_evaluation(seeds[1], {"fid": Figure("fid", None, None, 9)})
    table = comparison_table(seeds)
    assert table["measures"]["fid"]["values"][0] == {
        "value": None, "sd": None, "error": None, "n": None, "runs": [10.0, None, 17.0],
    }  # fmt: skip
    assert table["measures"]["fid"]["best"] == []
    assert json.loads(json.dumps(table)) == table


def test_equal_seeds_are_no_sample_of_seeds(tmp_path):
    runs = [make_run(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert [group["name"] for group in comparison_table(runs)["groups"]] == ["a", "b", "c"]


def test_seeds_in_folders_of_no_common_name_are_all_named(tmp_path):
    runs = [make_run(tmp_path / name, seed=seed) for seed, name in enumerate("abc")]
    assert [group["name"] for group in comparison_table(runs)["groups"]] == ["a, b, c"]


def test_the_page_shows_mean_deviation_and_band_of_several_seeds(seeds, tmp_path):
    page = write_comparison(seeds, tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "13.00 <small>± 3.61</small>" in page
    assert 'title="10.00, 12.00, 17.00"' in page  # each seed, on hovering
    curves = page.split('id="curves"')[1].split('id="config"')[0]
    loss = curves.split("</figure>")[0]
    assert loss.count("<polyline") == 2
    assert loss.count("<polygon") == 1  # around the one group with seeds
    rate = next(figure for figure in curves.split("</figure>") if "learning rate" in figure)
    assert rate.count("<polygon") == 0  # equal for all seeds
    settings = page.split('id="config"')[1]
    assert "model.free_bits" in settings
    assert "train.seed" not in settings


def test_a_term_that_one_group_alone_has_keeps_the_groups_colour(seeds, tmp_path):
    log = seeds[3] / "metrics.jsonl"
    rows = [json.loads(line) | {"usage": 0.5} for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = write_comparison(seeds, tmp_path / "compare.html").read_text(encoding="utf-8")
    usage = next(figure for figure in page.split("</figure>") if ">usage<" in figure)
    assert usage.count("<polyline") == 1
    assert 'class="line-1"' in usage  # the second group's, as in every chart
    assert '<span class="key c1">plain/seed-3</span>' in usage


def test_the_markdown_table_says_the_same(seeds):
    lines = markdown_table(comparison_table(seeds)).splitlines()
    assert lines[0] == "|  | main (3 seeds) | plain/seed-3 |"
    assert lines[2] == "| FID, distance | 13.00 ± 3.61 | 12.50 ± 0.100 |"


def test_a_table_can_be_cut_to_some_measures(runs):
    table = comparison_table(runs)
    assert list(kept(table, ("kl", "elbo"))["measures"]) == ["kl", "elbo"]
    assert kept(table, ()) == table
    with pytest.raises(GeneraError, match="unknown measure of these runs 'klx'; did you mean kl"):
        kept(table, ("klx",))
