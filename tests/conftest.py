"""What every test shares."""

import gzip
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from xdist.scheduler import LoadScopeScheduling

import genera
from commands import train
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.engine.registry import configure
from genera.navigation.sources import NavigationSource, open_navigation
from genera.run import Run
from genera.worlds import load


class ByModuleAndMethod(LoadScopeScheduling):
    """A module of tests stays in one process; of the tests over every method, those of one case do."""

    def _split_scope(self, nodeid: str) -> str:
        method = re.match(r".*test_every_method\.py::.*\[(?:None-|step:\d+-)?(.+?)(?:-None|-step:\d+)?\]$", nodeid)
        return f"every method: {method[1]}" if method else super()._split_scope(nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first, so that both processes are busy to the end: the README takes minutes in one."""
    first = ("test_readme.py", "test_every_method.py")
    items.sort(key=lambda item: next((i for i, name in enumerate(first) if name in item.nodeid), len(first)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return ByModuleAndMethod(config, log)


# A suite in the background (`&`, nohup) inherits ignored signals, which `genera train` respects.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (getattr(signal, "SIGHUP", None), signal.SIG_DFL)):
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


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


# One short training per method and session; every test reads it, and copies it before it changes something.


def _train(spec: str, out: Path, **options: object) -> Path:
    torch.set_num_threads(1)
    config = configure(
        spec, data="world:captions-small", limit=2000, vocabulary=400, warmup=10, steps=100, batch_size=32,
        log_every=50, validate_every=0, checkpoint_every=50, device="cpu", **options,
    )  # fmt: skip
    return genera.train(config, out).path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an Optimus of 100 steps, with checkpoints at 50 and 100 and averaged weights."""
    return _train("optimus:nano", tmp_path_factory.mktemp("trained") / "optimus", ema=0.9, latent_size=8)


@pytest.fixture(scope="session")
def trained_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _train("gpt2-lm:nano", tmp_path_factory.mktemp("trained") / "lm")


@pytest.fixture
def run(trained: Path) -> Run:
    return genera.load(trained, device="cpu")


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Callable[[], Run]:
    """A run folder of the test's own, loaded."""

    def copy() -> Run:
        return genera.load(shutil.copytree(trained, tmp_path / "copy", dirs_exist_ok=True), device="cpu")

    return copy


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for one test."""
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def tokenisers() -> Tokenisers:
    sentences = load("captions").sentences(1000)
    return Tokenisers(
        encoder=Tokeniser.train("wordpiece", lambda: sentences, 1000),
        decoder=Tokeniser.train("bpe", lambda: sentences, 1000),
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """write(name, text) → the path of a new file; names that end in .gz are compressed."""

    def write(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write
