"""Hugging Face data sets as a source. What needs the library `datasets` (extra `data`) is skipped without it."""

import builtins
import importlib.util
import json
from collections import defaultdict

import pytest

from genera.data.text.config import DataConfig
from genera.data.text.corpus import TextCorpus
from genera.data.text.sources import parse_source
from genera.errors import GeneraError

needs_datasets = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="the library datasets (extra `data`) is not installed"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data set in a folder, as the hub has them, read without a network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "set").mkdir()
    for name, count in (("train", 600), ("validation", 3)):
        rows = [
            {"text": f" {name} sentence {i} . ", "mood": "good" if i % 2 else "bad", "size": i} for i in range(count)
        ]
        (tmp_path / "set" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "set"


def read(spec, **columns):
    splits = defaultdict(list)
    for item in parse_source(spec, **columns).items():
        splits[item.split].append((item.text, item.label))
    return splits


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(GeneraError, match=r"needs the library datasets: pip install 'genera\[data\]'"):
        parse_source("hub:someone/something")


@needs_datasets
def test_named_splits_are_used_and_the_absent_one_is_held_out(folder):
    splits = read(f"hub:{folder}", label_column="mood")
    assert splits["valid"] == [(f"validation sentence {i} .", "good" if i % 2 else "bad") for i in range(3)]
    assert len(splits["train"]) + len(splits["test"]) == 600
    assert 2 <= len(splits["test"]) <= 30
    assert splits["train"][0][0].startswith("train sentence")


@needs_datasets
def test_it_is_read_like_any_other_corpus(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path / "cache"))
    corpus = TextCorpus.open(DataConfig(data=f"hub:{folder}", label_column="mood", vocabulary=300))
    assert corpus.label_names == ("bad", "good")
    assert corpus.items("valid", 2) == ["validation sentence 0 .", "validation sentence 1 ."]
    assert corpus.labels("valid", 2) == ["bad", "good"]


@needs_datasets
def test_the_fingerprint_follows_the_content(folder):
    before = parse_source(f"hub:{folder}").fingerprint()
    assert parse_source(f"hub:{folder}").fingerprint() == before
    (folder / "train.jsonl").write_text('{"text": "another .", "mood": "bad", "size": 1}\n')
    assert parse_source(f"hub:{folder}").fingerprint() != before


CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: mood
    dtype:
      class_label:
        names:
          '0': bad
          '1': good
---
"""


@needs_datasets
def test_labels_have_names_and_hidden_ones_are_left_out(folder, tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named/README.md").write_text(CARD)
    for name, labels in (("train", [0, 1]), ("test", [-1, -1])):
        rows = (json.dumps({"text": f"{name} {i}", "mood": label}) + "\n" for i, label in enumerate(labels))
        (tmp_path / "named" / f"{name}.jsonl").write_text("".join(rows))
    splits = read(f"hub:{tmp_path / 'named'}", label_column="mood")
    assert splits == {"train": [("train 0", "bad"), ("train 1", "good")]}
    assert len(read(f"hub:{tmp_path / 'named'}")["test"]) == 2  # without labels nothing is hidden


@needs_datasets
@pytest.mark.parametrize(
    ("spec", "columns", "named"),
    [
        ("hub:SET", {"text_column": "texts"}, "'texts'; did you mean text?"),
        ("hub:SET", {"label_column": "moood"}, "'moood'; did you mean mood?"),
        ("hub:SET", {"text_column": "size"}, "row 1 of train in .*: the column 'size' is not a string"),
        ("hub:SET:large", {}, "cannot be read .*'large'.*check the name, the configuration and the network"),
        ("hub:SET/nowhere", {}, "cannot be read .*check the name"),
        ("hub:someone/nothing", {}, "cannot be read .*check the name"),
    ],
)
def test_bad_input(folder, spec, columns, named):
    with pytest.raises(GeneraError, match=named):
        read(spec.replace("SET", str(folder)), **columns)


@needs_datasets
def test_splits_without_one_for_training(folder):
    (folder / "train.jsonl").rename(folder / "test.jsonl")
    with pytest.raises(GeneraError, match=r"has test and valid data but no training data"):
        read(f"hub:{folder}")


@needs_datasets
def test_files_of_a_data_set_are_read_in_shards(tmp_path, monkeypatch, cache):
    """Pieces are the files in the order of the whole, and the rows of the corpus those of one process."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "set").mkdir()
    for number in range(3):
        rows = [{"text": f"file {number} row {i} ."} for i in range(200)]
        (tmp_path / f"set/train-{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = parse_source(f"hub:{tmp_path / 'set'}")
    pieces = source.pieces(1)
    assert len(pieces) == 3
    assert [item for _, piece in pieces for item in piece.items()] == list(source.parts[0].items())
    corpus = TextCorpus.open(DataConfig(data=f"hub:{tmp_path / 'set'}", vocabulary=300))
    assert len(corpus._about["shards"]) == 3
    kept = [item.text for item in source.items() if item.split == "train"]
    assert corpus.train.texts() == kept
