"""Peak memory of a training step of a 6+6-layer Optimus (384 wide): plain, layers recomputed, bf16, and over two ranks.

    python -m benchmarks.memory

Each case runs in processes of its own: the largest resident size that the system saw, less that before the model was
built, beside what `--dry-run` says. Over two ranks the batch is shared, and the larger rank counts.
"""

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

import genera
from genera.blocks.size import DecoderShape, EncoderShape, from_scratch
from genera.console import console
from genera.engine.config import RunConfig
from genera.engine.dry_run import dry_run
from genera.engine.mesh import mesh_of
from genera.engine.ranks import join_ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.methods.optimus.method import Optimus

SHAPE = {"layers": 6, "hidden": 384, "heads": 6, "positions": 512}
CASES: list[tuple[str, int, dict[str, object]]] = [
    ("plain", 1, {}),
    ("--checkpointing", 1, {"checkpointing": True}),
    ("--precision bf16", 1, {"precision": "bf16"}),
    ("--checkpointing --precision bf16", 1, {"checkpointing": True, "precision": "bf16"}),
    ("2 ranks, --checkpointing", 2, {"checkpointing": True}),
    ("2 ranks, --checkpointing --sharding fsdp", 2, {"checkpointing": True, "sharding": "fsdp"}),
]


def configured(options: dict[str, object]) -> RunConfig:
    config = genera.configure(
        "optimus:small",
        encoder=from_scratch(EncoderShape, **SHAPE),
        decoder=from_scratch(DecoderShape, **SHAPE),
        vocabulary=10_000,
        max_tokens=128,
        batch_size=16,
        **options,
    )
    return replace(config, train=replace(config.train, device="cpu"))


def resident() -> int:
    """Bytes at the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(config: RunConfig) -> None:
    """Two steps on the batch that a dry run sketches; prints the growth of this process."""
    torch.set_num_threads(1)
    with join_ranks("cpu") as ranks:
        ranks = ranks.arranged(mesh_of(config.train, ranks.world))
        assets, batch = Optimus.dataset.sketch(config.data, config.train.batch_size // ranks.world)
        before = resident()
        method = Optimus(config.model, assets)
        step = Step(config.train, ranks, enrol(method.players(), config.train, ranks))
        for index in range(2):
            step.begin(index, 0.9)
            method.update(batch, step)
        grown = ranks.agree(float(resident() - before))
        if ranks.main:
            print(json.dumps(grown))


def main() -> None:
    console.quiet = True
    print(f"{'case':<44}{'measured MB':>12}{'dry run MB':>12}")
    for index, (name, world, options) in enumerate(CASES):
        config = configured(options)
        launcher = [sys.executable]
        if world > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
        done = subprocess.run(
            [*launcher, "-m", "benchmarks.memory", str(index)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        measured = json.loads(done.stdout.splitlines()[-1])
        plan = dry_run(config, ranks=world)
        said = plan["meshes"][0]["memory_bytes"]["total"]
        print(f"{name:<44}{measured / 2**20:>12,.0f}{said / 2**20:>12,.0f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(configured(CASES[int(sys.argv[1])][2]))
    else:
        main()
