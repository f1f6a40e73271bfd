"""Procedural data with known truth: load a world by name, draw from it, ask it for the true factors."""

from importlib import import_module
from typing import Any, NamedTuple

from genera import plugins
from genera.errors import unknown


class Entry(NamedTuple):
    """One world as lists show it."""

    kind: str
    """What its items are: text, dialogues, images, image-pairs or navigation."""
    summary: str
    implementation: str
    """package.module:CONSTANT, imported when the world is loaded"""


# The modules are imported only when a world is loaded, so that listing stays light.
_BUILT_IN = {
    "captions": Entry(
        "text",
        "natural captions with 12 factors; the default data of the text methods",
        "genera.worlds.captions:CAPTIONS",
    ),
    "captions-small": Entry(
        "text",
        "a smaller grammar of 16.72 nats, for signatures that take minutes",
        "genera.worlds.captions:CAPTIONS_SMALL",
    ),
    "dialogues": Entry(
        "dialogues",
        "questions and answers about scenes; every right response is known",
        "genera.worlds.dialogues:DIALOGUES",
    ),
    "dialogues-style": Entry(
        "text",
        "sentences in an old manner about the same scenes, for stylised responses",
        "genera.worlds.dialogues:STYLE",
    ),
    "houses": Entry(
        "navigation",
        "houses with rooms, landmarks and instructions; the navigation default",
        "genera.worlds.houses:HOUSES",
    ),
    "houses-ndh": Entry(
        "navigation", "the same houses with dialogues between a walker and a guide", "genera.worlds.houses:HOUSES_NDH"
    ),
    "houses-hanna": Entry(
        "navigation",
        "the same houses with requests for objects and routes of a helper",
        "genera.worlds.houses:HOUSES_HANNA",
    ),
    "shapes": Entry(
        "images",
        "any size: 6 shapes, 6 colours, 6 backgrounds, place, size, rotation; labelled",
        "genera.worlds.shapes:SHAPES",
    ),
    "shapes-overlap": Entry(
        "images", "shapes whose classes overlap: each shows one of two shapes", "genera.worlds.shapes:SHAPES_OVERLAP"
    ),
    "shapes-pairs": Entry(
        "image-pairs",
        "filled on light, outlined on dark, unpaired; the translation is known",
        "genera.worlds.shapes:SHAPES_PAIRS",
    ),
}


def names(kind: str | None = None) -> tuple[str, ...]:
    """The worlds that exist, in alphabetical order; only those of one kind of items where `kind` is given."""
    return tuple(sorted(name for name, entry in entries().items() if kind in (None, entry.kind)))


def kind(name: str) -> str:
    """What the items of a world are: text, dialogues, images, image-pairs or navigation. Raises GeneraError for an
    unknown one."""
    return _entry(name).kind


def summary(name: str) -> str:
    """One line for lists."""
    return _entry(name).summary


def load(name: str) -> Any:
    """The world called `name`. Raises GeneraError, with the nearest name, when there is none."""
    module, _, constant = _entry(name).implementation.partition(":")
    return getattr(import_module(module), constant)


def entries() -> dict[str, Entry]:
    """All worlds by name: those of this package and those of installed plug-ins."""
    return _BUILT_IN | plugins.load(plugins.WORLDS, Entry, _BUILT_IN)


def _entry(name: str) -> Entry:
    known = entries()
    if name not in known:
        raise unknown("world", name, known)
    return known[name]
