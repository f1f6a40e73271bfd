"""`genera evaluate`, `report` and `compare` on a trained run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from commands import QUICK, genera

NAMES = ["elbo", "reconstruction", "kl", "iw_bound", "ppl_word", "ppl_token", "mi", "mi_ceiling", "au"]


@pytest.fixture(scope="module")
def evaluated(tiny_run, tmp_path_factory):
    """A copy of the run, and what `genera evaluate --json` said of it."""
    run = tmp_path_factory.mktemp("measured") / "run"
    shutil.copytree(tiny_run, run)
    return run, genera("evaluate", run, *QUICK.split(), "--json")


def test_the_figures_have_their_names(evaluated):
    _, result = evaluated
    figures = result.json
    for name in NAMES:
        assert isinstance(figures[name], int | float), name
        assert figures["counts"][name] > 0
        assert name in figures["errors"]
    assert figures["elbo"] == pytest.approx(-(figures["reconstruction"] + figures["kl"]), rel=1e-6)
    assert figures["iw_bound"] >= figures["elbo"]
    assert figures["mi"] <= figures["mi_ceiling"]
    assert figures["settings"]["likelihood"] == {"items": 30, "samples": 12}
    assert figures["options"]["likelihood"]["samples"] == 12


def test_progress_goes_to_stderr_and_no_infinity_is_printed(evaluated):
    _, result = evaluated
    assert result.code == 0
    assert "measuring likelihood" in result.err

    def refuse(word):
        raise AssertionError(word)

    json.loads(result.out, parse_constant=refuse)


def test_the_file_holds_what_was_printed(evaluated):
    run, result = evaluated
    file = Path(result.json["file"])
    assert file.parent == run / "evaluations"
    written = json.loads(file.read_text())
    figures = [figure for entry in written["results"].values() for figure in entry["figures"]]
    assert len(figures) > 20
    for figure in figures:
        key = figure["measure"] if figure["samples"] is None else f"{figure['measure']}/K={figure['samples']}"
        assert figure["value"] == result.json[key]
    assert written["diagnosis"] == result.json["diagnosis"]


def test_the_table_says_what_and_in_which_unit(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    words = ("--likelihood.items", 30, "--likelihood.samples", 12, "--latent.items", 60)
    shown = genera("evaluate", run, "--measures", "latent", "likelihood", *words)
    assert shown.code == 0
    assert shown.lines[0].startswith("optimus:nano, world:captions-small, test split, step 60, ")
    assert any("ELBO" in line and "nats/item" in line and "±" in line for line in shown.lines)
    assert any("Importance-weighted bound, K=10" in line for line in shown.lines)
    assert any(line[:1] in "+·!" for line in shown.lines if line)  # what the diagnosis says
    (file,) = (run / "evaluations").glob("*.json")
    assert set(json.loads(file.read_text())["results"]) == {"latent", "likelihood"}


def test_other_data_and_splits_are_measured_when_asked(tiny_run, tmp_path):
    run, file = tmp_path / "run", tmp_path / "test.txt"
    shutil.copytree(tiny_run, run)
    file.write_text("".join(f"{i} cats are near the station .\n" for i in range(60)))
    words = ("evaluate", run, "--latent.items", 60, "--measures", "latent", "--json")
    shown = genera(*words, "--data", f"text:{file}").json
    assert (shown["data"], shown["split"]) == (f"text:{file}", "all")
    assert shown["counts"]["au"] == 60  # the whole file: nothing is held out
    assert genera(*words, "--split", "valid").json["split"] == "valid"
    assert len(list((run / "evaluations").glob("*.json"))) == 2
    failed = genera(*words, "--data", f"text:{file}", "--split", "test")
    assert failed.error == f"text:{file} has no splits; drop --split to measure all of it."


def test_options_that_would_do_nothing_are_refused(tiny_run):
    failed = genera("evaluate", tiny_run, "--fidelity.images", 10)
    assert "cannot be measured by 'fidelity', which" in failed.error
    failed = genera("evaluate", tiny_run, "--measures", "latent", "--likelihood.items", 10)
    assert failed.error == "options of likelihood are given, but --measures excludes it."
    assert genera("evaluate", tiny_run, "--latent.items", 0).error == "--latent.items must be at least 1, got 0."


def test_help_has_the_evaluators_that_fit_the_run(tiny_run):
    every, fitting = genera("evaluate", "--help").out, genera("evaluate", tiny_run, "--help").out
    for group in ("data options", "likelihood options", "interpolation options"):
        assert group in every
        assert group in fitting
    assert "fidelity options" in every
    assert "fidelity options" not in fitting
    code = (
        "import sys, genera.cli.main as m\n"
        "try: m.main(['evaluate', sys.argv[1], '--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny_run)], check=True, stdout=subprocess.DEVNULL)


def test_a_report_is_one_page(evaluated):
    run, result = evaluated
    shown = genera("report", run)
    assert (shown.code, shown.out, shown.err) == (0, f"{run / 'report.html'}\n", "")
    page = (run / "report.html").read_text()
    assert f"{result.json['kl']:.2g}"[:3] in page
    assert genera("report", run, "--json").json == {"report": str(run / "report.html")}


def test_a_report_of_a_chosen_evaluation(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    words = ("--measures", "latent", "--json")
    first = genera("evaluate", run, "--latent.items", 60, *words).json
    second = genera("evaluate", run, "--latent.items", 50, *words).json
    assert genera("report", run).code == 0
    page = (run / "report.html").read_text()
    assert "latent (items 50)" in page
    assert f"--evaluation {first['evaluation']}" in page
    assert genera("report", run, "--evaluation", first["evaluation"]).code == 0
    page = (run / "report.html").read_text()
    assert f"--evaluation {second['evaluation']}" in page
    assert "unknown evaluation of" in genera("report", run, "--evaluation", "nothing").error


def test_runs_are_compared(evaluated, tmp_path):
    run, result = evaluated
    shutil.copytree(run, tmp_path / "other")
    out = tmp_path / "page.html"
    shown = genera("compare", run, tmp_path / "other", "--out", out)
    assert (shown.code, shown.out, shown.err) == (0, f"{out}\n", "")
    assert out.read_text().startswith("<!")
    table = genera("compare", run, tmp_path / "other", "--out", out, "--json").json
    assert [value["value"] for value in table["measures"]["kl"]["values"]] == [result.json["kl"]] * 2
    assert table["page"] == str(out)


def test_a_page_goes_where_it_is_sent(evaluated, tmp_path):
    run, _ = evaluated
    failed = genera("compare", run, run, "--out", tmp_path)
    assert failed.error == f"cannot write {tmp_path}: Is a directory; nothing there was changed."


def test_what_is_not_measured_cannot_be_compared(evaluated, tiny_run):
    run, _ = evaluated
    assert genera("compare", run).error == "give at least two run folders to compare."
    assert f"run: genera evaluate {tiny_run}" in genera("compare", run, tiny_run).error


def test_two_files_of_texts_are_measured_without_a_run(tmp_path):
    (tmp_path / "a.txt").write_text("a dog runs .\na cat sleeps .\n")
    (tmp_path / "b.txt").write_text("a dog runs .\nthe cat sleeps .\n")
    shown = genera("measure", tmp_path / "a.txt", tmp_path / "b.txt")
    assert shown.code == 0
    assert any(line.split()[:1] == ["BLEU"] for line in shown.lines)
    figures = genera("measure", tmp_path / "a.txt", tmp_path / "b.txt", "--json").json
    assert figures["novel"] == {"value": 0.5, "error": pytest.approx(0.5), "n": 2}
    assert genera("measure", tmp_path / "a.txt", tmp_path / "c.txt").error.startswith(
        f"{tmp_path / 'c.txt'} does not exist"
    )
    assert "are for images" in genera("measure", tmp_path / "a.txt", tmp_path / "b.txt", "--size", 8).error


def test_two_folders_of_images_are_measured_without_a_run(tmp_path):
    for name, shade in (("a", 0), ("b", 128)):
        (tmp_path / name).mkdir()
        for i in range(8):
            Image.new("RGB", (16, 16), (shade + i, 10 * i, shade)).save(tmp_path / name / f"{i}.png")
    figures = genera("measure", tmp_path / "a", tmp_path / "b", "--json").json
    assert figures["fid"]["value"] > 0
    assert {"kid", "precision", "recall", "density", "coverage"} <= figures.keys()
    shown = genera("measure", tmp_path / "a", tmp_path / "b")
    assert any(line.split()[:1] == ["FID"] for line in shown.lines)
    failed = genera("measure", tmp_path / "a", tmp_path / "b", "--features", tmp_path / "no.pt")
    assert "give the Inception weights" in failed.error
