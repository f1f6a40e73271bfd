"""Procedural data with known truth: load a world by name, draw from it, ask it for the true factors."""

from importlib import import_module
from typing import Any, NamedTuple

from genera.errors import unknown


class _Entry(NamedTuple):
    kind: str
    summary: str
    module: str
    constant: str


# The modules are imported only when a world is loaded, so that listing stays light.
_WORLDS = {
    "captions": _Entry(
        "text", "natural captions with 12 factors; the default data of the text methods", "captions", "CAPTIONS"
    ),
    "captions-small": _Entry(
        "text", "a smaller grammar of 16.72 nats, for signatures that take minutes", "captions", "CAPTIONS_SMALL"
    ),
    "dialogues": _Entry(
        "dialogues", "questions and answers about scenes; every right response is known", "dialogues", "DIALOGUES"
    ),
    "dialogues-style": _Entry(
        "text", "sentences in an old manner about the same scenes, for stylised responses", "dialogues", "STYLE"
    ),
    "houses": _Entry(
        "navigation", "houses with rooms, landmarks and instructions; the navigation default", "houses", "HOUSES"
    ),
    "houses-ndh": _Entry(
        "navigation", "the same houses with dialogues between a walker and a guide", "houses", "HOUSES_NDH"
    ),
    "houses-hanna": _Entry(
        "navigation", "the same houses with requests for objects and routes of a helper", "houses", "HOUSES_HANNA"
    ),
    "shapes": _Entry(
        "images", "any size: 6 shapes, 6 colours, 6 backgrounds, place, size, rotation; labelled", "shapes", "SHAPES"
    ),
    "shapes-overlap": _Entry(
        "images", "shapes whose classes overlap: each shows one of two shapes", "shapes", "SHAPES_OVERLAP"
    ),
    "shapes-pairs": _Entry(
        "image-pairs",
        "filled on light, outlined on dark, unpaired; the translation is known",
        "shapes",
        "SHAPES_PAIRS",
    ),
}


def names(kind: str | None = None) -> tuple[str, ...]:
    """The worlds that exist, in alphabetical order; only those of one kind of items where `kind` is given."""
    return tuple(sorted(name for name, entry in _WORLDS.items() if kind in (None, entry.kind)))


def kind(name: str) -> str:
    """What the items of a world are: text, dialogues, images, image-pairs or navigation. Raises GeneraError for an
    unknown one."""
    return _found(name).kind


def summary(name: str) -> str:
    """One line for lists."""
    return _found(name).summary


def load(name: str) -> Any:
    """The world called `name`. Raises GeneraError, with the nearest name, when there is none."""
    entry = _found(name)
    return getattr(import_module(f"{__name__}.{entry.module}"), entry.constant)


def _found(name: str) -> _Entry:
    if name not in _WORLDS:
        raise unknown("world", name, _WORLDS)
    return _WORLDS[name]
