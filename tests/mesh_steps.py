"""Trainings on several meshes of four ranks, in one start of them; `test_meshes` judges what they report."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genera.blocks.split import Split
from genera.blocks.tensor_parallel import parts_of
from genera.console import console
from genera.engine import checkpoint as ckpt
from genera.engine import registry
from genera.engine.checkpoint import Position
from genera.engine.deferred import allocate, build, fill
from genera.engine.mesh import mesh_of
from genera.engine.ranks import Ranks, join_ranks
from genera.engine.runtime import seed_all
from genera.engine.step import Step
from genera.engine.trainees import averaged, distributed, enrol
from training import TINY, configured

STEPS, SAVED = 4, 2

LAYOUTS: dict[str, dict[str, object]] = {
    "gpt2": {"model.decoder.heads": 4},
    "llama": {"model.decoder.layout": "llama", "model.decoder.heads": 4, "model.decoder.key_value_heads": 2},
}
MESHES: dict[str, dict[str, object]] = {
    "fsdp": {"train.sharding": "fsdp"},
    "hsdp": {"train.sharding": "fsdp", "train.replicas": 2},
    "tp4": {"train.tensor_parallel": 4},
    "tp2 x ddp": {"train.tensor_parallel": 2},
    "tp2 x fsdp": {"train.tensor_parallel": 2, "train.sharding": "fsdp", "train.accumulate": 2},
}
CASES = [("gpt2", mesh) for mesh in MESHES] + [
    ("llama", mesh) for mesh in MESHES if mesh in ("tp2 x ddp", "tp2 x fsdp")
]
CROSSINGS = [
    ("tp2 x fsdp", "tp2 x fsdp"),
    ("tp2 x fsdp", "tp4"),
    ("tp2 x fsdp", "alone"),
    ("alone", "tp4"),
    ("tp2 x ddp", "fsdp"),
]
"""Of the gpt2 layout: saved by one, resumed by the other."""


class Training:
    """A tiny language model on some ranks, with moving averages."""

    def __init__(self, ranks: Ranks, *options: dict[str, object]) -> None:
        given = {key: value for some in options for key, value in some.items()}
        # 391 tokens divide over neither two nor four ranks.
        sizes = {"data.vocabulary": 391, "train.epochs": None, "train.ema": 0.9}
        self.config = configured("lm:nano", {**TINY["lm"][1], **sizes, "model.decoder.layers": 2, **given})
        mesh = mesh_of(self.config.train, ranks.world)
        self.ranks = ranks = replace(ranks, mesh=mesh) if mesh.tensor == 1 else ranks.arranged(mesh)
        implementation = registry.entry(self.config.method).load()
        self.data = implementation.dataset.open(self.config.data)
        seed_all(0)
        self.method, initial = build(lambda: implementation(self.config.model, self.data.assets))
        objective = None
        if mesh.distributed:
            objective = distributed(self.method.players(), self.config.train, ranks)
        seed_all(1 + ranks.data_rank)
        allocate(self.method, ranks.device)
        fill(self.method, initial)
        train = self.config.train
        self.step = Step(train, ranks, enrol(self.method.players(), train, ranks, objective))
        self.method.train()

    def run(self, first: int, last: int) -> list[list[float]]:
        """Loss and gradient norm of each step."""
        data, ranks, size = self.data, self.ranks, self.config.train.batch_size
        stream = data.stream("train", size, seed=0, rank=ranks.data_rank, ranks=ranks.data_world)
        figures = []
        for index in range(first, last):
            self.step.begin(index, index / STEPS)
            self.method.update(stream.batch(index), self.step)
            self.step.end()
            means = self.step.averages()
            figures.append([means["loss"], means["grad_norm"]])
        return figures

    def validation(self) -> float:
        """Loss under the averages."""
        ranks = self.ranks
        batch = self.data.stream("valid", 16, seed=0, rank=ranks.data_rank, ranks=ranks.data_world).batch(0)
        with averaged(self.step.trainees), torch.no_grad():
            loss = self.step.evaluate(self.method.validate, batch, self.step)["loss"]
            return ranks.mean(loss.detach().clone()).item()

    def held(self) -> int:
        """Bytes of weights, averages and moments on this rank."""
        (trainee,) = self.step.trainees.values()
        moments = [v for s in trainee.player.optimiser.state.values() for k, v in s.items() if k != "step"]
        tensors = [*self.method.parameters(), *trainee.average, *moments]
        return sum((t.to_local() if hasattr(t, "to_local") else t).nbytes for t in tensors)

    def save(self, folder: Path) -> None:
        ckpt.save(folder, self.method, self.step, Position(step=SAVED), 1)

    def resume(self, folder: Path) -> None:
        ckpt.load_training(ckpt.pick(folder), self.method, self.step)


def report(folder: str, compiling: bool = True) -> None:
    """Run all cases; the main rank writes report.json into `folder`."""
    console.quiet = True
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with join_ranks("cpu") as ranks:
        alone = Ranks(0, 1, ranks.device)
        for layout, options in LAYOUTS.items():
            if ranks.main:
                found[f"{layout} alone"] = trained(alone, options, Path(folder) / f"{layout} alone")
        ranks.barrier()
        for layout, mesh in CASES:
            name = f"{layout} {mesh}"
            found[name] = trained(ranks, LAYOUTS[layout] | MESHES[mesh], Path(folder) / name)
        for before, after in CROSSINGS:
            if after == "alone" and not ranks.main:
                continue
            training = Training(alone if after == "alone" else ranks, LAYOUTS["gpt2"], MESHES.get(after, {}))
            training.resume(Path(folder) / f"gpt2 {before}")
            found[f"{before} -> {after}"] = {"figures": training.run(SAVED, STEPS)}
        found["dropout"] = dropout(ranks)
        found["compiled"] = compiled(ranks)
        if ranks.main:
            (Path(folder) / "report.json").write_text(json.dumps(found))


def trained(ranks: Ranks, options: dict[str, object], folder: Path) -> dict[str, Any]:
    training = Training(ranks, options)
    figures = training.run(0, SAVED)
    training.save(folder)
    figures += training.run(SAVED, STEPS)
    return {"figures": figures, "validation": training.validation(), "held": ranks.gather(training.held())}


def dropout(ranks: Ranks) -> dict[str, Any]:
    """What the parts of a layer draw, and whether what they all hold stays the same on all."""
    training = Training(ranks, LAYOUTS["gpt2"], MESHES["tp4"], {"model.decoder.dropout": 0.5})
    figures = training.run(0, 2)
    norms = training.method.decoder.norm.weight.to_local().tolist()
    q = torch.ones(1, 1, 8, 4)
    torch.manual_seed(0)
    own = Split(ranks.rank, 4, torch.distributed.group.WORLD).attend(q, q, q, dropout_p=0.5)
    after = torch.rand(3).tolist()
    assert parts_of(training.method) == 4
    return {
        "norms": ranks.gather(norms),
        "attention": ranks.gather(own.flatten().tolist()),
        "after": ranks.gather(after),
        "figures": figures,
    }


def compiled(ranks: Ranks) -> dict[str, Any]:
    """Layers traced by torch.compile; its code generation, which takes a minute, is left out."""
    whole = torch.compile
    torch.compile = partial(whole, backend="aot_eager")  # type: ignore[assignment]
    try:
        options = {"train.compile": True, "model.checkpointing": True, "model.decoder.layers": 1, "data.context": 16}
        plain = Training(Ranks(0, 1, ranks.device), options | {"train.compile": False}).run(0, 2)
        case = Training(ranks, options, MESHES["fsdp"])
        return {"plain": plain, "figures": case.run(0, 2), "frames": torch._dynamo.utils.counters["frames"]["ok"]}
    finally:
        torch.compile = whole  # type: ignore[assignment]
