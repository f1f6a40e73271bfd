"""The page of a run: whole, safe, self-contained, and plain about what is missing."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from genera.errors import GeneraError
from genera.files import read_json, write_json
from genera.measures.catalogue import definition
from genera.report.page import write_report
from report.fake_run import FIGURES, HOSTILE, make_run

VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Checks that every element is closed in order, and keeps the visible text and the attributes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.attributes, self.scripts = [], [], [], 0
        self.feed(html)
        self.close()
        assert self.open == []
        self.visible = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


def page_of(run):
    path = write_report(run)
    assert path == run / "report.html"
    html = path.read_text(encoding="utf-8")
    return html, Reader(html)


def change(run, **parts):
    write_json(run / "evaluation.json", read_json(run / "evaluation.json") | parts)


def test_the_page_is_whole_and_needs_no_network(run):
    html, reader = page_of(run)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html)
    links = [value for name, value in reader.attributes if name in ("href", "src")]
    anchors = {value for name, value in reader.attributes if name == "id"}
    assert links
    assert all(link.startswith("#") and link[1:] in anchors for link in links)


def test_every_figure_has_its_value_and_its_definition(run):
    _, reader = page_of(run)
    for name in FIGURES["healthy"]:
        assert definition(name).title in reader.visible
        assert definition(name).text in reader.visible
    assert "98.6 %" in reader.visible
    assert "3.83" in reader.visible


def test_the_findings_come_before_the_figures(run):
    html, reader = page_of(run)
    assert "The latent is used" in reader.visible
    assert html.index('id="findings"') < html.index('class="tiles"') < html.index("<table")


def test_text_from_users_stays_text(run):
    for place in ("texts", "labels"):
        latent_map = read_json(run / "evaluation.json")["latent_map"]
        values = [HOSTILE] * len(latent_map["points"])
        change(run, latent_map=latent_map | {place: {HOSTILE: values} if place == "labels" else values})
        html, reader = page_of(run)
        assert "<script>alert" not in html
        assert reader.scripts == 2  # the labels and the page's own
        assert HOSTILE in reader.visible
    blob = re.search(r'id="latent-labels">(.*?)</script>', html, re.S).group(1)
    assert json.loads(blob) == {HOSTILE: values}


def test_examples_are_shown_with_their_changes(run):
    html, reader = page_of(run)
    examples = read_json(run / "evaluation.json")["examples"]
    wrong = next(r for r in examples["reconstructions"] if not r["exact"])
    assert "<mark>the</mark>" in html
    assert wrong["input"] in reader.visible.replace("  ", " ")
    for line in examples["interpolations"]:
        assert all(sentence in reader.visible for sentence in line["path"])
    failed = next(a for a in examples["analogies"] if not a["correct"])
    assert f"expected: {failed['expected']}" in reader.visible


def test_curves_show_training_and_validation(run):
    html, _ = page_of(run)
    for term in ("loss", "reconstruction", "kl", "beta", "lr", "grad_norm", "items_per_second"):
        assert f'aria-label="{term} over steps"' in html
    chart = html[html.index('aria-label="kl over steps"') :].split("</figure>")[0]
    assert chart.count("<polyline") == 2
    assert "valid" in chart


def test_what_is_missing_is_named_with_the_command_that_makes_it(run):
    (run / "evaluation.json").unlink()
    (run / "metrics.jsonl").unlink()
    (run / "status.json").unlink()
    _, reader = page_of(run)
    assert f"genera evaluate {run}" in reader.visible
    assert f"genera train optimus:nano --data world:captions --out {run}" in reader.visible


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None])
def test_values_that_are_no_numbers_break_nothing(run, value):
    measures = {name: {"value": value, "error": value, "n": 3} for name in ("kl", "elbo", "unheard_of")}
    with open(run / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 4000, "loss": value, "kl": value}) + '\n{"step": 40')
    change(
        run,
        measures=measures,
        kl_per_dimension=[value, 1.0],
        factors={"tense": {"reconstruction": value, "analogy": None, "chance": value}},
        lengths={"words": [1, 2], "exact": [value, value], "reconstruction_nats": [value, 1.0]},
        latent_map={"method": "PCA", "points": [[value, 1.0], [0.0, 1.0]], "texts": ["a", "b"], "labels": {"x": "uv"}},
        diagnosis=[{"level": "note", "finding": "odd", "evidence": {"kl": value}, "advice": "look"}],
    )
    html, reader = page_of(run)
    assert "unheard_of" in reader.visible
    assert not re.search(r'(?:x|y|cx|cy|width|height|points)="[^"]*(?:nan|inf)', html)
    assert '{"x": ["v"]}' in html  # a label goes with its point


@pytest.mark.parametrize("part", ["measures", "diagnosis", "examples", "latent_map", "factors", "lengths"])
def test_every_part_of_an_evaluation_is_optional(run, part):
    everything = read_json(run / "evaluation.json")
    write_json(run / "evaluation.json", {k: v for k, v in everything.items() if k != part})
    page_of(run)
    write_json(run / "evaluation.json", {part: everything[part]})
    page_of(run)


def test_several_stages_are_drawn_apart(run):
    rows = [{"step": s, "stage": "first" if s < 5 else "second", "loss": 1.0 * s} for s in range(10)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, reader = page_of(run)
    assert "first, train" in reader.visible
    assert "second, train" in reader.visible


def test_a_folder_that_is_no_run_and_a_broken_file_are_named(tmp_path, run):
    with pytest.raises(GeneraError, match="no run folder"):
        write_report(tmp_path / "nowhere")
    (run / "evaluation.json").write_text('{"measures": ')
    with pytest.raises(GeneraError, match=r"evaluation\.json is not readable"):
        write_report(run)
    (run / "evaluation.json").write_text("[]")
    with pytest.raises(GeneraError, match="must hold a mapping"):
        write_report(run)


def test_a_moved_run_gives_the_same_page(tmp_path, run):
    before = page_of(run)[0]
    moved = run.rename(tmp_path / "elsewhere")
    assert page_of(moved)[0] == before.replace("demo", "elsewhere")


def test_reports_are_written_without_torch(tmp_path):
    run = make_run(tmp_path / "demo")
    code = (
        "import sys; from genera.report import page, compare; page.write_report(sys.argv[1]); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], check=True)
