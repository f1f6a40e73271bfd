"""Data of the small methods: points of a ring, in batches that ranks divide."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genera.blocks.schedules import schedule
from genera.data.batch import Batch
from genera.engine.config import MethodConfig, RunConfig
from genera.engine.registry import preset

LINEAR = schedule("linear")


@dataclass
class Points(Batch):
    x: Tensor


@dataclass(frozen=True, kw_only=True)
class RingConfig:
    items: int = 256
    broken_item: int | None = None
    """This point is NaN."""

    def check(self) -> list[str]:
        return []


class RingStream:
    def __init__(self, points: Tensor, batch_size: int, seed: int, rank: int, ranks: int) -> None:
        self.points, self.size, self.seed, self.rank, self.ranks = points, batch_size, seed, rank, ranks
        self.steps_per_epoch = len(points) // batch_size

    def batch(self, step: int) -> Points:
        epoch, index = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.points))
        rows = order[index * self.size : (index + 1) * self.size]
        own = len(rows) // self.ranks
        rows = torch.from_numpy(rows[self.rank * own : (self.rank + 1) * own])
        return Points(ids=rows, x=self.points[rows])


class RingAssets:
    def __init__(self, radius: float) -> None:
        self.radius = radius

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"radius": torch.tensor(self.radius)}, folder / "ring.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "RingAssets":
        return cls(load_file(folder / "ring.safetensors")["radius"].item())


class Ring:
    assets_type = RingAssets

    def __init__(self, config: RingConfig, assets: RingAssets) -> None:
        self.assets = assets
        angle = torch.rand(config.items, generator=torch.Generator().manual_seed(0)) * 2 * torch.pi
        points = assets.radius * torch.stack([angle.cos(), angle.sin()], 1)
        if config.broken_item is not None:
            points[config.broken_item] = torch.nan
        self.splits = {"train": points, "valid": points[:64]}

    @classmethod
    def open(cls, config: RingConfig, assets: RingAssets | None = None) -> "Ring":
        return cls(config, assets or RingAssets(2.0))

    def size(self, split: str) -> int:
        return len(self.splits[split])

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> RingStream:
        return RingStream(self.splits[split], batch_size, seed, rank, ranks)

    @classmethod
    def sketch(cls, config: RingConfig, batch_size: int) -> tuple[RingAssets, Points]:
        return RingAssets(2.0), Points(ids=torch.arange(batch_size), x=torch.ones(batch_size, 2))


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs))


@dataclass(frozen=True, kw_only=True)
class SmallConfig(MethodConfig):
    lr: float = 1e-2


def configured(name: str = "small-gan", **settings: Any) -> RunConfig:
    """The tiny run of one of these methods; settings: of its training."""
    config = preset(f"{name}:tiny")[1]
    return replace(config, train=replace(config.train, **settings))
