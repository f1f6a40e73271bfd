"""What every test shares."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from commands import train
from genera.data.navigation.sources import NavigationSource, open_navigation


class ByModuleAndMethod(LoadScopeScheduling):
    """A module of tests stays in one process; of the tests over every method, those of one method do."""

    def _split_scope(self, nodeid: str) -> str:
        method = re.match(r".*test_every_method\.py::.*\[(.+?)(?:-None|-step:\d+)?\]$", nodeid)
        return f"every method: {method[1]}" if method else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return ByModuleAndMethod(config, log)


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


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """real_data("ptb") → its folder; skips where the development data is absent."""

    def folder(name: str) -> Path:
        root = os.environ.get("GENERA_DATA")
        if not root or not (Path(root) / name).is_dir():
            pytest.skip(f"real data {name!r} not found; set GENERA_DATA to the folder that holds it")
        return Path(root) / name

    return folder


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], NavigationSource]:
    """opened(spec) → the navigation source, its graphs read; the cache is the session's."""
    cache = tmp_path_factory.mktemp("navigation")

    def source(spec: str) -> NavigationSource:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GENERA_CACHE", str(cache))
            found = open_navigation(spec)
            assert len(found.graphs)
            return found

    return source


@pytest.fixture(scope="session")
def r2r(opened: Callable[[str], NavigationSource], real_data: Callable[[str], Path]) -> NavigationSource:
    """The real R2R data: train and val_seen on all 90 graphs."""
    return opened(f"r2r:{real_data('r2r')}")


@pytest.fixture(scope="session")
def houses(opened: Callable[[str], NavigationSource]) -> NavigationSource:
    return opened("world:houses")
