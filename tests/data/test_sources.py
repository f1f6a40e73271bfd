import json
from collections import Counter, defaultdict

import pytest

from genera.data import splits as splitting
from genera.data.splits import WHOLE
from genera.data.text.items import Item
from genera.data.text.sources import parse_source
from genera.data.text.world import WORLD_SIZES
from genera.errors import GeneraError

LINES = [f"sentence number {i}" for i in range(3000)]


def read(spec, **columns):
    return list(parse_source(str(spec), **columns).items())


def by_split(items):
    splits = defaultdict(list)
    for item in items:
        splits[item.split].append(item.text)
    return splits


# -- what is read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_text_lines_are_stripped_and_in_order(write, name):
    path = write(name, "\ufeff  one two \n\nthree\r\nvier fünf")
    assert [item.text for item in read(f"text:{path}")] == ["one two", "", "three", "vier fünf"]


def test_splits_by_file_name(write, tmp_path):
    for name in ("ptb.train.txt.gz", "ptb.valid.txt", "ptb.test.txt", ".hidden"):
        write(f"d/{name}", f"{name}\n")
    expected = [Item(split, f"ptb.{split}.txt", None) for split in ("train", "valid", "test")]
    expected[0] = Item("train", "ptb.train.txt.gz", None)
    assert read(f"text:{tmp_path}/d") == expected
    assert read(f"text:{tmp_path}/d/*.txt*") == expected


@pytest.mark.parametrize(
    ("name", "split"),
    [("dev.en.txt", "valid"), ("R2R_val_seen.txt", "valid"), ("validation.txt", "valid"), ("TEST-1.txt", "test"),
     ("latest.txt", "train"), ("trainval.txt", "train"), ("contest.txt", "train"), ("part1k.en.gz", "train")],
)  # fmt: skip
def test_split_of_a_name(write, tmp_path, name, split):
    write("d/a.train.txt", "train\n")
    write(f"d/{name}", f"{name}\n")
    found = [item.split for item in read(f"text:{tmp_path}/d") if item.text == name]
    assert found == [split]


def test_files_of_one_split_are_the_training_data(write, tmp_path):
    write("d/wiki.valid.txt", "\n".join(LINES))
    for spec in (f"text:{tmp_path}/d", f"text:{tmp_path}/d/wiki.valid.txt"):
        assert len(by_split(read(spec))["train"]) > 2500


def test_absent_splits_are_held_out_by_text(write):
    path = write("all.txt", "\n".join(LINES * 2))
    items = read(f"text:{path}")
    splits = by_split(items)
    assert len(items) == 6000
    for split in ("valid", "test"):
        assert 0.01 < len(splits[split]) / 6000 < 0.03
        assert all(count == 2 for count in Counter(splits[split]).values())  # copies stay together
    assert not set(splits["train"]) & (set(splits["valid"]) | set(splits["test"]))
    assert not set(splits["valid"]) & set(splits["test"])
    shuffled = write("other.txt", "\n".join(f"  {line} " for line in reversed(LINES)))
    assert set(by_split(read(f"text:{shuffled}"))["test"]) == set(splits["test"])


def test_only_the_absent_split_is_held_out(write, tmp_path):
    write("d/train.txt", "\n".join(LINES))
    write("d/dev.txt", "a\nb\n")
    splits = by_split(read(f"text:{tmp_path}/d"))
    assert splits["valid"] == ["a", "b"]
    assert 30 < len(splits["test"]) < 90
    assert len(splits["train"]) + len(splits["test"]) == 3000


def test_at_most_so_many_are_held_out(write, monkeypatch):
    monkeypatch.setattr(splitting, "HELD_OUT_MOST", 5)
    splits = by_split(read(f"text:{write('a.txt', chr(10).join(LINES * 2))}"))
    assert len(splits["valid"]) == len(splits["test"]) == 10
    assert not set(splits["train"]) & (set(splits["valid"]) | set(splits["test"]))


def test_tsv_by_number_and_by_name(write):
    path = write("a.tsv", 'sentence\tlabel\nhello "there\t1\nbye\t0\n')
    named = read(f"tsv:{path}", text_column="sentence", label_column="label")
    assert [(item.text, item.label) for item in named] == [('hello "there', "1"), ("bye", "0")]
    assert read(f"tsv:{path}", text_column="sentence", label_column="1") == named
    numbered = read(f"tsv:{path}", text_column="1", label_column="0")
    assert [(item.text, item.label) for item in numbered][:2] == [("label", "sentence"), ("1", 'hello "there')]
    assert [item.text for item in read(f"tsv:{path}")] == ["sentence", 'hello "there', "bye"]


