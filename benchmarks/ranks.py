"""Tokens a second of Optimus `small` on one rank and on two: DDP, FSDP2 and tensor parallel.

    python -m benchmarks.ranks

Each rank has its own thread, and with DDP and FSDP2 its own 32 sentences; with tensor parallelism both compute on the
same 64. They run in turn, round by round; perfect scaling is 2. It needs two idle cores: the share of its one core that
each rank got while it trained is printed beside it.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch

import genera
from genera.console import console
from genera.engine.deferred import allocate, build, fill
from genera.engine.mesh import mesh_of
from genera.engine.ranks import join_ranks
from genera.engine.step import Step
from genera.engine.trainees import distributed, enrol
from genera.methods.optimus.method import Optimus

ROWS, WARM_UP, STEPS, ROUNDS = 32, 2, 8, 3
KINDS: dict[str, dict[str, object]] = {"ddp": {}, "fsdp": {"sharding": "fsdp"}, "tensor": {"tensor_parallel": 2}}


def measure(kind: str) -> None:
    """Train for some steps; prints the tokens a second of all ranks, and the least share of a core that one got."""
    console.quiet = True
    torch.set_num_threads(1)
    with join_ranks("cpu") as ranks:
        options = KINDS[kind] | {"batch_size": ROWS * ranks.world}
        config = genera.configure("optimus:small", data="world:captions-small", **options)
        ranks = ranks.arranged(mesh_of(config.train, ranks.world))
        data = Optimus.dataset.open(config.data)
        torch.manual_seed(0)
        method, objective = Optimus(config.model, data.assets), None
        if ranks.mesh.distributed:
            method, initial = build(partial(Optimus, config.model, data.assets))
            objective = distributed(method.players(), config.train, ranks)
            allocate(method, ranks.device)
            fill(method, initial)
        step = Step(config.train, ranks, enrol(method.players(), config.train, ranks, objective))
        rows = {"rank": ranks.data_rank, "ranks": ranks.data_world}
        stream = data.stream("train", config.train.batch_size, seed=0, **rows)
        batches = [stream.batch(index) for index in range(WARM_UP + STEPS)]
        for index, batch in enumerate(batches):
            if index == WARM_UP:
                ranks.barrier()
                wall, work = time.perf_counter(), time.process_time()
            step.begin(index, 0.9)
            method.update(batch, step)
        ranks.barrier()
        wall, work = time.perf_counter() - wall, time.process_time() - work
        tokens = sum(ranks.gather_data(sum(int(batch.length.sum()) for batch in batches[WARM_UP:])))
        if ranks.main:
            print(json.dumps([tokens / ranks.agree(wall), min(ranks.gather(work / wall))]))
        else:
            ranks.agree(wall), ranks.gather(work / wall)


def run(world: int, kind: str = "ddp") -> tuple[float, float]:
    launcher = [sys.executable]
    if world > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
    done = subprocess.run(
        [*launcher, "-m", "benchmarks.ranks", "measure", kind],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    tokens, share = json.loads(done.stdout.splitlines()[-1])
    return tokens, share


def main() -> None:
    Optimus.dataset.open(genera.configure("optimus:small", data="world:captions-small").data)  # builds the cache
    rounds = [(run(1), {kind: run(2, kind) for kind in KINDS}) for _ in range(ROUNDS)]
    for (one, alone), two in rounds:
        print(f"1 rank {one:,.0f} tokens/s ({alone:.0%} of a core)")
        for kind, (tokens, share) in two.items():
            print(f"2 ranks, {kind}: {tokens:,.0f} tokens/s ({share:.0%} of a core each)")
    for kind in KINDS:
        print(f"2 ranks, {kind} / 1 rank: {statistics.median(two[kind][0] / one for (one, _), two in rounds):.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2])
    else:
        main()
