"""`genera evaluate`, `report` and `compare` on a trained run."""

import json
import shutil

import pytest

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
    assert figures["settings"]["importance_samples"] == 12


def test_progress_goes_to_stderr_and_no_infinity_is_printed(evaluated):
    _, result = evaluated
    assert result.code == 0
    assert "measuring likelihood" in result.err

    def refuse(word):
        raise AssertionError(word)

    json.loads(result.out, parse_constant=refuse)


def test_the_file_holds_what_was_printed(evaluated):
    run, result = evaluated
    written = json.loads((run / "evaluation.json").read_text())
    for name, figure in written["measures"].items():
        assert figure["value"] == result.json[name]
    assert written["diagnosis"] == result.json["diagnosis"]


def test_the_table_says_what_and_in_which_unit(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    shown = genera("evaluate", run, *QUICK.split(), "--measures", "latent", "likelihood")
    assert shown.code == 0
    assert shown.lines[0] == "optimus:nano at step 60 on world:captions-small (test)"
    assert any("ELBO" in line and "nats/item" in line and "±" in line for line in shown.lines)
    assert any(line[:1] in "+·!" for line in shown.lines if line)  # what the diagnosis says
    assert "bleu_reconstruction" not in json.loads((run / "evaluation.json").read_text())["measures"]


def test_other_data_and_splits_are_measured_when_asked(tiny_run, tmp_path):
    run, file = tmp_path / "run", tmp_path / "test.txt"
    shutil.copytree(tiny_run, run)
    file.write_text("".join(f"{i} cats are near the station .\n" for i in range(60)))
    words = ("evaluate", run, *QUICK.split(), "--measures", "latent", "--json")
    assert genera(*words, "--data", f"text:{file}", "--split", "train").json["data"] == f"text:{file}"
    assert genera(*words, "--split", "valid").json["split"] == "valid"


def test_a_report_is_one_page(evaluated):
    run, result = evaluated
    shown = genera("report", run)
    assert (shown.code, shown.out, shown.err) == (0, f"{run / 'report.html'}\n", "")
    page = (run / "report.html").read_text()
    assert f"{result.json['kl']:.2g}"[:3] in page
    assert genera("report", run, "--json").json == {"report": str(run / "report.html")}


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
