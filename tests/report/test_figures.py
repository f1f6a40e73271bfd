"""Figures for print: a file per term, deterministic, with every line and band."""

import json
import re
import sys
from xml.etree import ElementTree

import pytest
import yaml

from commands import genera
from genera.errors import GeneraError
from genera.report.figures import write_figures
from genera.report.run_files import read_run
from report.fake_run import make_run

pytest.importorskip("matplotlib")


def texts(svg):
    return {element.text for element in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")}


def test_a_run_has_one_file_for_each_of_its_terms(run):
    files = write_figures([run], run / "figures", format="svg")
    assert [file.stem for file in files] == [file.stem for file in sorted(files, key=files.index)]
    assert {file.stem for file in files} == {term.replace("/", "-") for term in read_run(run).curves()}
    loss = texts(run / "figures" / "loss.svg")
    assert {"step", "loss", "train", "valid"} <= loss
    before = {file: file.read_bytes() for file in files}
    assert {file: file.read_bytes() for file in write_figures([run], run / "figures", format="svg")} == before


def test_the_formats(run):
    for name, start in {"pdf": b"%PDF-", "png": b"\x89PNG"}.items():
        files = write_figures([run], run / "figures", format=name)
        assert all(file.suffix == f".{name}" and file.read_bytes().startswith(start) for file in files)
    pdf = (run / "figures" / "loss.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # TrueType, embedded
    assert b"CreationDate" not in pdf
    with pytest.raises(GeneraError, match="unknown format 'eps'"):
        write_figures([run], run / "figures", format="eps")


def test_seeds_are_one_line_with_a_band(tmp_path):
    runs = [make_run(tmp_path / name) for name in ("a", "b", "other")]
    for seed, path in enumerate(runs):
        config = yaml.safe_load((path / "config.yaml").read_text())
        config["train"]["seed"] = seed
        if path.name == "other":
            config["train"]["batch_size"] = 7
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        rows = [row | ({"loss": row["loss"] + seed} if row.get("loss") else {}) for row in rows]
        (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_figures(runs, tmp_path / "figures", format="svg")
    svg = (tmp_path / "figures" / "loss.svg").read_text()
    assert {"a, b", "other"} <= texts(tmp_path / "figures" / "loss.svg")
    assert len(re.findall('id="FillBetweenPolyCollection', svg)) == 1  # one band, of the two seeds


def test_the_commands(run, tmp_path):
    shown = genera("report", run, "--figures", "pdf", "--json").json
    assert shown["report"].endswith("report.html")
    assert str(run / "figures" / "loss.pdf") in shown["figures"]
    assert str(run / "figures" / "loss.pdf") in genera("report", run, "--figures", "pdf").lines
    other = make_run(tmp_path / "other", "collapsed")
    assert genera("compare", run, other, "--out", tmp_path / "page.html", "--figures", "svg").code == 0
    assert {"demo", "other"} <= texts(tmp_path / "page-figures" / "loss.svg")


def test_what_is_missing_is_said(run, monkeypatch):
    (run / "metrics.jsonl").write_text("")
    assert "there are no curves" in genera("report", run, "--figures", "pdf").error


def test_without_matplotlib_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert 'figures need matplotlib: pip install "genera[plot]"' in genera("report", run, "--figures", "pdf").error
    assert genera("report", run).code == 0
