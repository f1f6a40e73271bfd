"""What every test shares."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def corpus_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of tokenised corpora for the whole session, also for the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENERA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
