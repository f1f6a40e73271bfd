"""Texts of worlds: `world:NAME`. No torch."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from genera.data import registry
from genera.data.splits import SPLITS
from genera.data.text.items import Item, Source
from genera.errors import GeneraError

WORLD_SIZES = {"train": 50_000, "valid": 2_000, "test": 2_000}


@dataclass(frozen=True)
class WorldSource:
    """Sentences drawn from a world with seed 0, regardless of the training seed."""

    spec: str
    world: Any
    """`genera.worlds.grammar.World`, or a plug-in's world with `sentences(count, seed, split)`"""
    splits = SPLITS

    def items(self) -> Iterator[Item]:
        return chain.from_iterable(
            (Item(split, text, None) for text in self.world.sentences(count, seed=0, split=split))
            for split, count in WORLD_SIZES.items()
        )

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((self.world, WORLD_SIZES)).encode()).hexdigest()


def open_world(spec: str, rest: str, text_column: str | None, label_column: str | None) -> Source:
    """The sentences of a text world, or the instructions of a navigation world's episodes."""
    if text_column is not None or label_column is not None:
        raise GeneraError("a world: source has no columns and no labels; omit --text-column and --label-column.")
    world = registry.load_world(rest)
    if registry.world(rest).kind == "text":
        return WorldSource(spec, world)
    source: Source = registry.opener(world.task, "text")(spec, str(world.folder()), None, None)
    return source
