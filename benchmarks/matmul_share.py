"""The share of the machine's own matmul peak that a training step reaches, fp32 and bf16.

    python -m benchmarks.matmul_share

Peak: the best of square matrix products measured here, in the same run. Step: FLOPs counted by torch, forward and
backward, over the time of a whole training step with optimiser.
"""

import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

import genera
from genera.console import console
from genera.engine.ranks import Ranks, pick_device
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.methods.optimus.method import Optimus

SIZES, ROUNDS = (512, 1024, 2048), 7
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def seconds(work, device: torch.device) -> float:
    """Median time of `work()` after a warm-up."""
    times = []
    for _ in range(ROUNDS + 2):
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def peak(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of the best square matrix product."""
    best = 0.0
    for size in SIZES:
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        best = max(best, 2 * size**3 / seconds(lambda a=a, b=b: a @ b, device))
    return best


def step_rate(spec: str, precision: str, device: torch.device) -> tuple[float, float]:
    """(FLOP/s, milliseconds) of one training step on a real batch."""
    config = genera.configure(spec, data="world:captions", precision=precision)
    data = Optimus.dataset.open(config.data)
    method = Optimus(config.model, data.assets).to(device)
    ranks = Ranks(0, 1, device)
    step = Step(config.train, ranks, enrol(method.players(), config.train, ranks))
    batch = data.stream("train", config.train.batch_size, seed=0).batch(0).to(device)

    def once() -> None:
        step.begin(0, 0.9)
        method.update(batch, step)

    with FlopCounterMode(display=False) as counter:
        once()
    took = seconds(once, device)
    return counter.get_total_flops() / took, took * 1000


def main() -> None:
    console.quiet = True
    device = pick_device("auto")
    torch.set_num_threads(1)
    print(f"{device}, {torch.get_num_threads()} thread")
    for precision, dtype in DTYPES.items():
        top = peak(dtype, device)
        print(f"{precision}: matmul peak {top / 1e9:.1f} GFLOP/s")
        for spec in ("optimus:nano", "optimus:small"):
            rate, took = step_rate(spec, precision, device)
            print(f"  {spec:<14} {took:8.1f} ms a step, {rate / 1e9:7.1f} GFLOP/s, {rate / top:.1%} of peak")


if __name__ == "__main__":
    main()
