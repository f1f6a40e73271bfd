"""Procedural data with known truth: load a world by name, draw from it, ask it for the true factors."""

from importlib import import_module
from typing import Any

from genera.errors import unknown

# name → kind of its items, and the module and constant that hold it; imported only when loaded, so that listing
# stays light.
_WORLDS = {
    "captions": ("text", "genera.worlds.captions", "CAPTIONS"),
    "captions-small": ("text", "genera.worlds.captions", "CAPTIONS_SMALL"),
    "shapes": ("images", "genera.worlds.shapes", "SHAPES"),
    "shapes-overlap": ("images", "genera.worlds.shapes", "SHAPES_OVERLAP"),
    "shapes-pairs": ("image-pairs", "genera.worlds.shapes", "SHAPES_PAIRS"),
}


def names(kind: str | None = None) -> tuple[str, ...]:
    """The worlds that exist, in alphabetical order; only those of one kind of items where `kind` is given."""
    return tuple(sorted(name for name, (own, _, _) in _WORLDS.items() if kind in (None, own)))


def kind(name: str) -> str:
    """What the items of a world are: text, images or image-pairs. Raises GeneraError when there is no such world."""
    return _found(name)[0]


def load(name: str) -> Any:
    """The world called `name`. Raises GeneraError, with the nearest name, when there is none."""
    _, module, constant = _found(name)
    return getattr(import_module(module), constant)


def _found(name: str) -> tuple[str, str, str]:
    if name not in _WORLDS:
        raise unknown("world", name, _WORLDS)
    return _WORLDS[name]
