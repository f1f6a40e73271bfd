"""Large sources are tokenised in shards: by several processes, resumed after a kill, with the rows of one process."""

import dataclasses
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import genera
from genera.data import splits
from genera.data.files import read_lines, read_range
from genera.data.splits import WHOLE
from genera.data.text import tokenising
from genera.data.text.config import DataConfig
from genera.data.text.corpus import TextCorpus
from genera.data.text.sources import parse_source
from genera.data.text.store import Joined
from genera.data.text.tokenising import Recipe
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.errors import GeneraError
from genera.worlds import load

SMALL = load("captions-small").sentences(2000)
ARRAYS = ("labels", "words")


@pytest.fixture(scope="module")
def tokenisers():
    return Tokenisers(*(Tokeniser.train(kind, lambda: SMALL, 400) for kind in ("wordpiece", "bpe")))


@pytest.fixture
def config(tmp_path):
    """Files with labels: a large plain one with a header, a compressed one, small ones, and a validation split."""
    rows = [f"{'b' if i % 3 else '10'}\t{text}" for i, text in enumerate(SMALL)]
    rows[50], rows[60] = "9\t", "9\t" + "word " * 70
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.tsv").write_text("mood\ttext\n" + "\n".join(rows[:1200]))
    with gzip.open(tmp_path / "d/b.tsv.gz", "wt") as file:
        file.write("mood\ttext\n" + "\n".join(rows[1200:1900]))
    for name, some in (("c.tsv", rows[1900:1950]), ("d.tsv", rows[1950:]), ("e.valid.tsv", rows[:20])):
        (tmp_path / "d" / name).write_text("mood\ttext\n" + "\n".join(some) + "\n")
    return DataConfig(data=f"tsv:{tmp_path}/d", text_column="text", label_column="mood")


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(tokenising, "SHARD", 20_000)


def shards_of(cache):
    return sorted(path for path in cache.glob("text-*") if path.name.count("-") == 3)


def written_at(shard):
    return (shard / "checksums").stat().st_mtime_ns


def assert_same(one, other):
    """The rows, counts and names of two corpora."""
    assert one.splits == other.splits
    assert one.label_names == other.label_names
    assert {k: v for k, v in one._about.items() if k != "shards"} == {
        k: v for k, v in other._about.items() if k != "shards"
    }
    for split in one.splits:
        a, b = one.split(split), other.split(split)
        assert a.texts() == b.texts()
        rows = np.arange(len(a))
        for side in ("encoder", "decoder"):
            x, y = getattr(a, side), getattr(b, side)
            assert np.array_equal(x.lengths(), y.lengths())
            width = int(x.lengths().max(initial=1))
            assert np.array_equal(x.padded(rows[::-1], width, 7), y.padded(rows[::-1], width, 7))
        for name in ARRAYS:
            assert np.array_equal(getattr(a, name), getattr(b, name))


def alone(config, tokenisers, monkeypatch, **options):
    """The corpus as one process writes it into one store."""
    with monkeypatch.context() as patch:
        patch.setenv("GENERA_CACHE", os.environ["GENERA_CACHE"] + "-alone")
        patch.setattr(tokenising, "SHARD", 1 << 40)
        corpus = TextCorpus.open(config, tokenisers, **options)
        assert "shards" not in corpus._about
    return corpus


@pytest.mark.parametrize("whole", [False, True])
def test_shards_hold_the_rows_of_one_process(config, tokenisers, cache, monkeypatch, small_shards, whole):
    corpus = TextCorpus.open(config, tokenisers, whole=whole)
    assert len(corpus._about["shards"]) == len(shards_of(cache)) >= 5
    assert_same(corpus, alone(config, tokenisers, monkeypatch, whole=whole))


def test_what_is_held_out_is_limited_over_all_shards(config, tokenisers, monkeypatch, small_shards):
    """Of training texts alone, the first few that the hash picks are held out, whichever shard they are in."""
    monkeypatch.setattr(splits, "HELD_OUT_MOST", 3)
    (Path(config.data.removeprefix("tsv:")) / "e.valid.tsv").unlink()
    corpus = TextCorpus.open(config, tokenisers)
    assert len(set(corpus.valid.texts())) == len(set(corpus.test.texts())) == 3
    assert_same(corpus, alone(config, tokenisers, monkeypatch))


def test_joined_sources_and_unlabelled_texts(tmp_path, tokenisers, monkeypatch, small_shards):
    (tmp_path / "a.txt").write_text("\n".join(SMALL[:900]))
    config = DataConfig(data=f"text:{tmp_path}/a.txt + world:captions-small")
    monkeypatch.setattr("genera.data.text.world.WORLD_SIZES", {"train": 50, "valid": 5, "test": 5})
    corpus = TextCorpus.open(config, tokenisers)
    assert corpus._about["shards"]
    assert_same(corpus, alone(config, tokenisers, monkeypatch))


def test_ranks_and_worker_processes_write_the_same_shards(config, tokenisers, cache, monkeypatch, small_shards):
    source = parse_source(config.data, config.text_column, config.label_column)
    plan = Recipe(source, config, False, tokenisers, "key").plan()
    plan.tokenise(rank=1, ranks=2, workers=2)
    assert [folder.exists() for folder in plan.folders] == [number % 2 == 1 for number in range(plan.count)]
    kept = {folder: written_at(folder) for folder in shards_of(cache)}
    plan.tokenise(rank=0, ranks=2)
    plan.join(cache / "whole")
    assert all(written_at(folder) == inode for folder, inode in kept.items())
    mine = [path.read_bytes() for folder in plan.folders for path in sorted(folder.rglob("*.bin"))]
    monkeypatch.setenv("GENERA_CACHE", f"{cache}-other")
    plan.tokenise()
    assert mine == [path.read_bytes() for folder in plan.folders for path in sorted(folder.rglob("*.bin"))]


