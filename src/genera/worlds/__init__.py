"""Procedural data with known ground truth: load a world by name, draw from it, read the true factors."""

from typing import Any

from genera.data import registry
from genera.data.registry import World as Entry

__all__ = ["Entry", "entries", "kind", "load", "names", "summary"]


def names(kind: str | None = None) -> tuple[str, ...]:
    """The names of all worlds, or of those with item type `kind`, in alphabetical order."""
    return tuple(sorted(name for name, entry in entries().items() if kind in (None, entry.kind)))


def kind(name: str) -> str:
    """The item type of a world: text, dialogues, images, image-pairs or navigation. Raises GeneraError for an unknown
    world."""
    return registry.world(name).kind


def summary(name: str) -> str:
    """A one-line description of a world."""
    return registry.world(name).summary


def load(name: str) -> Any:
    """The world `name`. Raises GeneraError, with the closest name, when there is none."""
    return registry.load_world(name)


def entries() -> dict[str, Entry]:
    """All worlds by name, built-in and from installed plug-ins."""
    return registry.worlds()
