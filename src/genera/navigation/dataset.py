"""Navigation data of a run: graphs, episodes, view features and tokenisers."""

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
from genera.files import write_json
from genera.navigation.config import Layout, NavigationConfig
from genera.navigation.episodes import TAGS, EpisodeTable
from genera.navigation.features import Views, open_features
from genera.navigation.graphs import Graphs
from genera.navigation.scenery import SCENERY, imagined_scenery, read_scenery, synthetic_views
from genera.navigation.sources import NavigationSource, open_navigation
from genera.navigation.town import Town
from genera.typed import read_typed

VALID = "val_seen"
"""The validation split during training; `val_unseen` and `test` are kept for evaluation."""
MOST_SLOTS = 14
"""Panoramic actions in the published graphs: STOP and up to 13 neighbours."""


@dataclass(frozen=True)
class InstructedPaths:
    """P paths on a graph with one instruction each: training data of speakers and of pre-training."""

    nodes: NDArray[np.int64]
    """(P, T), -1 after the last"""
    headings: NDArray[np.float64]
    """(P,) radians, at the start"""
    texts: list[str]

    @classmethod
    def of(cls, table: EpisodeTable) -> Self:
        """The reference paths of the episodes of a split."""
        return cls(table.reference, table.heading, [episode.instruction for episode in table.episodes])

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class _Numbers:
    """navigation.json of the assets."""

    view_size: int
    angle_size: int
    layout: Layout
    slots: int


_LARGEST = 1 << 20  # features of a view, and actions


@dataclass(frozen=True)
class NavigationAssets:
    """What a navigation model needs of its data to be built and to read instructions."""

    tokeniser: Tokeniser
    """WordPiece, [CLS] … [SEP], for the encoder"""
    words: WordVocabulary
    """for the speaker"""
    view_size: int
    angle_size: int
    layout: Layout
    slots: int
    """maximum number of panoramic actions: STOP and the neighbours of a node"""

    @property
    def feature_size(self) -> int:
        """Size of a view with its angle features."""
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
        path = folder / "navigation.json"
        numbers = read_typed(path, _Numbers)
        sizes = {name: numbers[name] for name in ("view_size", "angle_size", "slots")}
        if not all(1 <= size <= _LARGEST for size in sizes.values()):
            raise GeneraError(f"{path} is damaged (sizes {sizes}); restore it.")
        words = WordVocabulary.load(folder)
        return cls(Tokeniser.load(folder, "wordpiece"), words, layout=numbers["layout"], **sizes)


@dataclass(frozen=True)
class NavigationData:
    """Episodes of all splits, their graphs, and the view features."""

    kind: ClassVar[str] = "navigation"
    assets_type: ClassVar[type[NavigationAssets]] = NavigationAssets

    config: NavigationConfig
    source: NavigationSource
    views: Views
    assets: NavigationAssets

    @classmethod
    def open(cls, config: NavigationConfig, assets: NavigationAssets | None = None, *, whole: bool = False) -> Self:
        """Read the data of `config`.

        assets: those of an existing run; None trains tokenisers on the training instructions.
        whole: no effect, since every episode file is a split and nothing is held out.
        Raises GeneraError when the data cannot be read or does not match the options or the assets.
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
            tokeniser = _tokeniser(config, source.task, texts)
            words = WordVocabulary.build(texts)
            assets = NavigationAssets(
                tokeniser, words, config.view_size, config.angle_size, config.layout, max(slots, MOST_SLOTS)
            )
        wanted = {"view_size": config.view_size, "angle_size": config.angle_size, "layout": config.layout}
        if differing := [name for name, value in wanted.items() if getattr(assets, name) != value]:
            name = differing[0]
            raise GeneraError(
                f"the model was trained with --{name.replace('_', '-')} {getattr(assets, name)}, "
                f"not {wanted[name]}; use the same value."
            )
        if slots > assets.slots:
            raise GeneraError(
                f"a viewpoint of {config.data} has {slots - 1} neighbours; the model supports {assets.slots - 1}."
            )
        data = cls(config, source, views, assets)
        counts = ", ".join(f"{data.size(split):,} {split}" for split in source.files)
        say(f"{config.data}: {len(graphs.scans)} scans of {len(graphs):,} viewpoints; episodes: {counts}.")
        return data

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits with files: train, val_seen, val_unseen, …"""
        return tuple(self.source.files)

    @property
    def graphs(self) -> Graphs:
        return self.source.graphs

    @cached_property
    def town(self) -> Town:
        """The panoramic environment with these views, on the CPU."""
        return Town.build(self.graphs, self.views, self.assets.angle_size, self.assets.layout)

    @cached_property
    def _tables(self) -> dict[str, EpisodeTable]:
        return {}

    def table(self, split: str) -> EpisodeTable:
        """The episodes of a split: train, valid (an alias of val_seen), or any split of the source. Raises GeneraError
        for an unknown split."""
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
        """Number of episodes; 0 for a validation or test split that the source does not have."""
        there = VALID if split == "valid" else split
        return len(self.table(split)) if there in self.source.files or split == "train" else 0

    def items(self, split: str, count: int) -> list[Any]:
        """The first `count` episodes of a split."""
        return list(self.table(split).episodes[:count])

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> Shuffled:
        """Shuffled rows of `table(split)`; `batch_size` is the global batch size."""
        return Shuffled(self.size(split), batch=batch_size, seed=seed, rank=rank, ranks=ranks, kind="episodes")

    @classmethod
    def sketch(cls, config: NavigationConfig, batch_size: int) -> tuple[NavigationAssets, Batch]:
        """Assets of the right sizes and a batch of rows, without reading data."""
        if config.features is None and not _world(config.data):
            say(INVENTED.format(data=config.data))
        assets = NavigationAssets(
            sketch("wordpiece", config.tokeniser, config.vocabulary),
            WordVocabulary([*SPECIAL, *map(str, range(config.vocabulary))]),
            config.view_size,
            config.angle_size,
            config.layout,
            MOST_SLOTS,
        )
        return assets, Batch(ids=torch.arange(batch_size))


def _tokeniser(config: NavigationConfig, task: str, instructions: list[str]) -> Tokeniser:
    """The tokeniser of `config`, or a new one in which the tags of NDH are whole tokens. A given one reads tags as
    text, as published."""
    if config.tokeniser is not None:
        return Tokeniser.load(config.tokeniser, "wordpiece")
    tags = tuple(TAGS.values()) if task == "ndh" else ()
    return Tokeniser.train("wordpiece", lambda: instructions, config.vocabulary, lowercase=not config.cased, whole=tags)


INVENTED = (
    "warning: without --features, the views of {data} are invented: their rooms and landmarks are random, and the "
    "instructions do not describe them. Figures are not comparable with published ones."
)


def _views(config: NavigationConfig, source: NavigationSource) -> Views:
    if config.features is not None:
        return open_features(config.features, source.graphs, config.allow_missing)
    known = source.folder / SCENERY
    if known.exists():
        scenery = read_scenery(known, source.graphs)
    else:
        say(INVENTED.format(data=config.data))
        scenery = imagined_scenery(source.graphs)
    return synthetic_views(source.graphs, scenery, config.view_size)


def _world(spec: str) -> bool:
    """Whether the views of a source show the rooms and landmarks of its instructions, without opening it."""
    scheme, _, rest = spec.partition(":")
    return scheme == "world" or (Path(rest).expanduser() / SCENERY).exists()
