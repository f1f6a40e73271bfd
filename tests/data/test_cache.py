"""What is kept of files between runs."""

import hashlib
import os

import pytest

from genera.data import cache
from genera.data.cache import REMEMBERED_FROM, file_hash
from genera.errors import GeneraError

LONG_AGO = 1_000_000_000


@pytest.fixture
def corpus(tmp_path):
    """A large file that was written long ago."""
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


def test_a_file_that_may_still_be_written_is_not_remembered(corpus):
    """Two changes within the clock's grain leave the same time."""
    corpus.write_bytes(corpus.read_bytes().upper())
    state = corpus.stat()
    before = file_hash(corpus)
    corpus.write_bytes(corpus.read_bytes().lower())
    os.utime(corpus, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file_hash(corpus) != before


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
