"""What every test shares."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import train


@pytest.fixture(scope="session", autouse=True)
def corpus_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of tokenised corpora for the whole session, also for the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENERA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of Optimus that the commands can use, trained for seconds. Not to be changed: copy it first."""
    out = tmp_path_factory.mktemp("tiny") / "run"
    trained = train(out)
    assert trained.code == 0, trained.err
    return out
