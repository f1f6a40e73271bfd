"""Opens the image and image-pair sources listed in `genera.data.registry`. No torch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from genera.data import registry
from genera.data.images.formats import existing_folder, hash_text, labelled_files, npz, of_files, training_first
from genera.data.images.parts import ImageSource, Part, WorldImages
from genera.data.splits import SPLIT_NAMES
from genera.errors import GeneraError

WORLD_SIZES = {"train": 50_000, "valid": 2_000, "test": 5_000}


def parse_images(spec: str) -> ImageSource:
    """The image source named by `spec` ("scheme:rest"). Raises GeneraError when it does not exist."""
    scheme, rest = registry.split_spec(spec, "images")
    source: ImageSource = registry.opener(scheme, "images")(spec, rest)
    return source


def parse_pairs(spec: str) -> tuple[ImageSource, ImageSource, Any]:
    """The two domains of the pair source named by `spec`, and its world, which knows the true translation, or None.

    Raises GeneraError when it does not exist.
    """
    scheme, rest = registry.split_spec(spec, "image-pairs")
    a, b, world = registry.opener(scheme, "image-pairs")(spec, rest)
    return a, b, world


def open_world(spec: str, rest: str) -> ImageSource:
    return _of_world(spec, registry.load_world(rest))


def open_world_pairs(spec: str, rest: str) -> tuple[ImageSource, ImageSource, Any]:
    world = registry.load_world(rest)
    return _of_world(spec, world.a), _of_world(spec, world.b), world


def open_folder_pairs(spec: str, rest: str) -> tuple[ImageSource, ImageSource, None]:
    """A folder with trainA and trainB. Raises GeneraError where one is missing."""
    if "," in rest and not Path(rest).expanduser().exists():
        raise GeneraError(f"{spec} names two text files; image pairs are pairs:DIR, with trainA and trainB in DIR.")
    folder = existing_folder(rest)
    a, b = (_domain(spec, folder, letter) for letter in "AB")
    return a, b, None


def _of_world(spec: str, world: Any) -> ImageSource:
    parts = [
        WorldImages(split, world, count, world.labels(world.draw(count, split=split)) if world.classes else None)
        for split, count in WORLD_SIZES.items()
    ]
    return ImageSource(spec, parts, world.classes, hash_text(repr((world, WORLD_SIZES))), world)


def _domain(spec: str, folder: Path, letter: str) -> ImageSource:
    """Domain A or B of a folder with trainA, trainB (testA, testB): folders of images, or .npz files."""
    folders: list[tuple[str, list[Path], list[str]]] = []
    packed: list[ImageSource] = []
    for entry in sorted(folder.iterdir()):
        stem = entry.name.removesuffix(".npz").removesuffix("_jpeg")
        split = SPLIT_NAMES.get(stem[:-1].lower())
        if split is None or stem[-1] != letter:
            continue
        if entry.is_dir():
            folders.append((split, labelled_files(entry)[0], []))
        elif entry.suffix == ".npz":
            inner = npz(spec, str(entry))
            parts = [_resplit(part, split) for part in inner.parts if part.split == "train"]
            packed.append(ImageSource(spec, parts, (), inner.fingerprint))
    sources = ([of_files(spec, folders)] if folders else []) + packed
    parts = [part for source in sources for part in source.parts]
    if not any(part.split == "train" for part in parts):
        raise GeneraError(
            f"{folder} has no train{letter}: a folder train{letter} or a file train{letter}.npz is needed."
        )
    return ImageSource(spec, training_first(parts), (), hash_text(repr([source.fingerprint for source in sources])))


def _resplit(part: Any, split: str) -> Part:
    return replace(part, split=split, labels=None)
