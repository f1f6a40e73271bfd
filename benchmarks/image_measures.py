"""FID, KID, precision, recall, density and coverage against torchmetrics and prdc on equal features: 512 of each image,
and 2,048 as the FID Inception gives.

    python -m benchmarks.image_measures

The figures agree to 1e-6 (KID: with double features; of one subset that is everything, since draws differ). CPU time
in turn, round by round, on one thread; the ratio is the median. Memory is what a process of its own needs beyond the
features. Target: 2.
"""

import contextlib
import io
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from prdc import compute_prdc
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from genera.measures.frechet import Moments, frechet_distance
from genera.measures.images import kid_subsets, precision_recall_density_coverage

ROUNDS, BATCH, K = 3, 500, 5
SIZES = [(5000, 512), (5000, 2048)]


class AsTheyAre(nn.Module):
    """An extractor of features that are given in the place of images."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.num_features = size

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid_theirs(fake: Tensor, real: Tensor) -> dict[str, float]:
    metric = FrechetInceptionDistance(AsTheyAre(fake.shape[1])).set_dtype(torch.float64)
    for features, of_real in ((fake, False), (real, True)):
        for part in features.split(BATCH):
            metric.update(part, real=of_real)
    return {"fid": metric.compute().item()}


def fid_ours(fake: Tensor, real: Tensor) -> dict[str, float]:
    moments = Moments(), Moments()
    for features, own in zip((fake, real), moments, strict=True):
        for part in features.split(BATCH):
            own.add(part)
    return {"fid": frechet_distance(*moments)}


def kid_theirs(fake: Tensor, real: Tensor, subsets: int = 100, size: int = 1000) -> dict[str, float]:
    metric = KernelInceptionDistance(AsTheyAre(fake.shape[1]), subsets=subsets, subset_size=size)
    metric.update(fake, real=False)
    metric.update(real, real=True)
    return {"kid": metric.compute()[0].item()}


def kid_ours(fake: Tensor, real: Tensor, subsets: int = 100, size: int = 1000) -> dict[str, float]:
    return {"kid": kid_subsets(fake, real, size, subsets).value}


def prdc_theirs(fake: Tensor, real: Tensor) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(real.numpy(), fake.numpy(), K)
    return {name: float(value) for name, value in found.items()}


def prdc_ours(fake: Tensor, real: Tensor) -> dict[str, float]:
    return {name: e.value for name, e in precision_recall_density_coverage(fake, real, K, K).items()}


SIDES = {"FID": (fid_theirs, fid_ours), "KID, 100 x 1000": (kid_theirs, kid_ours), "PRDC": (prdc_theirs, prdc_ours)}


def features(count: int, size: int) -> tuple[Tensor, Tensor]:
    """(fake, real), correlated as features are"""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(size, size, generator=generator) / size**0.5
    fake, real = torch.randn(2, count, size, generator=generator) @ mix
    return 0.95 * fake + 0.05, real


def seconds(side: Callable[..., object], *arguments: Tensor) -> float:
    before = time.process_time()
    side(*arguments)
    return time.process_time() - before


def _peak(side: Callable[..., object], size: tuple[int, int], answer: "multiprocessing.Queue[float]") -> None:
    torch.set_num_threads(1)
    given = features(*size)
    before = resident()
    side(*given)
    answer.put(resident() - before)


def resident() -> float:
    """MiB that this process held at its most (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def peak(side: Callable[..., object], size: tuple[int, int]) -> float:
    """MiB that `side` adds to the peak of a fresh process."""
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=_peak, args=(side, size, answer))
    process.start()
    found = answer.get()
    process.join()
    return found


def check(fake: Tensor, real: Tensor) -> None:
    few = fake[:1000].double(), real[:1000].double()
    pairs = [(fid_theirs(fake, real), fid_ours(fake, real)), (kid_theirs(*few, 1), kid_ours(*few, 1))]
    pairs.append((prdc_theirs(*few), prdc_ours(*few)))
    for theirs, ours in pairs:
        for name, value in theirs.items():
            assert abs(ours[name] - value) <= 1e-6 * max(1, abs(value)), f"{name}: {ours[name]} and {value}"


def main() -> None:
    warnings.filterwarnings("ignore", message="Metric .* will save all")
    torch.set_num_threads(1)
    print(f"one thread, {ROUNDS} rounds")
    print(f"{'features':<16}{'figure':<18}{'peer s':>9}{'genera s':>10}{'ratio':>7}{'peer MiB':>10}{'genera MiB':>12}")
    for size in SIZES:
        fake, real = features(*size)
        check(fake, real)
        for name, sides in SIDES.items():
            times = [[seconds(side, fake, real) for side in sides] for _ in range(ROUNDS)]
            peer, own = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(a / b for a, b in times)
            held = [peak(side, size) for side in sides]
            shape = f"{size[0]:,} x {size[1]}"
            print(
                f"{shape:<16}{name:<18}{peer:>9.2f}{own:>10.2f}{ratio:>7.1f}{held[0]:>10.0f}{held[1]:>12.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