def test_the_label_of_a_text_is_its_files_name_or_its_first_word(write, tmp_path):
    write("d/mood.train.0.txt.gz", "awful\n\n")
    write("d/mood.train.1.txt.gz", "1 is the best\n")
    items = read(f"text:{tmp_path}/d", label_column="file")
    assert [(item.text, item.label) for item in items] == [("awful", "mood.0"), ("", None), ("1 is the best", "mood.1")]
    first = read(f"text:{tmp_path}/d/mood.train.1.txt.gz", label_column="first")
    assert [(item.text, item.label) for item in first] == [("is the best", "1")]
    (tmp_path / "d/mood.train.1.txt.gz").rename(tmp_path / "d/mood.train.2.txt.gz")
    assert [item.label for item in read(f"text:{tmp_path}/d", label_column="file")][-1] == "mood.2"


def test_a_file_with_another_name_is_another_source_where_names_are_labels(write):
    one, other = (write(f"{name}/{name}.txt", "a\nb\n") for name in ("good", "bad"))
    labelled = [parse_source(f"text:{path}", label_column="file").fingerprint() for path in (one, other)]
    plain = [parse_source(f"text:{path}").fingerprint() for path in (one, other)]
    assert labelled[0] != labelled[1]
    assert plain[0] == plain[1]


def test_jsonl(write):
    rows = [{"text": "one", "mood": 1}, {"text": "two\nlines", "mood": "bad"}]
    path = write("a.jsonl.gz", "\n".join(map(json.dumps, rows)) + "\n\n")
    items = read(f"jsonl:{path}", label_column="mood")
    assert [(item.text, item.label) for item in items] == [("one", "1"), ("two\nlines", "bad"), ("", None)]


def test_world_source():
    splits = by_split(read("world:captions-small"))
    assert {split: len(texts) for split, texts in splits.items()} == WORLD_SIZES
    assert not set(splits["train"]) & set(splits["test"])


def test_joined_sources_follow_each_other_and_keep_their_splits(write):
    path = write("a.txt", "\n".join(LINES))
    first, second = f"text:{path}", "world:captions-small"
    assert read(f"{first} + {second}") == read(first) + read(second)
    prints = [parse_source(spec).fingerprint() for spec in (first, f"{first} + {second}", f"{second} + {first}")]
    assert len(set(prints)) == 3
    with pytest.raises(GeneraError, match="did you mean captions"):
        parse_source(f"{first} + world:caption")
    with pytest.raises(GeneraError, match="a world: source has no columns"):
        parse_source(f"{first} + {second}", label_column="file")


def test_fingerprint_follows_content_and_options(write, tmp_path):
    write("d/a.tsv", "one\t0\n")
    spec = f"tsv:{tmp_path}/d/a.tsv"
    first = parse_source(spec).fingerprint()
    write("elsewhere/b.tsv", "one\t0\n")
    assert parse_source(f"tsv:{tmp_path}/elsewhere").fingerprint() == first
    assert parse_source(spec, label_column="1").fingerprint() != first
    assert parse_source(f"text:{tmp_path}/d/a.tsv").fingerprint() != first
    write("d/a.tsv", "one\t1\n")
    assert parse_source(spec).fingerprint() != first
    assert parse_source("world:captions").fingerprint() != parse_source("world:captions-small").fingerprint()


# -- bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("txt:a", r"unknown data scheme 'txt'; did you mean text\? \(there are: text, tsv, jsonl, "),
        ("corpus.txt", "'corpus.txt' is not a data source; write one of text:PATH, .* text:corpus.txt"),
        ("text:", "'text:' is not a data source"),
        ("world:caption", "unknown world 'caption'; did you mean captions"),
        ("text:/no/such/folder/a.txt", "/no/such/folder/a.txt does not exist"),
        ("text:/no/such/*.txt", "no file matches /no/such/"),
    ],
)
def test_unknown_sources(spec, message):
    with pytest.raises(GeneraError, match=message):
        parse_source(spec)


