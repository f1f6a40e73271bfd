"""GLUE's files: every task's columns, what is tested on, and what is no task."""

import pytest

from genera.data.text.glue import TASKS
from genera.data.text.pairs import PAIR
from genera.data.text.sources import parse_source
from genera.errors import GeneraError

HEADERS = {
    "SST-2": "sentence\tlabel",
    "MRPC": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "QQP": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
    "MNLI": "index\tpromptID\tpairID\tgenre\tp1\tp2\tp3\tp4\tsentence1\tsentence2\tlabel1\tgold_label",
    "QNLI": "index\tquestion\tsentence\tlabel",
    "RTE": "index\tsentence1\tsentence2\tlabel",
    "WNLI": "index\tsentence1\tsentence2\tlabel",
}
"""The first lines of the archive's files"""
LABELS = {"label", "Quality", "is_duplicate", "gold_label"}
SECOND = {"#2 String", "question2", "sentence2"}


def rows(header, count, word):
    """A file whose cells say their column."""
    names = header.removeprefix("\ufeff").split("\t")
    cells = [["yes" if name in LABELS else f"{name} {word} {i}" for name in names] for i in range(count)]
    return "\n".join([header, *map("\t".join, cells)]) + "\n"


@pytest.mark.parametrize("task", HEADERS)
def test_the_columns_of_a_task(write, tmp_path, task):
    write(f"{task}/train.tsv", rows(HEADERS[task], 300, "known"))
    dev = "dev_matched" if task == "MNLI" else "dev"
    write(f"{task}/{dev}.tsv", rows(HEADERS[task], 3, "dev"))
    write(f"{task}/dev_mismatched.tsv", rows(HEADERS[task], 3, "other"))
    write(f"{task}/test.tsv", "index\tsentence\n0\tsecret\n")
    items = list(parse_source(f"glue:{tmp_path}/{task}").items())
    assert {item.label for item in items} == {"yes"}
    assert [item.text for item in items if " dev " in item.text] == [i.text for i in items if i.split == "test"]
    assert sum(item.split == "valid" for item in items) < 30 < sum(item.split == "train" for item in items)
    assert not any("secret" in item.text or "other" in item.text for item in items)
    first, _, second = items[0].text.partition(PAIR)
    if task == "SST-2":
        assert (first, second) == ("sentence known 0", "")
    elif task == "QNLI":
        assert (first, second) == ("question known 0", "sentence known 0")
    else:
        assert first.replace("1", "2", 1) == second
        assert second.partition(" known")[0] in SECOND


def test_cola_has_no_header(write, tmp_path):
    write("CoLA/train.tsv", "gj04\t1\t\tOne more .\ngj04\t0\t*\tMore one .\n")
    found = [(item.text, item.label) for item in parse_source(f"glue:{tmp_path}/CoLA").items()]
    assert found == [("One more .", "1"), ("More one .", "0")]


def test_rows_cut_short_are_counted_as_empty(write, tmp_path):
    write("QQP/train.tsv", f"{HEADERS['QQP']}\n1\t2\t3\ta ?\tb ?\t0\n4\t5\t6\tc ?\n")
    assert [item.text for item in parse_source(f"glue:{tmp_path}/QQP").items()] == [f"a ?{PAIR}b ?", ""]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("STS-B", "STS-B has scores instead of labels"),
        ("MRPZ", "unknown task of GLUE 'mrpz'; did you mean mrpc"),
        ("RTE", "has no train.tsv"),
    ],
)
def test_what_is_no_task(tmp_path, name, message):
    (tmp_path / name).mkdir()
    with pytest.raises(GeneraError, match=message):
        parse_source(f"glue:{tmp_path}/{name}")
    with pytest.raises(GeneraError, match="the columns of a glue: source are fixed"):
        parse_source(f"glue:{tmp_path}/{name}", label_column="1")


@pytest.mark.parametrize("name", ["cola", "sst2", "mrpc"])
def test_real_files(real_data, name):
    assert name in TASKS
    items = [item for item in parse_source(f"glue:{real_data(name)}").items() if item.text]
    assert {item.label for item in items} == {"0", "1"}
    assert all((PAIR in item.text) == (name == "mrpc") for item in items)
    assert len(items) > 4000


def test_pairs_of_any_file(write):
    path = write("a.tsv", "0\tone ?\ttwo ?\n1\tthree ?\t \n")
    source = parse_source(f"tsv:{path}", text_column="1,2", label_column="0")
    assert [(item.text, item.label) for item in source.items()] == [(f"one ?{PAIR}two ?", "0"), ("", "1")]
    path = write("a.jsonl", '{"a": "one", "b": "two", "label": 1}\n')
    assert [item.text for item in parse_source(f"jsonl:{path}", text_column="a, b").items()] == [f"one{PAIR}two"]
    for columns in ("0,1,2", "0,", ","):
        with pytest.raises(GeneraError, match="must name one column, or two"):
            list(parse_source(f"tsv:{path}", text_column=columns).items())
