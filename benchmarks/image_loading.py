"""Batches of images: the memory-mapped cache against reading the PNGs with Pillow each time.

    python -m benchmarks.image_loading

Float tensors in [-1, 1] of the same folder; ours are shuffled, with ids; files and cache are warm. CPU time in turn,
round by round, on one thread; the ratio is the median. The first reading, which fills the cache, is beside it.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genera.console import console
from genera.data.images.config import ImageConfig
from genera.data.images.dataset import ImageData

COUNT, BATCH, ROUNDS = 2000, 64, 7


def folder_of_pngs(folder: Path, side: int) -> None:
    """Smooth pictures with some noise: they compress about as photographs do."""
    random = np.random.default_rng(0)
    for i in range(COUNT):
        colours = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((side, side))
        noise = random.integers(-6, 7, (side, side, 3))
        Image.fromarray((np.asarray(colours) + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{i:05}.png")


def read(files: list[Path]) -> Tensor:
    """As a loader without a cache does it."""
    images = [torch.from_numpy(np.array(Image.open(file).convert("RGB"))) for file in files]
    return torch.stack(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def seconds(action: Callable[[], object]) -> float:
    before = time.process_time()
    action()
    return time.process_time() - before


def main() -> None:
    console.quiet = True
    torch.set_num_threads(1)
    print(f"batches of {BATCH}, one thread, {ROUNDS} rounds")
    print(f"{'images':<12}{'Pillow /s':>12}{'genera /s':>12}{'ratio':>8}{'first reading s':>18}")
    for side in (32, 64, 128):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, "images")
            place.mkdir()
            folder_of_pngs(place, side)
            os.environ["GENERA_CACHE"] = str(Path(folder, "cache"))
            before = time.process_time()
            data = ImageData.open(ImageConfig(data=f"images:{place}", image_size=side))
            built = time.process_time() - before
            stream = data.stream("train", BATCH, seed=0)
            files = sorted(place.iterdir())[: BATCH * stream.steps_per_epoch]
            pairs = [files[i * BATCH : (i + 1) * BATCH] for i in range(stream.steps_per_epoch)]
            times = []
            for _ in range(ROUNDS):
                peer = seconds(lambda pairs=pairs: [read(batch) for batch in pairs])
                own = seconds(lambda s=stream: [s.batch(step) for step in range(s.steps_per_epoch)])
                times.append((peer, own))
        rates = [len(files) / statistics.median(column) for column in zip(*times, strict=True)]
        ratio = statistics.median(a / b for a, b in times)
        print(f"{f'{side} x {side}':<12}{rates[0]:>12,.0f}{rates[1]:>12,.0f}{ratio:>8.0f}{built:>18.2f}", flush=True)


if __name__ == "__main__":
    main()
