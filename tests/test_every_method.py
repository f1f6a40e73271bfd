"""The promises that every registered method keeps: being registered means being tested."""

import random

import pytest
import torch
from safetensors.torch import load_file
from yaml import safe_load

from genera.engine import checkpoint, registry
from genera.engine.folder import RunFolder
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from training import ROWS_APART, TINY, configured, start, tiny, words

CASES = sorted(TINY)
ALONE = Ranks(0, 1, torch.device("cpu"))


def final_weights(out, name="weights"):
    return load_file(checkpoint.pick(out / "checkpoints") / f"{name}.safetensors")


def assert_same(one, two):
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name


def test_every_method_has_a_tiny_size():
    tested = {case.partition(":")[0] for case in TINY}
    assert tested == set(registry.entries()), "add the new method to TINY in training.py"


@pytest.fixture(scope="module", params=CASES)
def unbroken(request, tmp_path_factory):
    """A finished run of each method, and the words that made it."""
    out = tmp_path_factory.mktemp(request.param) / "unbroken"
    spec, *overrides = [*tiny(request.param), "train.ema=0.9"]
    done = start(spec, out, *overrides)
    assert done.returncode == 0, done.stderr
    return spec, overrides, out


def test_killed_at_any_instant_it_arrives_at_the_same_weights(unbroken, tmp_path):
    spec, overrides, whole = unbroken
    moments = random.Random(spec)
    for kill in (f"step:{moments.randrange(2, 30)}", f"save:{moments.randrange(1, 4)}"):
        died = start(spec, tmp_path / "broken", *overrides, f"kill={kill}")
        assert died.returncode == -9, died.stderr
    done = start(spec, tmp_path / "broken", *overrides)
    assert done.returncode == 0, done.stderr
    for file in ("weights", "training", "average"):
        assert_same(final_weights(whole, file), final_weights(tmp_path / "broken", file))
    assert [r["step"] for r in rows(whole)] == [r["step"] for r in rows(tmp_path / "broken")]


def rows(out):
    return RunFolder(out).metrics()


@pytest.mark.parametrize("kill", [None, "step:23"])
def test_two_ranks_equal_one_rank_of_twice_the_batch(unbroken, tmp_path, kill):
    """Tolerance: gradients are averaged in another order, which moves Adam's steps by rounding (1e-4 relative)."""
    spec, overrides, whole = unbroken
    if kill:
        assert start(spec, tmp_path / "ranks", *overrides, f"kill={kill}", ranks=2).returncode != 0
    done = start(spec, tmp_path / "ranks", *overrides, ranks=2)
    assert done.returncode == 0, done.stderr
    one, two = final_weights(whole), final_weights(tmp_path / "ranks")
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=2e-4)


def test_accumulated_parts_equal_the_whole_batch(unbroken, tmp_path):
    spec, overrides, whole = unbroken
    if apart := words(ROWS_APART.get(spec.partition(":")[0], {})):
        overrides, whole = [*overrides, *apart], tmp_path / "whole"
        done = start(spec, whole, *overrides)
        assert done.returncode == 0, done.stderr
    done = start(spec, tmp_path / "parts", *overrides, "train.accumulate=2")
    assert done.returncode == 0, done.stderr
    one, parts = final_weights(whole), final_weights(tmp_path / "parts")
    for name in one:
        torch.testing.assert_close(parts[name], one[name], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("name", CASES)
def test_every_trainable_parameter_learns(name, tmp_path):
    """Over the stages of one run, each parameter is in some optimiser and gets a gradient. Without batch normalisation,
    which takes a bias before it away: only rounding would move that."""
    spec, *overrides = tiny(name)
    values = {k: safe_load(v) for k, v in (w.split("=", 1) for w in overrides)}
    if "model.adam_eps" in values:  # a large one, with which a tiny gradient may move a weight by less than rounding
        values["model.adam_eps"] = 1e-8
    config = configured(spec, values | ROWS_APART.get(name.partition(":")[0], {}))
    implementation = registry.entry(config.method).load()
    data = implementation.dataset.open(config.data)
    method = implementation(config.model, data.assets)
    for parameter_name, parameter in method.named_parameters():
        if parameter_name.endswith(".rho"):  # AdaLIN's begin at a bound, where one that is pulled outwards stays
            parameter.data.fill_(0.5)
    seen = set()
    for stage in method.stages():
        if stage.work:
            list(stage.work(data, tmp_path / stage.name, ALONE))
        if stage.players:
            step = Step(config.train, ALONE, enrol(stage.players(), config.train, ALONE))
            before = {n: p.detach().clone() for n, p in method.named_parameters()}
            own = stage.data(data, tmp_path) if stage.data else data
            batch = own.stream("train", stage.batch_size or config.train.batch_size, seed=0).batch(0)
            for at in range(3):
                step.begin(at, 0.9)  # late in the schedules, when every term of the loss counts
                stage.update(batch, step)
            seen |= {n for n, p in method.named_parameters() if not torch.equal(p, before[n])}
        if stage.finish:
            stage.finish(data, tmp_path / stage.name)
        if stage.restore:
            stage.restore(tmp_path / stage.name)
    assert seen == {n for n, p in method.named_parameters() if p.requires_grad}
