import gzip
import os
from pathlib import Path

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


@pytest.fixture(scope="session")
def real_data():
    """real_data("ptb") → its folder; skips where the development data is absent."""

    def folder(name):
        root = os.environ.get("GENERA_DATA")
        if not root or not (Path(root) / name).is_dir():
            pytest.skip(f"real data {name!r} not found; set GENERA_DATA to the folder that holds it")
        return Path(root) / name

    return folder
