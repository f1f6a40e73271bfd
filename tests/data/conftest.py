import gzip

import pytest

from genera.data.tokenisers import Tokeniser, Tokenisers
from genera.worlds import load


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def tokenisers():
    sentences = load("captions").sentences(1000)
    return Tokenisers(
        encoder=Tokeniser.train("wordpiece", lambda: sentences, 1000),
        decoder=Tokeniser.train("bpe", lambda: sentences, 1000),
    )


@pytest.fixture
def write(tmp_path):
    """write(name, text) → the path of a new file; names that end in .gz are compressed."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write
