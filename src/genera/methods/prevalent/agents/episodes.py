"""Episodes of all three tasks as tensors: instruction tokens, start poses, goals, reference paths."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genera.data.batch import Batch, Stream
from genera.data.streams import Draw, Shuffled
from genera.navigation.dataset import NavigationAssets
from genera.navigation.episodes import EpisodeTable
from genera.navigation.helper import Helper
from genera.navigation.simulator import view_of
from genera.navigation.town import Town

SKETCHED_TOKENS = 80
"""Length of an R2R instruction that `--dry-run` assumes."""


@dataclass(frozen=True)
class Assistant:
    """HANNA's assistant: the helper that answers requests, and its R routes as the agent reads them."""

    helper: Helper
    tokens: Tensor
    """(R, L) int64"""
    states: Tensor | None = None
    """(R, L, D) outputs of the frozen text layers, computed once; None: each route is encoded whenever it is given"""


@dataclass
class EpisodeBatch(Batch):
    """B episodes."""

    tokens: Tensor
    """(B, L) int64, [CLS] … [SEP], then 0"""
    node: Tensor
    """(B,) start node"""
    view: Tensor
    """(B,) start view, 0 .. 35"""
    goals: Tensor
    """(B, G) goal nodes, any of which counts; -1 after the last"""
    regions: Tensor
    """(B, P) nodes of NDH's goal region: goal progress is measured to the nearest; -1 after the last"""
    paths: Tensor
    """(B, R) nodes of the reference, -1 after the last"""
    synthetic: Tensor
    """(B,) bool: a synthetic path, whose instruction the speaker writes during training"""
    town: Town
    max_tokens: int
    """tokens of an instruction at most"""
    feature_factors: Tensor | None = None
    """(B, F) factors of the image features, in all views of an episode alike; None leaves them as they are"""
    assistant: Assistant | None = None
    """HANNA's assistant; None for other tasks"""

    def to(self, device: torch.device | str) -> Self:
        return replace(super().to(device), town=self.town.to(device))


@dataclass(frozen=True)
class Episodes:
    """The E episodes of a split, with the fields of `EpisodeBatch`."""

    tokens: Tensor
    """(E, L) int32"""
    node: Tensor
    view: Tensor
    goals: Tensor
    regions: Tensor
    paths: Tensor
    town: Town
    max_tokens: int
    synthetic: bool = False
    hide_views: bool = False
    """whether image features are zero, so that only the angles of the views are left"""
    assistant: Assistant | None = None

    @classmethod
    def of(
        cls, table: EpisodeTable, tokens: NDArray[np.int64], town: Town, max_tokens: int, *, hide_views: bool = False
    ) -> Self:
        """tokens: (E, L), the text of each episode."""
        return cls(
            tokens=torch.from_numpy(tokens.astype(np.int32)),
            node=torch.from_numpy(table.start),
            view=torch.from_numpy(view_of(table.heading)),
            goals=torch.from_numpy(table.goals),
            regions=torch.from_numpy(table.end_panos),
            paths=torch.from_numpy(table.reference),
            town=town,
            max_tokens=max_tokens,
            hide_views=hide_views,
        )

    @classmethod
    def of_paths(cls, nodes: NDArray[np.int64], headings: NDArray[np.float64], town: Town, max_tokens: int) -> Self:
        """Synthetic episodes along paths (E, T; -1 after the last); the speaker writes the instructions."""
        ends = (nodes >= 0).sum(axis=1, keepdims=True) - 1
        return cls(
            tokens=torch.zeros(len(nodes), 1, dtype=torch.int32),
            node=torch.from_numpy(nodes[:, 0]),
            view=torch.from_numpy(view_of(headings)),
            goals=torch.from_numpy(np.take_along_axis(nodes, ends, axis=1)),
            regions=torch.full((len(nodes), 1), -1),
            paths=torch.from_numpy(nodes),
            town=town,
            max_tokens=max_tokens,
            synthetic=True,
        )

    def __len__(self) -> int:
        return len(self.node)

    def batch(self, rows: Tensor) -> EpisodeBatch:
        """rows: (B,) int64."""
        tokens = self.tokens[rows].long()
        width = max(1, int((tokens != 0).sum(dim=1).max()))
        return EpisodeBatch(
            ids=rows,
            tokens=tokens[:, :width],
            node=self.node[rows],
            view=self.view[rows],
            goals=self.goals[rows],
            regions=self.regions[rows],
            paths=self.paths[rows],
            synthetic=torch.full((len(rows),), self.synthetic),
            town=self.town,
            max_tokens=self.max_tokens,
            feature_factors=torch.zeros(len(rows), self.town.view_size) if self.hide_views else None,
            assistant=self.assistant,
        )


