"""What every method promises, each as a function that raises AssertionError when it is not so.

`whole` is a finished run of the case, `folder` an empty one for the runs that a check makes.
"""

import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from genera.engine import checkpoint, registry
from genera.engine.capabilities import Samples
from genera.engine.dry_run import dry_run
from genera.engine.folder import RunFolder
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.run import load
from genera.testing.processes import forked
from genera.testing.runs import Case

RELATIVE, ABSOLUTE = 1e-3, 2e-4
"""Tolerances where gradients are averaged in another order, which moves Adam's steps by rounding."""


def resumes_bit_identically(case: Case, whole: Path, folder: Path, *, launcher: Any = forked) -> None:
    """Killed before a step, and then inside a save, the run resumes and ends with the very same weights, averages,
    training state and per-rank state, and with the same metrics, but for the clock."""
    out = folder / "killed"
    draw = random.Random(case.method)
    steps = RunFolder(whole).metrics()[-1]["step"]
    for kill in (f"step:{draw.randrange(2, max(3, steps * 3 // 4))}", f"save:{draw.randrange(1, 4)}"):
        died = case.train(out, kill=kill, launcher=launcher)
        assert died.returncode == -9, f"not killed at {kill}: {died.stderr}"
    case.finish(out, launcher=launcher)
    files = tensor_files(whole)
    assert tensor_files(out) == files
    for name in files:
        one, two = final(whole, name), final(out, name)
        assert one.keys() == two.keys()
        for key in one:
            assert torch.equal(one[key], two[key]), f"{name} of {key} differs after the kills"
    assert _figures(out) == _figures(whole), "the metrics differ after the kills"


def two_ranks_equal_one(
    case: Case, whole: Path, folder: Path, *, kill: str | None = None, launcher: Any = forked
) -> None:
    """Two ranks of batch B end where one of batch 2·B does; also when both are killed on the way, at `kill`."""
    out = folder / "ranks"
    if kill:
        assert case.train(out, ranks=2, kill=kill, launcher=launcher).returncode != 0, f"not killed at {kill}"
    assert_close(whole, case.finish(out, ranks=2, launcher=launcher))


def accumulated_parts_equal_the_whole_batch(case: Case, whole: Path, folder: Path) -> None:
    """A loss over the whole batch (`step.gather`) is refused in words instead."""
    if case.rows_apart:
        whole = case.finish(folder / "whole", more=case.rows_apart)
    done = case.train(folder / "parts", more={**case.rows_apart, "train.accumulate": 2})
    if "needs the whole batch" in done.stderr:
        assert done.returncode == 1, done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert_close(whole, folder / "parts")


def every_parameter_learns(case: Case, folder: Path) -> None:
    """Over the stages of one run, each parameter is in some optimiser and gets a gradient."""
    config = case.config(**case.rows_apart, **case.learning)
    alone = Ranks(0, 1, torch.device("cpu"))
    implementation = registry.entry(config.method).load()
    data = implementation.dataset.open(config.data)
    method = implementation(config.model, data.assets)
    if case.prepare:
        case.prepare(method)
    moved = set()
    for stage in method.stages():
        if stage.work:
            list(stage.work(data, folder / stage.name, alone))
        if stage.players:
            step = Step(config.train, alone, enrol(stage.players(), config.train, alone))
            before = {name: p.detach().clone() for name, p in method.named_parameters()}
            source = stage.data(data, folder) if stage.data else data
            batch = source.stream("train", stage.batch_size or config.train.batch_size, seed=0).batch(0)
            for index in range(3):
                step.begin(index, 0.9)  # late in the schedules, when every term of the loss counts
                stage.update(batch, step)
            moved |= {name for name, p in method.named_parameters() if not torch.equal(p, before[name])}
        if stage.finish:
            stage.finish(data, folder / stage.name)
        if stage.restore:
            stage.restore(folder / stage.name)
    trained = {n for n, p in method.named_parameters() if p.requires_grad}
    assert moved >= trained, f"never trained: {', '.join(sorted(trained - moved))}"
    assert moved <= trained, f"moved though they ask for no gradient: {', '.join(sorted(moved - trained))}"


def loads(whole: Path) -> None:
    """`genera.load` gives the weights of the last checkpoint; samples, if any, can be drawn again by their seed."""
    run = load(whole, device="cpu")
    assert run.step == RunFolder(whole).metrics()[-1]["step"]
    saved = final(whole) | final(whole, "average")
    for name, value in run.method.state_dict().items():
        assert torch.equal(value, saved[name]), f"{name} is not the saved one"
    if isinstance(run.method, Samples):
        assert same(run.sample(2, seed=0), run.sample(2, seed=0)), "two samples with one seed differ"


def dry_runs(case: Case) -> None:
    """`--dry-run` counts parameters, FLOPs and memory of a step of each stage without data."""
    result = dry_run(case.config())
    assert result["config"]["train"]["steps"] == case.config().train.steps
    stages: dict[str, Any] = result.get("stages", {"": result})
    for name, stage in stages.items():
        assert sum(player["trainable"] for player in stage["players"].values()) > 0, f"stage {name} trains nothing"
        assert stage["flops_per_step"] > 0
        assert all(size >= 0 for size in stage["memory_bytes"].values())


def evaluates(case: Case, run: Path) -> None:
    """`genera evaluate` finds measures for it and `genera report` writes the page; both into the folder `run`."""
    done = forked("genera.cli.main:main", ["evaluate", str(run), *(case.evaluation or ()), "--json"])
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert counts, "nothing was measured"
    assert any(counts.values()), f"measured on no item: {counts}"
    done = forked("genera.cli.main:main", ["report", str(run)])
    assert done.returncode == 0, done.stderr
    assert case.name in (run / "report.html").read_text(encoding="utf-8")


def _figures(run: Path) -> list[dict[str, Any]]:
    """The lines of the metrics without what depends on the clock and the process."""
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "items_per_second", "memory_mb")}
        for row in RunFolder(run).metrics()
    ]


def tensor_files(run: Path) -> list[str]:
    """Names of the files of tensors of the last checkpoint, such as weights or ranks/rank-00000."""
    last = checkpoint.pick(RunFolder(run).checkpoints)
    assert last, f"{run} has no checkpoint"
    return sorted(path.relative_to(last).with_suffix("").as_posix() for path in last.rglob("*.safetensors"))


def final(run: Path, name: str = "weights") -> dict[str, torch.Tensor]:
    """A file of the last checkpoint, as `tensor_files` names it; nothing where it has no such file."""
    last = checkpoint.pick(RunFolder(run).checkpoints)
    assert last, f"{run} has no checkpoint"
    file = last / f"{name}.safetensors"
    return load_file(file) if file.exists() else {}


def assert_close(one: Path, two: Path) -> None:
    expected, weights = final(one), final(two)
    assert expected.keys() == weights.keys()
    for name in expected:
        try:
            torch.testing.assert_close(weights[name], expected[name], rtol=RELATIVE, atol=ABSOLUTE)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def same(one: Any, two: Any) -> bool:
    """Whether two items, or lists of them, are equal, tensors element by element."""
    if isinstance(one, list):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else bool(one == two)
