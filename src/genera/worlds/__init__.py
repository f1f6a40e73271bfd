"""Procedural data with known truth: load a world by name, draw from it, ask it for the true factors."""

from typing import Any

from genera.data import registry
from genera.data.registry import World as Entry

__all__ = ["Entry", "entries", "kind", "load", "names", "summary"]


def names(kind: str | None = None) -> tuple[str, ...]:
    """The worlds that exist, in alphabetical order; only those of one item type where `kind` is given."""
    return tuple(sorted(name for name, entry in entries().items() if kind in (None, entry.kind)))


def kind(name: str) -> str:
    """What the items of a world are: text, dialogues, images, image-pairs or navigation. Raises GeneraError for an
    unknown one."""
    return registry.world(name).kind


def summary(name: str) -> str:
    """One line for lists."""
    return registry.world(name).summary


def load(name: str) -> Any:
    """The world called `name`. Raises GeneraError, with the nearest name, when there is none."""
    return registry.load_world(name)


def entries() -> dict[str, Entry]:
    """All worlds by name: those of this package and those of installed plug-ins."""
    return registry.worlds()
