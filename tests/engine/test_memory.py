"""Models that do not fit are refused before anything is read or allocated; the options to lower are named."""

import pytest

from commands import genera
from genera.engine import memory, registry
from genera.errors import GeneraError

SMALL = "--data world:captions-small --limit 300 --steps 2"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("optimus:nano --encoder.hidden 1000000000", "weights than can be counted; lower --encoder.hidden 1000000000."),
        ("optimus:nano --latent-size 1000000000000", "lower --latent-size 1000000000000."),
        ("optimus:nano --encoder.layers 100000000", "layers is 100000000; a transformer has at most 10,000."),
        ("gpt2-lm:nano --vocabulary 10000000000", "--vocabulary must be at most 16777216, got 10000000000."),
    ],
)  # fmt: skip
def test_sizes_beyond_any_machine(tmp_path, options, named):
    failed = genera("train", *options.split(), *SMALL.split(), "--out", tmp_path / "run")
    assert failed.error.endswith(named)
    assert "texts;" not in failed.err  # nothing was read
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_dry_run_of_a_model_that_cannot_be_counted():
    failed = genera("train", "optimus:nano", "--decoder.hidden", "1000000000", "--dry-run")
    assert failed.error == "this model has more weights than can be counted; lower --decoder.hidden 1000000000."


def test_the_limit_is_the_memory_of_the_machine(tmp_path, monkeypatch):
    words = ("train", "optimus:nano", *SMALL.split(), "--vocabulary", "400", "--validate-every", "0", "--out", tmp_path)
    monkeypatch.setattr(memory, "physical_memory", lambda: 1e6)
    assert "whose weights alone take 0 GB, and this machine has 0 GB of memory; lower" in genera(*words).error
    monkeypatch.setattr(memory, "physical_memory", lambda: 1e8)
    assert genera(*words).code == 0


@pytest.mark.parametrize(("parts", "here", "fits"), [(1, 1, False), (8, 1, True), (8, 8, False), (64, 8, True)])
def test_divided_weights_count_where_they_are(monkeypatch, parts, here, fits):
    config = registry.configure("gpt2-lm:nano", steps=1)
    implementation = registry.entry("gpt2-lm").load()
    monkeypatch.setattr(memory, "physical_memory", lambda: 1.2e6)  # the model has 2.5 MB
    if fits:
        memory.check_memory(implementation, config, parts=parts, here=here)
    else:
        with pytest.raises(GeneraError, match="of memory; lower"):
            memory.check_memory(implementation, config, parts=parts, here=here)
