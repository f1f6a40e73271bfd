"""Which data sources there are and what their items are. No torch: lists and help read only this."""

from collections.abc import Mapping
from dataclasses import dataclass

from genera import worlds
from genera.errors import GeneraError, unknown

ITEMS = {
    "text": "texts",
    "dialogues": "dialogues",
    "images": "images",
    "image-pairs": "image pairs (two domains)",
    "navigation": "navigation episodes",
}
"""kind of items, as data sets declare it → how messages call them"""


@dataclass(frozen=True)
class Scheme:
    argument: str
    """What stands after the colon: PATH, DIR, FILE or NAME."""
    kinds: tuple[str, ...]
    """Kinds of items that it can give."""
    summary: str


_EVERY = tuple(ITEMS)
_EPISODES = ("navigation", "text")  # their instructions are texts

SCHEMES: Mapping[str, Scheme] = {
    "text": Scheme("PATH", ("text",), "texts, one a line: file, glob or folder; plain or .gz"),
    "tsv": Scheme("PATH", ("text",), "tab-separated rows; --text-column and --label-column by number or header name"),
    "jsonl": Scheme("PATH", ("text",), "JSON objects, one a line; --text-column and --label-column name their fields"),
    "dialogues": Scheme("PATH", ("dialogues",), "one dialogue a line: turns between tabs or __eou__, or .jsonl"),
    "glue": Scheme(
        "DIR", ("text",), "a task of GLUE as its archive has it: labels and pairs are read, dev is tested on"
    ),
    "idx": Scheme("DIR", ("images",), "MNIST's idx files (train-images-idx3-ubyte, …); plain or .gz"),
    "cifar": Scheme("DIR", ("images",), "CIFAR-10 or CIFAR-100, the binary or the python version as unpacked"),
    "images": Scheme("DIR", ("images",), "image files of any size; labels are the names of the folders they lie in"),
    "npz": Scheme("FILE", ("images",), "numpy arrays: images, or jpeg and offset; with labels, label_names"),
    "hub": Scheme("NAME", ("text", "images"), "a Hugging Face data set, NAME[:CONFIG] or a folder in its layout"),
    "pairs": Scheme("DIR", ("image-pairs",), "trainA and trainB (testA, testB): folders of images or .npz files"),
    "r2r": Scheme("DIR", _EPISODES, "Room-to-Room: R2R_SPLIT.json and connectivity/; plain or .gz, .tar.xz"),
    "ndh": Scheme("DIR", _EPISODES, "navigation from dialogue history: SPLIT.json and connectivity/"),
    "hanna": Scheme("DIR", _EPISODES, "HANNA's requests: hanna_SPLIT.json and connectivity/"),
    "world": Scheme("NAME", _EVERY, "an embedded world: procedural data with known truth"),
}


def split_spec(spec: str, kind: str) -> tuple[str, str]:
    """(scheme, rest) of a source whose items are of `kind`.

    Raises GeneraError when it is none, has an unknown scheme, or gives items of another kind.
    """
    scheme, colon, rest = spec.partition(":")
    own = {name: known for name, known in SCHEMES.items() if kind in known.kinds}
    if not colon or not rest:
        forms = ", ".join(f"{name}:{known.argument}" for name, known in own.items())
        first, known = next(iter(own.items()))
        example = f"{first}:{spec or ('FILE' if known.argument == 'PATH' else known.argument)}"
        raise GeneraError(f"{spec!r} is not a data source; write one of {forms}, for example {example}.")
    if scheme not in SCHEMES:
        raise GeneraError(f"{unknown('data scheme', scheme, own)} (there are: {', '.join(own)})")
    kinds = SCHEMES[scheme].kinds
    if scheme == "world":
        kinds = _EPISODES if worlds.kind(rest) == "navigation" else (worlds.kind(rest),)
    if kind not in kinds:
        fitting = [f"{name}:{known.argument}" for name, known in own.items() if name != "world"]
        fitting += [f"world:{name}" for name in worlds.names(kind)]
        given = " or ".join(ITEMS[other] for other in kinds)
        raise GeneraError(f"{spec} gives {given}, but {ITEMS[kind]} are needed here: {', '.join(fitting)}.")
    return scheme, rest