def test_a_killed_tokenisation_keeps_its_shards(config, tokenisers, cache, monkeypatch, small_shards):
    real, written = tokenising._write, []

    def dying(folder, *rest):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(folder)
        return real(folder, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(tokenising, "_write", dying)
        with pytest.raises(KeyboardInterrupt):
            TextCorpus.open(config, tokenisers)
    kept = {path: written_at(path) for path in shards_of(cache)}
    assert len(kept) == 3
    corpus = TextCorpus.open(config, tokenisers)
    assert all(written_at(path) == inode for path, inode in kept.items())
    assert_same(corpus, alone(config, tokenisers, monkeypatch))


def test_a_damaged_shard_alone_is_written_again(config, tokenisers, cache, monkeypatch, small_shards):
    TextCorpus.open(config, tokenisers)
    folders = shards_of(cache)
    before = [written_at(folder) for folder in folders]
    (folders[1] / "train/text.bin").write_bytes(b"")
    corpus = TextCorpus.open(config, tokenisers)
    after = [written_at(folder) for folder in shards_of(cache)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [number != 1 for number in range(len(folders))]
    assert_same(corpus, alone(config, tokenisers, monkeypatch))


def test_an_error_names_the_line_of_the_file(config, tokenisers, small_shards):
    path = Path(config.data.removeprefix("tsv:")) / "a.tsv"
    lines = path.read_text().split("\n")
    lines[1000] = "no column"
    path.write_text("\n".join(lines))
    with pytest.raises(GeneraError, match=rf"{path}:1001 has 1 columns"):
        TextCorpus.open(config, tokenisers)


def test_an_error_of_a_worker_process_is_raised(config, tokenisers, small_shards):
    source = parse_source(config.data, config.text_column, config.label_column)
    plan = Recipe(source, config, False, tokenisers, "key").plan()
    path = f"{config.data.removeprefix('tsv:')}/a.tsv"
    with open(path, "ab") as file:
        file.write(b"\n9\t\xff")
    with pytest.raises(GeneraError, match=rf"{path}:1202 is not UTF-8"):
        plan.tokenise(workers=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_words": 1}, r"all texts of .* have more than 1 words \(text 1 has \d+\); raise --max-words"),
        ({"max_tokens": 3}, "all training texts of .* have more than --max-tokens 3 tokens"),
    ],
)
def test_nothing_left(config, tokenisers, small_shards, options, message):
    with pytest.raises(GeneraError, match=message):
        TextCorpus.open(dataclasses.replace(config, **options), tokenisers)


def test_a_limit_keeps_the_first_texts(config, tokenisers, small_shards):
    corpus = TextCorpus.open(dataclasses.replace(config, limit=30), tokenisers)
    assert "shards" not in corpus._about
    assert len(corpus.train) == 30


def test_ranges_of_a_file_have_each_line_once(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\n\n\ufeffthree\nfo\u00fcr\r\nfive".encode())
    whole = list(read_lines(path))
    assert [line.text for line in whole] == ["one\n", "\n", "\ufeffthree\n", "fo\u00fcr\r\n", "five"]
    size = path.stat().st_size
    for step in (1, 2, 3, 7, size):
        parts = [read_range(path, start, min(start + step, size)) for start in range(0, size, step)]
        assert [line.text for part in parts for line in part] == [line.text for line in whole]


def test_joined_arrays_read_as_one():
    arrays = [np.arange(5), np.array([], np.int64), np.arange(5, 6), np.arange(6, 20)]
    joined, whole = Joined(arrays), np.arange(20)
    places = np.random.default_rng(0).integers(0, 20, (6, 7))
    assert np.array_equal(joined[places], whole[places])
    assert np.array_equal(joined.take(places * 2 - 5, mode="clip"), whole.take(places * 2 - 5, mode="clip"))
    assert len(joined) == 20
    assert joined[6:20].tolist() == whole[6:20].tolist()
    assert joined[5:6].tolist() == [5]
    assert joined[20:20].tolist() == joined[5:5].tolist() == []


SCRIPT = """
from genera.cli.main import main
from genera.data.text import tokenising

if __name__ == "__main__":
    tokenising.SHARD = 20_000
    main()
"""


def test_the_command_resumes_after_a_kill_and_training_reads_its_shards(config, cache, tmp_path):
    """SIGKILL while shards are being written; then the rest, by two ranks; `genera train` finds all of them."""
    options = ["--data", config.data, "--text-column", "text", "--vocabulary", "400"]
    script = tmp_path / "tokenise.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "tokenise", "optimus:nano", *options]
    killed = subprocess.Popen([*command, "--workers", "1"], stderr=subprocess.DEVNULL)
    while killed.poll() is None and len(shards_of(cache)) < 2:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = shards_of(cache)
    assert kept
    inodes = [written_at(path) for path in kept]
    for rank in ("1", "0"):
        done = subprocess.run(
            [*command, "--workers", "2", "--json"], env=os.environ | {"RANK": rank, "WORLD_SIZE": "2"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["shards"] == result["complete"] == len(shards_of(cache)) > len(kept)
    assert inodes == [written_at(path) for path in kept]
    chosen = genera.configure("optimus:nano", data=config.data, text_column="text", vocabulary=400)
    corpus = TextCorpus.open(chosen.data)
    assert len(corpus._about["shards"]) == result["shards"]
    assert len(corpus.train) == result["items"]["train"]
    assert WHOLE not in corpus.splits