class EpisodeData:
    """The splits of a run's data as episodes; every second training episode may be synthetic."""

    def __init__(self, splits: dict[str, Episodes], synthetic: Episodes | None = None) -> None:
        self.splits, self.synthetic = splits, synthetic

    def size(self, split: str) -> int:
        return len(self.splits[split]) if split in self.splits else 0

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> Stream:
        place = {"seed": seed, "rank": rank, "ranks": ranks}
        synthetic = self.synthetic if split == "train" else None
        real_rows = batch_size if synthetic is None else batch_size // 2
        real = _shuffled(self.splits[split], "episodes", real_rows, **place)
        if synthetic is None:
            return real
        return AlternatingStream(real, _shuffled(synthetic, "synthetic paths", real_rows, **place))


def _shuffled(episodes: Episodes, kind: str, batch: int, seed: int, rank: int, ranks: int) -> Shuffled:
    def collate(draw: Draw) -> EpisodeBatch:
        return episodes.batch(torch.from_numpy(draw.mine))

    return Shuffled(len(episodes), batch=batch, seed=seed, rank=rank, ranks=ranks, collate=collate, kind=kind)


class AlternatingStream:
    """Real and synthetic episodes in turn: however ranks and micro-batches split a batch, half of each is synthetic."""

    def __init__(self, real: Stream, synthetic: Stream) -> None:
        self.real, self.synthetic, self.steps_per_epoch = real, synthetic, real.steps_per_epoch

    def batch(self, step: int) -> EpisodeBatch:
        real, synthetic = self.real.batch(step), self.synthetic.batch(step)
        assert isinstance(real, EpisodeBatch)
        assert isinstance(synthetic, EpisodeBatch)
        return alternate(real, synthetic)


def alternate(one: EpisodeBatch, other: EpisodeBatch) -> EpisodeBatch:
    """The rows of two batches of the same size in turn."""

    def interleaved(name: str, padding: int) -> Tensor:
        a, b = getattr(one, name), getattr(other, name)
        if a.dim() == 2:
            width = max(a.shape[1], b.shape[1])
            a, b = (F.pad(x, (0, width - x.shape[1]), value=padding) for x in (a, b))
        return torch.stack([a, b], dim=1).flatten(0, 1)

    paddings = {"ids": 0, "tokens": 0, "node": 0, "view": 0, "goals": -1, "regions": -1, "paths": -1, "synthetic": 0}
    rows: dict[str, Any] = {name: interleaved(name, padding) for name, padding in paddings.items()}
    return replace(one, **rows)


def sketch(assets: NavigationAssets, rows: int) -> EpisodeBatch:
    """A batch with the right shapes, for `--dry-run`."""
    zeros = torch.zeros(rows, dtype=torch.int64)
    return EpisodeBatch(
        ids=zeros,
        tokens=zeros[:, None].expand(rows, SKETCHED_TOKENS),
        node=zeros,
        view=zeros,
        goals=zeros[:, None],
        regions=zeros[:, None],
        paths=zeros[:, None],
        synthetic=zeros.bool(),
        town=Town.sketch(assets.view_size, assets.angle_size, assets.slots),
        max_tokens=SKETCHED_TOKENS,
    )
