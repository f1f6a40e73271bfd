"""The registry of data sources and worlds, with their item types. No torch: lists and help read only this file.

The code that opens a source lives beside its format, often in a higher layer, so the registry refers to it as
"module:NAME" and imports it when a source is opened. Installed packages add sources (entry points `genera.sources`,
whose objects are `Scheme`s) and worlds (`genera.worlds`, `World`s).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

from genera import plugins
from genera.errors import GeneraError, unknown

ITEMS = {
    "text": "texts",
    "dialogues": "dialogues",
    "images": "images",
    "image-pairs": "image pairs (two domains)",
    "navigation": "navigation episodes",
    "parallel": "parallel texts (with their translations)",
}
"""item type, as data sets declare it → name of the items in messages"""


@dataclass(frozen=True)
class Scheme:
    """One kind of source, written `scheme:ARGUMENT`."""

    argument: str
    """What follows the colon: PATH, DIR, FILE or NAME."""
    openers: Mapping[str, str]
    """Item types that the source provides, each with the function "module:NAME" that opens it:

    text: (spec, rest, text_column, label_column) → `genera.data.text.items.Source`
    dialogues: (spec, rest) → `genera.data.dialogues.sources.DialogueSource`
    images: (spec, rest) → `genera.data.images.parts.ImageSource`
    image-pairs: (spec, rest) → two such sources, and the world that knows their translation, or None
    navigation: (spec, rest, graphs, strict) → `genera.navigation.sources.NavigationSource`
    parallel: (spec, rest, columns) → `genera.data.parallel.sources.ParallelSource`

    `spec` is the source as the user wrote it, `rest` the part after the colon."""
    summary: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    """item type → what follows the colon, where it differs from `argument`"""

    def argument_for(self, kind: str) -> str:
        return self.arguments.get(kind, self.argument)


class World(NamedTuple):
    """One world: procedural data with known ground truth."""

    kind: str
    """Its item type: text, dialogues, images, image-pairs or navigation."""
    summary: str
    implementation: str
    """package.module:CONSTANT, imported when the world is loaded"""


def _episodes(task: str) -> dict[str, str]:
    opener = f"genera.navigation.sources:open_{task}"
    return {"navigation": opener, "text": f"{opener}_text"}


_SCHEMES: dict[str, Scheme] = {
    "text": Scheme(
        "PATH",
        {"text": "genera.data.text.formats:open_text"},
        "texts, one per line: file, glob or folder; plain or .gz",
    ),
    "tsv": Scheme(
        "PATH",
        {"text": "genera.data.text.formats:open_tsv", "parallel": "genera.data.parallel.sources:open_tsv_pairs"},
        "tab-separated rows; --text-column and --label-column (or --source-column and --target-column) by number or "
        "header name",
    ),
    "jsonl": Scheme(
        "PATH",
        {"text": "genera.data.text.formats:open_jsonl", "parallel": "genera.data.parallel.sources:open_jsonl_pairs"},
        "JSON objects, one per line; --text-column and --label-column (or --source-column and --target-column) name "
        "their fields",
    ),
    "dialogues": Scheme(
        "PATH",
        {"dialogues": "genera.data.dialogues.sources:open_files"},
        "dialogues, one per line: turns separated by tabs or __eou__, or .jsonl",
    ),
    "glue": Scheme(
        "DIR",
        {"text": "genera.data.text.glue:open_glue"},
        "a GLUE task as unpacked from its archive, with labels and pairs; dev is the test split",
    ),
    "idx": Scheme(
        "DIR",
        {"images": "genera.data.images.formats:idx"},
        "MNIST's idx files (train-images-idx3-ubyte, …); plain or .gz",
    ),
    "cifar": Scheme(
        "DIR",
        {"images": "genera.data.images.formats:cifar"},
        "CIFAR-10 or CIFAR-100, binary or Python version, unpacked",
    ),
    "images": Scheme(
        "DIR",
        {"images": "genera.data.images.formats:images"},
        "image files of any size; the names of their folders are the labels",
    ),
    "npz": Scheme(
        "FILE",
        {"images": "genera.data.images.formats:npz"},
        "NumPy arrays: images, or jpeg and offset; optional labels, label_names",
    ),
    "hub": Scheme(
        "NAME",
        {"text": "genera.data.text.hub:open_hub", "images": "genera.data.images.formats:hub"},
        "a Hugging Face data set, NAME[:CONFIG] or a folder in its layout",
    ),
    "pairs": Scheme(
        "DIR",
        {
            "image-pairs": "genera.data.images.sources:open_folder_pairs",
            "parallel": "genera.data.parallel.sources:open_pairs",
        },
        "image pairs: trainA and trainB (testA, testB), folders or .npz files; or text files FILE.src,FILE.tgt whose "
        "lines are translations of each other",
        {"parallel": "FILE.src,FILE.tgt"},
    ),
    "r2r": Scheme("DIR", _episodes("r2r"), "Room-to-Room: R2R_SPLIT.json and connectivity/; plain or .gz, .tar.xz"),
    "ndh": Scheme("DIR", _episodes("ndh"), "navigation from dialogue history: SPLIT.json and connectivity/"),
    "hanna": Scheme("DIR", _episodes("hanna"), "HANNA: hanna_SPLIT.json and connectivity/"),
    "world": Scheme(
        "NAME",
        {
            "text": "genera.data.text.world:open_world",
            "dialogues": "genera.data.dialogues.sources:open_world",
            "images": "genera.data.images.sources:open_world",
            "image-pairs": "genera.data.images.sources:open_world_pairs",
            "navigation": "genera.navigation.sources:open_world",
        },
        "a built-in world: procedural data with known ground truth",
    ),
}

_WORLDS: dict[str, World] = {
    "captions": World(
        "text",
        "natural captions with 12 factors; the default data of the text methods",
        "genera.worlds.captions:CAPTIONS",
    ),
    "captions-small": World(
        "text",
        "a smaller caption grammar with an entropy of 16.72 nats, for runs of minutes",
        "genera.worlds.captions:CAPTIONS_SMALL",
    ),
    "markov": World(
        "text",
        "texts of 32 symbols with an entropy of exactly 1.20797 nats each: is a language model's likelihood right?",
        "genera.worlds.markov:MARKOV",
    ),
    "dialogues": World(
        "dialogues",
        "questions and answers about scenes; all correct responses are known",
        "genera.worlds.dialogues:DIALOGUES",
    ),
    "dialogues-style": World(
        "text",
        "archaic sentences about the same scenes, for stylised responses",
        "genera.worlds.dialogues:STYLE",
    ),
    "houses": World(
        "navigation",
        "houses with rooms, landmarks and instructions; the default navigation data",
        "genera.worlds.houses:HOUSES",
    ),
    "houses-ndh": World(
        "navigation", "the same houses with dialogues between a walker and a guide", "genera.worlds.houses:HOUSES_NDH"
    ),
    "houses-hanna": World(
        "navigation",
        "the same houses with object requests and a helper's routes",
        "genera.worlds.houses:HOUSES_HANNA",
    ),
    "shapes": World(
        "images",
        "labelled images of any size: 6 shapes, 6 colours, 6 backgrounds, position, size, rotation",
        "genera.worlds.shapes:SHAPES",
    ),
    "shapes-overlap": World(
        "images",
        "shapes with overlapping classes: each class shows one of two shapes",
        "genera.worlds.shapes:SHAPES_OVERLAP",
    ),
    "shapes-pairs": World(
        "image-pairs",
        "unpaired filled shapes on light and outlined shapes on dark; the true translation is known",
        "genera.worlds.shapes:SHAPES_PAIRS",
    ),
}


def schemes() -> dict[str, Scheme]:
    """All schemes by name, built-in and from installed plug-ins."""
    return _SCHEMES | plugins.load(plugins.SOURCES, Scheme, _SCHEMES)


def split_spec(spec: str, kind: str) -> tuple[str, str]:
    """(scheme, rest) of a source whose items are of type `kind`.

    Raises GeneraError when `spec` is not a source, has an unknown scheme, or provides items of another type.
    """
    scheme, colon, rest = spec.partition(":")
    known = schemes()
    fitting = {name: other.argument_for(kind) for name, other in known.items() if kind in other.openers}
    if not colon or not rest:
        forms = ", ".join(f"{name}:{argument}" for name, argument in fitting.items())
        first, argument = next(iter(fitting.items()))
        example = f"{first}:{spec or ('FILE' if argument == 'PATH' else argument)}"
        raise GeneraError(f"{spec!r} is not a data source; write one of {forms}, for example {example}.")
    if scheme not in known:
        message = str(unknown("data scheme", scheme, fitting))
        raise GeneraError(message if "known: " in message else f"{message} (there are: {', '.join(fitting)})")
    kinds = tuple(known[scheme].openers) if scheme != "world" else kinds_of(rest)
    if kind not in kinds:
        forms = ", ".join(f"{name}:{argument}" for name, argument in fitting.items() if name != "world")
        names = ", ".join(f"world:{name}" for name in sorted(worlds()) if kind in kinds_of(name))
        given = " or ".join(ITEMS.get(other, other) for other in kinds)
        needed = ", ".join(filter(None, (forms, names)))
        raise GeneraError(f"{spec} gives {given}, but {ITEMS[kind]} are needed here: {needed}.")
    return scheme, rest


def opener(scheme: str, kind: str) -> Any:
    """The function that opens a source of a scheme for items of type `kind`; see `Scheme.openers`."""
    return _load(schemes()[scheme].openers[kind], f"the data source {scheme}:")


def worlds() -> dict[str, World]:
    """All worlds by name, built-in and from installed plug-ins."""
    return _WORLDS | plugins.load(plugins.WORLDS, World, _WORLDS)


def world(name: str) -> World:
    """The registry entry of a world. Raises GeneraError for an unknown name."""
    known = worlds()
    if name not in known:
        raise unknown("world", name, known)
    return known[name]


def kinds_of(name: str) -> tuple[str, ...]:
    """The item types that a world provides; navigation episodes also provide their instructions as texts."""
    kind = world(name).kind
    return (kind, "text") if kind == "navigation" else (kind,)


def load_world(name: str) -> Any:
    """The world `name`. Raises GeneraError, with the closest name, when there is none."""
    return _load(world(name).implementation, f"the world {name}")


def _load(implementation: str, what: str) -> Any:
    module, _, name = implementation.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        if module.startswith("genera."):
            raise
        raise GeneraError(f"{what}: {implementation} cannot be imported ({error}).") from error
