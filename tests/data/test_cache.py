"""What is kept of files between runs."""

import hashlib
import os

import pytest

from genera.data import cache
from genera.data.cache import CHECKSUMS, REMEMBERED_FROM, build_once, file_hash, verify
from genera.data.text.config import DataConfig
from genera.data.text.corpus import TextCorpus
from genera.errors import GeneraError

LONG_AGO = 1_000_000_000


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A large file that was written long ago."""
    monkeypatch.setattr(cache, "SETTLED", -1)
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"a line\n" * REMEMBERED_FROM)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def test_a_large_file_is_read_once(corpus, monkeypatch):
    whole = hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert file_hash(corpus) == whole
    monkeypatch.setattr(cache.hashlib, "file_digest", None)
    assert file_hash(corpus) == whole


def test_a_changed_file_is_read_again(corpus):
    before = file_hash(corpus)
    corpus.write_bytes(corpus.read_bytes().upper())  # of the same size
    assert file_hash(corpus) == hashlib.sha256(corpus.read_bytes()).hexdigest() != before


def test_a_file_that_may_still_be_written_is_not_remembered(corpus, monkeypatch):
    """Two changes within the clock's grain leave the same times."""
    monkeypatch.setattr(cache, "SETTLED", 60)
    file_hash(corpus)
    assert not (cache.cache_folder() / "hashes" / cache.identity(corpus)).exists()


@pytest.mark.parametrize("place", [0, 3 * cache.BLOCK + 5, -1])
def test_a_change_that_keeps_size_and_modification_time_is_noticed(corpus, place):
    """As by a tool that restores the time, such as `cp -p` or `rsync -t`."""
    state, before, key = corpus.stat(), file_hash(corpus), cache.identity(corpus)
    _flip(corpus, place)
    os.utime(corpus, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert corpus.stat().st_mtime_ns == state.st_mtime_ns
    assert cache.identity(corpus) != key
    assert file_hash(corpus) == hashlib.sha256(corpus.read_bytes()).hexdigest() != before


def test_where_there_is_no_change_time_the_sampled_blocks_tell(corpus, monkeypatch):
    monkeypatch.setattr(cache.os, "name", "nt")
    state, key = corpus.stat(), cache.identity(corpus)
    _flip(corpus, -1)
    os.utime(corpus, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert cache.identity(corpus) != key


def test_small_files_leave_nothing_in_the_cache(tmp_path):
    (tmp_path / "small.txt").write_text("a line\n")
    assert file_hash(tmp_path / "small.txt") == hashlib.sha256(b"a line\n").hexdigest()
    assert not (cache.cache_folder() / "hashes").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(GeneraError, match=r"cannot read .*nothing\.txt: No such file"):
        file_hash(tmp_path / "nothing.txt")


def test_a_cache_that_cannot_be_written_only_costs_time(corpus, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path / "file"))
    assert file_hash(corpus) == hashlib.sha256(corpus.read_bytes()).hexdigest()


# -- damage -----------------------------------------------------------------------------------------------------------


def _flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _small(folder):
    (folder / "inside").mkdir()
    (folder / "inside" / "a.bin").write_bytes(bytes(range(256)) * 100)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: _flip(folder / "inside/a.bin", 12_345),
        lambda folder: (folder / "inside/a.bin").write_bytes(b"short"),
        lambda folder: (folder / "inside/a.bin").unlink(),
        lambda folder: (folder / CHECKSUMS).write_text("{}x"),
        lambda folder: (folder / CHECKSUMS).write_text('{"inside/a.bin": 3}'),
        lambda folder: (folder / CHECKSUMS).write_text("[]"),
        lambda folder: (folder / CHECKSUMS).unlink(),
    ],
)
def test_a_damaged_folder_is_made_again_and_said_to_be(tmp_path, harm, capsys):
    folder = tmp_path / "cache" / "x"
    build_once(folder, _small)
    build_once(folder, lambda temporary: pytest.fail("whole folders are not rebuilt"))
    harm(folder)
    assert len(verify(folder.parent).damaged) + len(verify(folder.parent).unchecked) == 1
    build_once(folder, _small)
    assert "rebuilding it" in capsys.readouterr().err
    assert (folder / "inside/a.bin").read_bytes() == bytes(range(256)) * 100
    assert not verify(folder.parent).damaged
    assert [path.name for path in folder.parent.iterdir()] == ["x"]


def test_of_a_large_file_a_sample_is_read_at_each_opening_and_all_of_it_by_verify(tmp_path):
    folder = tmp_path / "cache" / "x"
    build_once(folder, lambda temporary: (temporary / "a.bin").write_bytes(bytes(3 * cache.SMALL)))
    for place in (0, 3 * cache.SMALL - 1, (3 * cache.SMALL - cache.BLOCK) * 7 // (cache.BLOCKS - 1)):
        _flip(folder / "a.bin", place)
        assert "checksum mismatch" in cache.damage(folder)
        _flip(folder / "a.bin", place)
    assert cache.damage(folder) is None
    _flip(folder / "a.bin", cache.BLOCK + 9)  # between two blocks
    assert cache.damage(folder) is None
    result = verify(folder.parent)
    assert (result.folders, result.bytes > 3 * cache.SMALL) == (1, True)
    assert result.damaged == [f"{folder}/a.bin is damaged (checksum mismatch)"]


def test_a_corpus_that_was_edited_in_the_cache_is_not_trained_on(write, tokenisers, capsys):
    config = DataConfig(data=f"text:{write('a.txt', chr(10).join(f'a man near house {i}' for i in range(500)))}")
    before = TextCorpus.open(config, tokenisers).train.decoder.flat.tolist()
    for name, content in (("decoder.bin", None), ("about.json", "{}")):
        path = next(cache.cache_folder().glob(f"text-*/train/{name}"))
        path.write_bytes(bytes(path.stat().st_size)) if content is None else path.write_text(content)
        assert TextCorpus.open(config, tokenisers).train.decoder.flat.tolist() == before
        assert f"{name} is damaged" in capsys.readouterr().err


def test_a_folder_in_which_people_work_is_left_as_it_is(tmp_path):
    folder = tmp_path / "cache" / "x"
    build_once(folder, _small, checked=False)
    (folder / "inside/a.bin").write_bytes(b"changed")
    build_once(folder, _small, checked=False)
    assert (folder / "inside/a.bin").read_bytes() == b"changed"
    assert verify(folder.parent).unchecked == [str(folder)]


def test_what_is_no_cache_cannot_be_verified(tmp_path):
    with pytest.raises(GeneraError, match="nothing is not a folder"):
        verify(tmp_path / "nothing")


def test_a_damaged_hash_is_computed_again(corpus):
    whole = file_hash(corpus)
    kept = next((cache.cache_folder() / "hashes").iterdir())
    kept.write_text("")
    assert file_hash(corpus) == whole
