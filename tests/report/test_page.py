"""The page of a run: whole, safe, self-contained, and plain about what is missing."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from genera.errors import GeneraError
from genera.evaluation.blocks import Bars, Curves, Examples, Line, Picture, Remarks, Scatter, Shares, Table
from genera.evaluation.registry import definition
from genera.files import read_json, write_json
from genera.measures.schema import Figure
from genera.report.page import write_report
from report.fake_run import FIGURES, HOSTILE, change, evaluation_file, make_run, write_evaluation

VOID = {"meta", "br", "img"}


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


def test_the_page_is_whole_and_needs_no_network(run):
    html, reader = page_of(run)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html)
    links = [value for name, value in reader.attributes if name in ("href", "src")]
    anchors = {value for name, value in reader.attributes if name == "id"}
    assert links
    assert all(link.startswith("#") and link[1:] in anchors for link in links)


def test_every_figure_has_its_value_and_its_definition(run):
    _, reader = page_of(run)
    for key in FIGURES["healthy"]:
        known = definition(key.partition("/")[0])
        assert known.title in reader.visible
        assert known.text in reader.visible
    assert "Importance-weighted bound, K = 10" in reader.visible
    assert "98.6 %" in reader.visible
    assert "3.83" in reader.visible


def test_the_findings_come_before_the_figures(run):
    html, reader = page_of(run)
    assert "Reconstructions are good" in reader.visible
    assert html.index('id="findings"') < html.index('class="tiles"') < html.index("<table")


def test_no_raw_key_is_shown(run):
    evidence = {"fid/a2b": 12.0, "SR/val_unseen": 0.4, "nats_short": 1}
    write_evaluation(
        run,
        {
            "a": Figure("fid", 12.0, None, 50, direction="a2b"),
            "b": Figure("fid", 34.0, None, 60, direction="b2a"),
            "c": Figure("SR", 0.4, 0.1, 50, split="val_unseen"),
        },
        diagnosis=[{"level": "note", "finding": "far", "advice": "train", "evidence": evidence}],
        written=2000.0, split="valid",
    )  # fmt: skip
    _, reader = page_of(run)
    for text in ("FID, a2b 12.00", "Success rate, val_unseen 40.0 %", "nats short 1", "a2b b2a items", "50 / 60"):
        assert text in reader.visible, text
    for key in ("fid/a2b", "fid_a2b", "SR/val_unseen", "nats_short"):
        assert key not in reader.visible


def test_text_from_users_stays_text(run):
    hostile = [HOSTILE] * 3
    for texts, labels in ((hostile, {"x": ["u"] * 3}), (["a"] * 3, {HOSTILE: hostile})):
        scatter = Scatter(section="Map", points=[(0, 0), (1, 1), (2, 0)], texts=texts, labels=labels, method="PCA")
        change(run, blocks=[scatter])
        html, reader = page_of(run)
        assert "<script>alert" not in html
        assert reader.scripts == 2  # the labels and the page's own
        assert HOSTILE in reader.visible
    blob = re.search(r'application/json">(.*?)</script>', html, re.S).group(1)
    assert json.loads(blob) == {HOSTILE: hostile}


def test_two_maps_have_labels_of_their_own(run):
    maps = [
        Scatter(section=name, points=[(0, 0), (1, 1)], texts=["a", "b"], labels={name: ["u", "v"]}, method="PCA")
        for name in ("One", "Two")
    ]
    change(run, blocks=maps)
    html, reader = page_of(run)
    assert [json.loads(b) for b in re.findall(r'application/json">(.*?)</script>', html, re.S)] == [
        {"One": ["u", "v"]}, {"Two": ["u", "v"]},
    ]  # fmt: skip
    assert reader.scripts == 3


def test_examples_are_shown_with_their_changes(run):
    html, reader = page_of(run)
    assert "<mark>was</mark>" in html
    assert "<s>is</s>" in html
    blocks = read_json(evaluation_file(run))["results"]["everything"]["blocks"]
    lines = [line for block in blocks if block["kind"] == "examples" for card in block["cards"] for line in card]
    assert len(lines) > 80
    assert all(" ".join(line["text"].split()) in reader.visible for line in lines)
    assert all(role in reader.visible for role in ("input output", "expected", "0.5"))


def test_marks_begin_anew_where_a_line_says_so(run):
    texts = ("a b", "a x", "q r", "q s")
    cards = [[Line(text=text, role=str(i), anew=i == 2) for i, text in enumerate(texts)]]
    change(run, blocks=[Examples(section="Analogies", cards=cards, compare=True)])
    html, _ = page_of(run)
    assert re.findall("<mark>(.*?)</mark>", html) == ["x", "s"]


def test_every_kind_of_block_is_drawn(run, tmp_path):
    (run / "samples").mkdir()
    (run / "samples/a.png").write_bytes(b"\x89PNG")
    change(
        run,
        blocks=[
            Remarks(section="Words", sentences=["It works.", "It is slow."], lead="Read this."),
            Table(section="Words", columns=["n", "share", "spread", "right"], units=["", "share", "share", ""],
                  rows=[["one", 0.5, (0.25, 0.01), True], ["two", None, (0.5, None), False]]),
            Shares(section="Truth", title="colour", values={"red": {"generated": 0.1, "data": 0.2}}),
            Picture(section="Truth", title="Grid", file="samples/a.png"),
            Picture(section="Truth", title="Lost", file="samples/gone.png"),
            Picture(section="Truth", title="Outside", file="../outside.png"),
            Curves(section="Lines", series={"seen": [(1, 0.5)], "unseen": [(1, 0.2)]}, x="edges", y="success"),
            Bars(section="Lines", title="By house", values=[0.5, 0.7], labels=["house a", "house b"], y="share"),
        ],
    )  # fmt: skip
    html, reader = page_of(run)
    for text in (
        "It works.", "Read this.", "50.0 %", "25.0 % ± 1.0 %", "✓", "✗", "10.0 % · data 20.0 %", "Grid", "edges",
        "seen", "house a: 50.0 %",
    ):  # fmt: skip
        assert text in reader.visible, text
    assert html.count("data:image/png;base64,") == 1
    assert "Lost" not in reader.visible
    for section in ("Words", "Truth", "Lines"):
        assert f'href="#section-{section.lower()}"' in html


def test_a_block_that_this_version_does_not_know_is_left_out(run):
    file = evaluation_file(run)
    stored = read_json(file)
    stored["results"]["everything"]["blocks"] = [{"kind": "hologram", "section": "Future"}]
    write_json(file, stored)
    assert "Future" not in page_of(run)[1].visible


def test_the_page_says_which_evaluation_it_shows_and_lists_the_others(run):
    other = write_evaluation(run, {"kl": 3.21}, split="valid", written=2000.0)
    _, reader = page_of(run)
    assert "measured on world:captions, valid split, step 3125" in reader.visible
    assert "1 other evaluation of this run" in reader.visible
    assert f"genera report {run} --evaluation world-captions.test.step-3125" in reader.visible
    assert "3.21" in reader.visible
    html = write_report(run, evaluation="world-captions.test").read_text()
    assert "measured on world:captions, test split" in html
    assert other.stem in html
    with pytest.raises(
        GeneraError, match=r"unknown evaluation of .*'world-captions.tset'; did you mean world-captions.test"
    ):
        write_report(run, evaluation="world-captions.tset")


def test_curves_show_training_and_validation(run):
    html, _ = page_of(run)
    for term in ("loss", "reconstruction", "KL", "learning rate", "gradient norm", "items per second"):
        assert f'aria-label="{term} over steps"' in html
    assert "validation always by the full β" in html
    chart = html[html.index('aria-label="KL over steps"') :].split("</figure>")[0]
    assert re.findall(r'class="axis"[^>]*>([^<]*)<', chart) == ["step", "KL"]
    assert chart.count("<polyline") == 2
    assert "valid" in chart


def test_what_is_missing_is_named_with_the_command_that_makes_it(run):
    evaluation_file(run).unlink()
    (run / "metrics.jsonl").unlink()
    (run / "status.json").unlink()
    _, reader = page_of(run)
    assert f"genera evaluate {run}" in reader.visible
    assert f"genera train optimus:nano --data world:captions --out {run}" in reader.visible


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None])
def test_values_that_are_no_numbers_break_nothing(run, value):
    with open(run / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 4000, "loss": value, "kl": value}) + '\n{"step": 40')
    write_evaluation(
        run,
        {"kl": Figure("kl", value, value, 3), "elbo": Figure("elbo", value, value, 3)},
        blocks=[
            block.plain()
            for block in (
                Bars(section="A", values=[value, 1.0], labels=["a", "b"], y=""),
                Shares(section="A", values={"tense": {"generated": value, "data": value}}),
                Curves(section="A", series={"nats": [(1, value), (2, 1.0)], "none": [(1, value)]}, x="words", y="nats"),
                Scatter(
                    section="A", points=[(value, 1), (0, 1)], texts=["a", "b"], labels={"x": ["u", "v"]}, method="PCA"
                ),
                Table(section="A", columns=["x"], rows=[[value], [(value, value)]], units=["share"]),
            )
        ],
        diagnosis=[{"level": "note", "finding": "odd", "evidence": {"kl": value}, "advice": "look"}],
    )
    html, _ = page_of(run)
    assert not re.search(r'(?:x|y|cx|cy|width|height|points)="[^"]*(?:nan|inf)', html)
    assert '{"x": ["v"]}' in html  # a label goes with its point


def test_several_stages_are_drawn_apart(run):
    rows = [{"step": s, "stage": "first" if s < 5 else "second", "loss": 1.0 * s} for s in range(10)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, reader = page_of(run)
    assert "first, train" in reader.visible
    assert "second, train" in reader.visible


def test_a_folder_that_is_no_run_and_a_broken_file_are_named(tmp_path, run):
    with pytest.raises(GeneraError, match="not a run folder"):
        write_report(tmp_path / "nowhere")
    file = evaluation_file(run)
    file.write_text('{"measures": ')
    with pytest.raises(GeneraError, match=r"step-3125\.json is not readable"):
        write_report(run)
    for broken in ("[]", '{"data": 3}'):
        file.write_text(broken)
        with pytest.raises(GeneraError, match="is damaged"):
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
