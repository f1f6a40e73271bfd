"""One short training per method and session; every test reads it, and copies it before it changes something."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import genera
from genera.engine.registry import configure
from genera.uses.run import Run


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
