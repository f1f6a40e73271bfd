"""Labelled items: of the field's own files, of worlds, and what is wrong with others."""

import gzip
from itertools import islice

import numpy as np
import pytest

from genera.errors import GeneraError
from genera.uses.labelled import read_labelled
from genera.uses.settings import LabelConfig

SOURCES = {
    "yelp_sentiment": ("text", {"label_column": "file"}, 2),
    "sst2": ("tsv", {"text_column": "sentence", "label_column": "label"}, 2),
    "cola": ("tsv", {"text_column": "3", "label_column": "1"}, 2),
    "sentence_classification/trec.train.txt.gz": ("text", {"label_column": "first"}, 6),
}


@pytest.fixture
def first_lines(real_data, tmp_path):
    """first_lines("sst2") → the source of a copy of its first lines."""

    def cut(name):
        folder, _, file = name.partition("/")
        for path in sorted(real_data(folder).glob(file or "*.gz")):
            with gzip.open(path, "rb") as whole, gzip.open(tmp_path / path.name, "wb") as part:
                part.writelines(islice(whole, 1500))
        return f"{SOURCES[name][0]}:{tmp_path}"

    return cut


@pytest.mark.parametrize("name", SOURCES)
def test_real_sets(run, first_lines, name):
    _, columns, classes = SOURCES[name]
    data = read_labelled(run, LabelConfig(data=first_lines(name), **columns), seed=0)
    assert len(data.names) == len(data.counts) == classes
    assert sum(data.counts.values()) == len(data.train) == len(data.train_classes)
    assert len(data.test) == len(data.test_classes) > 200  # the small held-out part was filled up
    assert not set(data.train) & set(data.test)
    assert set(np.unique(data.test_classes)) <= set(range(classes))


def test_a_factor_of_a_world_is_the_label(run):
    data = read_labelled(run, LabelConfig(factor="number", items=300, test_items=100), seed=0)
    assert data.names == ("plural", "singular")
    assert len(data.train) == 300
    assert len(data.test) == 100
    for text, c in zip(data.test, data.test_classes, strict=True):
        assert data.world.factors_of(text)["number"] == data.names[c]


def test_the_draw_follows_the_seed_and_mixes_classes(run, tmp_path):
    for name, word in (("bad", "awful"), ("good", "fine")):
        (tmp_path / f"{name}.txt").write_text("".join(f"a dog is {word} {i}\n" for i in range(400)))
    config = LabelConfig(data=f"text:{tmp_path}", label_column="file", items=200)
    first, again, other = (read_labelled(run, config, seed) for seed in (0, 0, 1))
    assert first.train == again.train != other.train
    assert 0.3 < first.train_classes[:50].mean() < 0.7


def write(tmp_path, labels):
    path = tmp_path / "rows.tsv"
    path.write_text("".join(f"the cat number {i} is here\t{label}\n" for i, label in enumerate(labels)))
    return {"data": f"tsv:{path}", "label_column": "1"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 100, "'a' is the only label of"),
        (["a", "b"] * 100 + ["c"], "'c' occurs (once among|only in the test items)"),
        ([str(i) for i in range(100)], r"'.*' \(and \d+ more\) occurs once .* check the label column"),
    ],
)
def test_labels_that_cannot_be_learnt(run, tmp_path, labels, message):
    with pytest.raises(GeneraError, match=message):
        read_labelled(run, LabelConfig(**write(tmp_path, labels)), seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "world:captions-small has no labels; name them: --label-column COLUMN"),
        ({"factor": "nmber"}, "did you mean number"),
        ({"factor": "number", "data": "text:FILE"}, "--factor is for world: sources, not for text:"),
        ({"data": "text:FILE"}, "has no labels; name them"),
    ],
)
def test_sources_without_such_labels(run, tmp_path, settings, message):
    (tmp_path / "few.txt").write_text("a dog .\n" * 100 + "a cat .\n")
    if "data" in settings:
        settings = settings | {"data": f"text:{tmp_path}/few.txt"}
    with pytest.raises(GeneraError, match=message):
        read_labelled(run, LabelConfig(**settings), seed=0)
