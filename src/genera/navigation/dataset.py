"""Navigation data of a run: graphs, episodes, what is seen at each viewpoint, and what reads the instructions."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from genera.console import say
from genera.data.batch import Batch
from genera.data.streams import Shuffled
from genera.data.vocabularies.tokenisers import Tokeniser, sketch
from genera.data.vocabularies.words import SPECIAL, WordVocabulary
from genera.errors import GeneraError
from genera.files import read_json, write_json
from genera.navigation.config import Layout, NavigationConfig
from genera.navigation.episodes import EpisodeTable
from genera.navigation.features import Views, open_features
from genera.navigation.graphs import Graphs
from genera.navigation.scenery import SCENERY, imagined_scenery, read_scenery, synthetic_views
from genera.navigation.sources import NavigationSource, open_navigation
from genera.navigation.town import Town

VALID = "val_seen"
"""The split that training validates on: `val_unseen` and `test` stay for what is reported."""
MOST_SLOTS = 14
"""Panoramic actions of the published graphs: STOP, and up to 13 neighbours."""


@dataclass(frozen=True)
class InstructedPaths:
    """P walks on a graph, each with one instruction: what the speaker and the pre-training learn from."""

    nodes: NDArray[np.int64]
    """(P, T), -1 after the last"""
    headings: NDArray[np.float64]
    """(P,) radians, at the start"""
    texts: list[str]

    @classmethod
    def of(cls, table: EpisodeTable) -> Self:
        """The references of a split's episodes."""
        return cls(table.reference, table.heading, [episode.instruction for episode in table.episodes])

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class NavigationAssets:
    """What a navigation model needs of its data to be built, and to read instructions."""

    tokeniser: Tokeniser
    """WordPiece, [CLS] … [SEP], as the encoder reads"""
    words: WordVocabulary
    """as the speaker writes"""
    view_size: int
    angle_size: int
    layout: Layout
    slots: int
    """panoramic actions: STOP and the neighbours of the node that has most"""

    @property
    def feature_size(self) -> int:
        """Of a view with its angle."""
        return self.view_size + self.angle_size

    def save(self, folder: Path) -> None:
        """Write `folder`/tokenizer.json, words.txt and navigation.json."""
        self.tokeniser.save(folder)
        self.words.save(folder)
        numbers = {name: getattr(self, name) for name in ("view_size", "angle_size", "layout", "slots")}
        write_json(folder / "navigation.json", numbers)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises GeneraError when `folder` is not what `save` wrote."""
        numbers = read_json(folder / "navigation.json")
        return cls(Tokeniser.load(folder, "wordpiece"), WordVocabulary.load(folder), **numbers)


@dataclass(frozen=True)
class NavigationData:
    """Episodes of all splits on their graphs, and the features of the views."""

    kind: ClassVar[str] = "navigation"
    assets_type: ClassVar[type[NavigationAssets]] = NavigationAssets

    config: NavigationConfig
    source: NavigationSource
    views: Views
    assets: NavigationAssets

    @classmethod
    def open(cls, config: NavigationConfig, assets: NavigationAssets | None = None, *, whole: bool = False) -> Self:
        """Read the data of `config`.

        assets: those of a run that is there already; None trains tokenisers on the training instructions.
        whole: changes nothing, since every file of episodes is a split and none is held out.
        Raises GeneraError when the data cannot be read, or its views do not fit.
        """
        source = open_navigation(config.data, config.graphs, config.strict)
        graphs = source.graphs
        views = _views(config, source)
        if views.size != config.view_size:
            raise GeneraError(
                f"{config.features} has views of {views.size} features, not {config.view_size}; "
                f"give --view-size {views.size}."
            )
        slots = 1 + int(graphs.degrees.max())
        if assets is None:
            texts = [episode.instruction for episode in source.table("train", config.supervision).episodes]
            tokeniser = (
                Tokeniser.train("wordpiece", lambda: texts, config.vocabulary)
                if config.tokeniser is None
                else Tokeniser.load(config.tokeniser, "wordpiece")
            )
            words = WordVocabulary.build(texts)
            assets = NavigationAssets(
                tokeniser, words, config.view_size, config.angle_size, config.layout, max(slots, MOST_SLOTS)
            )
        wanted = {"view_size": config.view_size, "angle_size": config.angle_size, "layout": config.layout}
        if differing := [name for name, value in wanted.items() if getattr(assets, name) != value]:
            name = differing[0]
            raise GeneraError(
                f"the model was trained with --{name.replace('_', '-')} {getattr(assets, name)}, "
                f"and {wanted[name]} is asked for; give the former."
            )
        if slots > assets.slots:
            raise GeneraError(
                f"a viewpoint of {config.data} has {slots - 1} neighbours; the model knows {assets.slots - 1}."
            )
        data = cls(config, source, views, assets)
        counts = ", ".join(f"{data.size(split):,} {split}" for split in source.files)
        say(f"{config.data}: {len(graphs.scans)} scans of {len(graphs):,} viewpoints; episodes: {counts}.")
        return data

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have files: train, val_seen, val_unseen, …"""
        return tuple(self.source.files)

    @property
    def graphs(self) -> Graphs:
        return self.source.graphs

    @cached_property
    def town(self) -> Town:
        """The panoramic world with these views, on the CPU."""
        return Town.build(self.graphs, self.views, self.assets.angle_size, self.assets.layout)

    @cached_property
    def _tables(self) -> dict[str, EpisodeTable]:
        return {}

    def table(self, split: str) -> EpisodeTable:
        """The episodes of a split: train, valid (which is val_seen), or any name that the source has. Raises
        GeneraError for another."""
        name = VALID if split == "valid" else split
        if name not in self._tables:
            table = self.source.table(name, self.config.supervision)
            if name == "train" and self.config.limit is not None:
                table = replace(table, episodes=table.episodes[: self.config.limit])
            self._tables[name] = table
        return self._tables[name]

    def paths(self, split: str) -> InstructedPaths:
        return InstructedPaths.of(self.table(split))

    def size(self, split: str) -> int:
        """Episodes; 0 for a validation or test split that the source does not have."""
        there = VALID if split == "valid" else split
        return len(self.table(split)) if there in self.source.files or split == "train" else 0

    def items(self, split: str, count: int) -> list[Any]:
        """The first `count` episodes of a split."""
        return list(self.table(split).episodes[:count])

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> Shuffled:
        """Rows of `table(split)`, shuffled; `batch_size` is the global one."""
        return Shuffled(self.size(split), batch=batch_size, seed=seed, rank=rank, ranks=ranks, kind="episodes")

    @classmethod
    def sketch(cls, config: NavigationConfig, batch_size: int) -> tuple[NavigationAssets, Batch]:
        """Assets of the right sizes, and rows, without reading any data."""
        assets = NavigationAssets(
            sketch("wordpiece", config.tokeniser, config.vocabulary),
            WordVocabulary([*SPECIAL, *map(str, range(config.vocabulary))]),
            config.view_size,
            config.angle_size,
            config.layout,
            MOST_SLOTS,
        )
        return assets, Batch(ids=torch.arange(batch_size))


def _views(config: NavigationConfig, source: NavigationSource) -> Views:
    if config.features is not None:
        return open_features(config.features, source.graphs, config.allow_missing)
    known = source.folder / SCENERY
    scenery = read_scenery(known, source.graphs) if known.exists() else imagined_scenery(source.graphs)
    return synthetic_views(source.graphs, scenery, config.view_size)
