"""Tokens a second of Optimus `small` on one rank and on two, each rank with its own thread and its own 32 sentences.

    python -m benchmarks.ranks

The two are run in turn, round by round; perfect scaling is 2. It needs two idle cores: the share of its one core that
each rank got while it trained is printed beside it.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import genera
from genera.console import console
from genera.engine.ranks import join_ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.methods.optimus.method import Optimus

ROWS, WARM_UP, STEPS, ROUNDS = 32, 2, 8, 3


def measure() -> None:
    """Train for some steps; prints the tokens a second of all ranks, and the least share of a core that one got."""
    console.quiet = True
    torch.set_num_threads(1)
    with join_ranks("cpu") as ranks:
        config = genera.configure("optimus:small", data="world:captions-small", batch_size=ROWS * ranks.world)
        data = Optimus.dataset.open(config.data)
        torch.manual_seed(0)
        method = Optimus(config.model, data.assets)
        step = Step(config.train, ranks, enrol(method.players(), config.train, ranks))
        stream = data.stream("train", config.train.batch_size, seed=0, rank=ranks.rank, ranks=ranks.world)
        batches = [stream.batch(index) for index in range(WARM_UP + STEPS)]
        for index, batch in enumerate(batches):
            if index == WARM_UP:
                ranks.barrier()
                wall, work = time.perf_counter(), time.process_time()
            step.begin(index, 0.9)
            method.update(batch, step)
        ranks.barrier()
        wall, work = time.perf_counter() - wall, time.process_time() - work
        tokens = sum(ranks.gather(sum(int(batch.length.sum()) for batch in batches[WARM_UP:])))
        if ranks.main:
            print(json.dumps([tokens / ranks.agree(wall), min(ranks.gather(work / wall))]))
        else:
            ranks.agree(wall), ranks.gather(work / wall)


def run(world: int) -> tuple[float, float]:
    launcher = [sys.executable]
    if world > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
    done = subprocess.run(
        [*launcher, "-m", "benchmarks.ranks", "measure"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    tokens, share = json.loads(done.stdout.splitlines()[-1])
    return tokens, share


def main() -> None:
    Optimus.dataset.open(genera.configure("optimus:small", data="world:captions-small").data)  # builds the cache
    pairs = [(run(1), run(2)) for _ in range(ROUNDS)]
    for (one, alone), (two, beside) in pairs:
        print(f"1 rank {one:,.0f} tokens/s ({alone:.0%} of a core), 2 ranks {two:,.0f} ({beside:.0%} of a core each)")
    print(f"2 ranks / 1 rank: {statistics.median(two[0] / one[0] for one, two in pairs):.2f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    else:
        main()
