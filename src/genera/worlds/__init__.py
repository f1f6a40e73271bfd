"""Procedural data with known truth: load a world by name, draw from it, ask it for the true factors."""

from importlib import import_module
from typing import TYPE_CHECKING

from genera.errors import unknown

if TYPE_CHECKING:
    from genera.worlds.grammar import World
    from genera.worlds.houses import Houses

# name → the module and the constant that hold it; imported only when loaded, so that listing stays light.
_WORLDS = {
    "captions": ("genera.worlds.captions", "CAPTIONS"),
    "captions-small": ("genera.worlds.captions", "CAPTIONS_SMALL"),
    "houses": ("genera.worlds.houses", "HOUSES"),
    "houses-ndh": ("genera.worlds.houses", "HOUSES_NDH"),
    "houses-hanna": ("genera.worlds.houses", "HOUSES_HANNA"),
}


def names() -> tuple[str, ...]:
    """The worlds that exist, in alphabetical order."""
    return tuple(sorted(_WORLDS))


def load(name: str) -> "World | Houses":
    """The world called `name`. Raises GeneraError, with the nearest name, when there is none."""
    if name not in _WORLDS:
        raise unknown("world", name, _WORLDS)
    module, constant = _WORLDS[name]
    return getattr(import_module(module), constant)
