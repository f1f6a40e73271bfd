"""What the encoder is pre-trained and measured on: the triplets of each split, with synthesised ones in training."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genera.methods.prevalent.encoder.config import PretrainConfig
from genera.methods.prevalent.encoder.triplets import Triplets, TripletStream
from genera.navigation.dataset import InstructedPaths, NavigationData


@dataclass(frozen=True)
class TripletData:
    """Triplets of the training split, synthesised ones among them, and those of held-out splits."""

    data: NavigationData
    config: PretrainConfig
    train: Triplets
    _held_out: dict[str, Triplets] = field(default_factory=dict)

    @classmethod
    def of(cls, data: NavigationData, config: PretrainConfig, synthetic: InstructedPaths | None) -> "TripletData":
        """synthetic: of these the share `config.synthetic` joins the annotated paths. The same ones each time, and
        those of a smaller share are among those of a larger."""
        paths = data.paths("train")
        if synthetic is not None:
            order = np.random.default_rng(0).permutation(len(synthetic))
            paths = joined(paths, synthetic, np.sort(order[: round(config.synthetic * len(synthetic))]))
        return cls(data, config, _triplets(data, paths))

    def size(self, split: str) -> int:
        """Triplets; 0 for a held-out split that the source does not have."""
        return len(self.triplets(split)) if split == "train" or self.data.size(split) else 0

    def triplets(self, split: str) -> Triplets:
        if split == "train":
            return self.train
        if split not in self._held_out:
            self._held_out[split] = _triplets(self.data, self.data.paths(split))
        return self._held_out[split]

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> TripletStream:
        """batch_size: rows of the global batch; of `steps_of_one` triplets each in training, of one otherwise."""
        return TripletStream(
            self.triplets(split),
            self.data.views,
            self.data.assets,
            batch=batch_size,
            steps_of_one=self.config.steps_of_one if split == "train" else 1,
            masked=self.config.masked if self.config.mlm_weight else 0.0,
            seed=seed,
            rank=rank,
            ranks=ranks,
        )


def joined(one: InstructedPaths, other: InstructedPaths, rows: NDArray[np.int64]) -> InstructedPaths:
    """The paths of `one` and then these rows of `other`."""
    width = max(one.nodes.shape[1], other.nodes.shape[1])
    nodes = [np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=-1) for p in (one.nodes, other.nodes[rows])]
    return InstructedPaths(
        np.concatenate(nodes),
        np.concatenate([one.headings, other.headings[rows]]),
        [*one.texts, *(other.texts[row] for row in rows)],
    )


def _triplets(data: NavigationData, paths: InstructedPaths) -> Triplets:
    return Triplets.of(paths, data.graphs, data.assets.tokeniser, data.config.max_tokens)