def test_missing_file_suggests_a_neighbour(write, tmp_path):
    write("ptb.train.txt", "a\n")
    with pytest.raises(GeneraError, match=r"'ptb.trian.txt'; did you mean ptb.train.txt\?"):
        parse_source(f"text:{tmp_path}/ptb.trian.txt")


def test_empty_folder_and_no_training_file(write, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(GeneraError, match="nothing has no files"):
        parse_source(f"text:{tmp_path}/nothing")
    write("d/valid.txt", "a\n")
    write("d/test.txt", "a\n")
    with pytest.raises(GeneraError, match="has test and valid data but no training data"):
        read(f"text:{tmp_path}/d")
    assert [item.split for item in parse_source(f"text:{tmp_path}/d").items(whole=True)] == ["valid", "test"]


def test_a_whole_source_holds_nothing_out(write, tmp_path):
    path = write("all.txt", "\n".join(LINES))
    source = parse_source(f"text:{path}")
    assert source.splits == ()
    assert list(source.items(whole=True)) == [Item(WHOLE, line, None) for line in LINES]
    write("d/train.txt", "\n".join(LINES))
    write("d/test.txt", "a\nb\n")
    named = parse_source(f"text:{tmp_path}/d")
    assert named.splits == ("train", "test")
    assert Counter(item.split for item in named.items(whole=True)) == {"train": 3000, "test": 2}
    joined = parse_source(f"text:{path} + text:{tmp_path}/d")
    assert joined.splits == ("train", "test")
    assert Counter(item.split for item in joined.items(whole=True)) == {"train": 6000, "test": 2}


@pytest.mark.parametrize(
    ("scheme", "name", "content", "columns", "message"),
    [
        ("text", "a.txt", "", {}, r"a\.txt is empty"),
        ("text", "a.txt.gz", "", {}, r"a\.txt\.gz is empty"),
        ("text", "a.txt", b"fine\ncaf\xe9\n", {}, r"a\.txt:2 is not UTF-8; .*iconv"),
        ("text", "a.txt", "hello\n", {"label_column": "1"}, "a text: source has no labels"),
        ("text", "a.txt", "hello\n", {"text_column": "1"}, "a text: source has no columns"),
        ("world", "captions", None, {"label_column": "tense"}, "a world: source has no columns and no labels"),
        ("tsv", "a.tsv", "a\tb\nc\n", {"text_column": "1"}, r"a\.tsv:2 has 1 columns; column 1"),
        ("tsv", "a.tsv", "sentence\tlabel\nhi\t1\n", {"text_column": "sentense"}, "did you mean sentence"),
        ("tsv", "a.tsv", "hello\t\n", {"label_column": "1"}, r"a\.tsv:1 has no label"),
        ("jsonl", "a.jsonl", '{"text": "a"}\n{"text"\n', {}, r"a\.jsonl:2 is not JSON"),
        ("jsonl", "a.jsonl", '["a"]\n', {}, r"a\.jsonl:1 is not a JSON object"),
        ("jsonl", "a.jsonl", '{"texts": "a"}\n', {}, r"unknown field at .*:1: 'text'; did you mean texts"),
        ("jsonl", "a.jsonl", '{"text": 3}\n', {}, "the field 'text' is not a string"),
        ("jsonl", "a.jsonl", '{"text": "a"}\n', {"label_column": "mood"}, "unknown field at .*:1: 'mood'"),
        ("jsonl", "a.jsonl", '{"text": "a", "y": null}\n', {"label_column": "y"}, "has no label"),
        ("jsonl", "a.jsonl", '{"text": "\\ud800"}\n', {}, r"a\.jsonl:1 is not JSON .*half of a .* surrogate pair"),
    ],
)
def test_bad_content(write, scheme, name, content, columns, message):
    rest = name if content is None else write(name, content)
    with pytest.raises(GeneraError, match=message) as error:
        read(f"{scheme}:{rest}", **columns)
    assert "\n" not in str(error.value)


def test_damaged_gzip(write, tmp_path):
    path = write("a.txt.gz", "\n".join(LINES))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(GeneraError, match=r"a\.txt\.gz is damaged or truncated after line \d+"):
        read(f"text:{path}")
    path.write_bytes(b"plain text\n")
    with pytest.raises(GeneraError, match=r"a\.txt\.gz is not a gzip file"):
        read(f"text:{path}")
