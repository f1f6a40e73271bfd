"""Readers of image data sets: idx, CIFAR, image folders, .npz, the Hugging Face hub."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genera.data.arrays import read_npz
from genera.data.cache import file_hash
from genera.data.files import missing, named, read_lines
from genera.data.images.parts import ArrayImages, EncodedImages, ImageSource, Part
from genera.data.images.plain_pickle import read_pickle
from genera.data.splits import SPLIT_NAMES
from genera.errors import GeneraError, reason
from genera.files import read_bytes, reading

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def idx(spec: str, rest: str) -> ImageSource:
    """`train-images-idx3-ubyte[.gz]` and its labels; `t10k-…` or `test-…` is the test split."""
    folder = existing_folder(rest)
    files = sorted(file for file in folder.iterdir() if "images-idx" in file.name.replace(".idx", "-idx"))
    if not files:
        raise GeneraError(f"{folder} has no idx files (train-images-idx3-ubyte or .gz, train-labels-idx1-ubyte).")
    parts, used, seen = [], [], 0
    for file in files:
        split = "test" if file.name.startswith(("t10k", "test")) else "train"
        pixels = read_idx(file)
        if pixels.ndim not in (3, 4):
            raise GeneraError(f"{file} holds {pixels.ndim} axes; images need 3 (count, rows, columns) or 4.")
        pixels = checked_pixels(pixels, str(file))
        used.append(file)
        name = file.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
        labels = None
        if (beside := folder / name).exists():
            labels = read_idx(beside).astype(np.int64)
            if labels.shape != pixels.shape[:1]:
                raise GeneraError(f"{beside} has {labels.size} labels for the {len(pixels)} images of {file.name}.")
            seen = max(seen, int(labels.max(initial=-1)) + 1)
            used.append(beside)
        parts.append(ArrayImages(split, pixels, labels))
    return ImageSource(spec, training_first(parts), _numbered(seen), hash_files(used))


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an idx file, plain or gzip. Raises GeneraError when it is damaged."""
    content = read_bytes(path, most=_LARGEST_IDX)
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise GeneraError(f"{path} is not an idx file of unsigned bytes; it must begin with 00 00 08.")
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, 4).tolist() if len(content) >= 4 + 4 * axes else [-1]
    body = np.frombuffer(content, np.uint8, offset=min(len(content), 4 + 4 * axes))
    if body.size != prod(shape):
        raise GeneraError(f"{path} is truncated: {body.size} bytes of {'x'.join(map(str, shape))}; fetch it again.")
    return body.reshape(shape)


_LARGEST_IDX = 1 << 32  # bytes; EMNIST's largest file has 0.5 GB
_MOST_CLASSES = 100
_CIFAR_LABELS = (b"labels", b"fine_labels")


def cifar(spec: str, rest: str) -> ImageSource:
    """data_batch_1 … 5 and test_batch (CIFAR-10), or train and test (CIFAR-100; fine labels); binary or python."""
    folder = existing_folder(rest)
    if not any(file.is_file() for file in folder.iterdir()):
        inner = sorted(folder.glob("cifar-*"))
        folder = inner[0] if inner else folder
    known = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch", "train", "test"]
    files = [file for name in known for file in (folder / f"{name}.bin", folder / name) if file.is_file()]
    if not files:
        raise GeneraError(f"{folder} has no CIFAR files (data_batch_1 … test_batch, or train and test; .bin or not).")
    parts, seen = [], 0
    for file in files:
        pixels, labels = _cifar_binary(file) if file.suffix == ".bin" else _cifar_python(file)
        seen = max(seen, int(labels.max(initial=-1)) + 1)
        split = "test" if file.name.startswith("test") else "train"
        parts.append(ArrayImages(split, pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels))
    names = _cifar_names(folder)
    if names and len(names) < seen:
        raise GeneraError(f"{folder} names {len(names)} classes, but its labels go up to {seen - 1}.")
    return ImageSource(spec, training_first(parts), names or _numbered(seen), hash_files(files))


def _cifar_binary(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    content = np.frombuffer(read_bytes(file), np.uint8)
    heads = 2 if file.stem in ("train", "test") else 1  # CIFAR-100: coarse label, fine label
    if not content.size or content.size % (3072 + heads):
        raise GeneraError(f"{file} is truncated: {content.size:,} bytes are not a multiple of {3072 + heads}.")
    rows = content.reshape(-1, 3072 + heads)
    return rows[:, heads:], rows[:, heads - 1].astype(np.int64)


def _cifar_python(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batch = read_pickle(file)
    keys = list(batch) if isinstance(batch, dict) else []
    label = next((key for key in _CIFAR_LABELS if key in keys), None)
    pixels = batch[b"data"] if b"data" in keys else None
    if label is None or not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3072,):
        raise GeneraError(f"{file} is not a CIFAR batch: data (N, 3072) of uint8 and labels were expected.")
    given = batch[label]
    if not isinstance(given, list | np.ndarray) or not all(isinstance(one, int | np.integer) for one in given):
        raise GeneraError(f"{file} has labels that are not integers; one class number for each image was expected.")
    if len(given) != len(pixels) or not all(0 <= one < _MOST_CLASSES for one in given):
        raise GeneraError(
            f"{file} has {len(given)} labels for {len(pixels)} images; one number from 0 to 99 each was expected."
        )
    return pixels, np.array(given, np.int64)


def _cifar_names(folder: Path) -> tuple[str, ...]:
    for name in ("batches.meta.txt", "fine_label_names.txt"):
        if (folder / name).is_file():
            return tuple(line.text.strip() for line in read_lines(folder / name) if line.text.strip())
    for name, key in (("batches.meta", b"label_names"), ("meta", b"fine_label_names")):
        if (folder / name).is_file():
            meta = read_pickle(folder / name)
            labels = meta.get(key) if isinstance(meta, dict) else None
            if not isinstance(labels, list) or not all(isinstance(label, bytes) for label in labels):
                raise GeneraError(f"{folder / name} has no {key.decode()}; fetch it again, or remove it.")
            try:
                return tuple(label.decode() for label in labels)
            except UnicodeDecodeError:
                raise GeneraError(f"{folder / name} has class names that are not UTF-8; fetch it again.") from None
    return ()


def images(spec: str, rest: str) -> ImageSource:
    """Images in DIR or in its folders train, valid and test, directly or in one folder per class."""
    folder = existing_folder(rest)
    splits: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.name.lower() in SPLIT_NAMES:
            splits.setdefault(SPLIT_NAMES[entry.name.lower()], []).append(entry)
    if "train" not in splits:
        splits = {"train": [folder]}
    return of_files(spec, [(split, *labelled_files(root)) for split, roots in splits.items() for root in roots])


def of_files(spec: str, groups: Sequence[tuple[str, list[Path], list[str]]]) -> ImageSource:
    """A source of groups (split, files, label name of each file; empty without labels)."""
    classes = tuple(sorted({name for _, _, names in groups for name in names}))
    if classes and not all(names for _, _, names in groups):
        raise GeneraError(f"{spec} has class folders in only some of its splits; label all images, or none.")
    place = {name: i for i, name in enumerate(classes)}
    parts = [
        EncodedImages(
            split,
            len(files),
            partial(_file_content, files),
            partial(_file_name, files),
            np.array([place[name] for name in names], np.int64) if classes else None,
        )
        for split, files, names in groups
    ]
    every = [file for _, files, _ in groups for file in files]
    return ImageSource(spec, training_first(parts), classes, hash_files(every, repr([g[::2] for g in groups])))


def labelled_files(root: Path) -> tuple[list[Path], list[str]]:
    """All images under `root`, and the name of the class folder of each; no names if there are no class folders."""
    files = find_images(root)
    inside = [file.relative_to(root).parts[0] for file in files if file.parent != root]
    if inside and len(inside) < len(files):
        lone = next(file for file in files if file.parent == root)
        raise GeneraError(f"{root} has images beside its class folders, such as {lone.name}; move or remove them.")
    return files, inside


def find_images(folder: Path) -> list[Path]:
    """All image files in a folder and its subfolders, except hidden ones. Raises GeneraError if there are none."""
    folder = existing_folder(str(folder))
    with reading(folder):
        files = [
            file
            for file in sorted(folder.rglob("*"))
            if file.suffix.lower() in SUFFIXES
            and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        ]
    if not files:
        raise GeneraError(f"the folder {folder} has no images ({', '.join(sorted(SUFFIXES))}).")
    return named(files)


def _file_content(files: list[Path], row: int) -> bytes:
    return read_bytes(files[row])


def _file_name(files: list[Path], row: int) -> str:
    return str(files[row])


_NPZ_ARRAYS = (("train", "images", "labels"), ("train", "x_train", "y_train"), ("test", "x_test", "y_test"))
_NPZ_LABELS = ("labels", "label", "subject", "object")
_NPZ_NAMES = {"jpeg", "offset", "label_names", *_NPZ_LABELS, *(name for row in _NPZ_ARRAYS for name in row[1:])}


def npz(spec: str, rest: str) -> ImageSource:
    """`images` (N, H, W[, 3]) or `jpeg` with `offset`, and `labels` with `label_names`; or x_train, y_train …"""
    path = Path(rest).expanduser()
    if not path.is_file():
        raise GeneraError(f"{path} does not exist; npz:FILE names one .npz file.")
    arrays = read_npz(path, _NPZ_NAMES)
    parts: list[ArrayImages | EncodedImages] = []
    lone = next((arrays[label] for label in _NPZ_LABELS if label in arrays), None)
    if {"jpeg", "offset"} <= arrays.keys():
        parts.append(_jpegs(path, arrays["jpeg"], arrays["offset"], lone))
    for split, images, labels in _NPZ_ARRAYS:
        if images in arrays:
            beside = lone if images == "images" else arrays.get(labels)
            pixels = checked_pixels(arrays[images], f"{images!r} of {path}")
            parts.append(ArrayImages(split, pixels, _npz_labels(beside, len(pixels), path)))
    if not parts:
        raise GeneraError(f"{path} has no images: arrays named images, or jpeg and offset, were expected.")
    given = [part.labels for part in parts if part.labels is not None]
    if not given:
        return ImageSource(spec, parts, (), hash_files([path]))
    if len(given) < len(parts):
        raise GeneraError(f"{path} has labels for only some of its images; label all of them, or none.")
    present = np.unique(np.concatenate(given))
    if "label_names" not in arrays:  # the numbers that occur are the names
        numbered = [replace(p, labels=np.searchsorted(present, ids)) for p, ids in zip(parts, given, strict=True)]
        return ImageSource(spec, numbered, tuple(map(str, present)), hash_files([path]))
    names = _npz_names(arrays["label_names"], path)
    if len(present) and len(names) <= present.max():
        raise GeneraError(f"{path} names {len(names)} classes, but its labels go up to {present.max()}.")
    return ImageSource(spec, parts, names, hash_files([path]))


def _jpegs(path: Path, flat: NDArray, offset: NDArray, labels: NDArray | None) -> EncodedImages:
    if flat.dtype != np.uint8 or flat.ndim != 1 or offset.dtype.kind not in "iu":
        raise GeneraError(
            f"{path}: jpeg is {flat.dtype} with {flat.ndim} axes and offset is {offset.dtype}; flat uint8 bytes and "
            "integers were expected."
        )
    if (
        offset.ndim != 1
        or len(offset) < 2
        or offset[0] < 0
        or (offset[1:] < offset[:-1]).any()
        or offset[-1] > flat.size
    ):
        raise GeneraError(f"{path}: offset must not decrease and must stay within the {flat.size} bytes of jpeg.")
    count = len(offset) - 1
    return EncodedImages(
        "train",
        count,
        lambda row: flat[offset[row] : offset[row + 1]].tobytes(),
        lambda row: f"image {row} of {path}",
        _npz_labels(labels, count, path),
    )


def checked_pixels(pixels: NDArray, what: str) -> NDArray[np.uint8]:
    """uint8 (N, H, W) or (N, H, W, 3 or 4), H, W ≥ 1. Raises GeneraError, with `what`, for any other array."""
    if pixels.dtype != np.uint8 or not (pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] in (1, 3, 4))):
        shape = "x".join(map(str, pixels.shape))
        raise GeneraError(f"{what} is {pixels.dtype} {shape}; images must be uint8 (N, H, W) or (N, H, W, 3), 0..255.")
    if 0 in pixels.shape[1:3]:
        raise GeneraError(f"{what} holds images of {pixels.shape[1]}x{pixels.shape[2]} pixels; they need at least 1x1.")
    return pixels[..., 0] if pixels.ndim == 4 and pixels.shape[3] == 1 else pixels


def _npz_labels(labels: NDArray | None, count: int, path: Path) -> NDArray[np.int64] | None:
    if labels is None:
        return None
    labels = labels.reshape(-1)
    if len(labels) != count or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise GeneraError(
            f"{path} has {len(labels)} labels of {labels.dtype} for {count} images; it needs one integer >= 0 each."
        )
    return labels.astype(np.int64)


def _npz_names(names: NDArray, path: Path) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise GeneraError(f"{path}: label_names is {names.dtype} with {names.ndim} axes; a list of names was expected.")
    try:
        texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()]
        "".join(texts).encode()
    except ValueError:  # bytes that are not UTF-8, halves of surrogate pairs, and numbers beyond Unicode
        raise GeneraError(f"{path}: label_names are not whole Unicode characters; write them again.") from None
    return tuple(texts)


def hub(spec: str, rest: str) -> ImageSource:
    """NAME[:CONFIG] of the Hugging Face hub: its image column, and its class label column if it has one."""
    try:
        import datasets
    except ImportError:
        raise GeneraError(f"{spec} needs the Hugging Face library: pip install 'genera[data]'.") from None
    try:
        name, _, config = rest.partition(":")
        opened = datasets.load_dataset(name, config or None)
    except Exception as error:  # hub, network and file errors share no base class
        raise GeneraError(f"{spec} cannot be loaded ({reason(error)}).") from None
    parts, classes, marks = [], (), []
    for name, rows in opened.items():
        if name not in SPLIT_NAMES:
            continue
        columns = {column for column, kind in rows.features.items() if isinstance(kind, datasets.Image)}
        if not columns:
            raise GeneraError(f"{spec} has no column of images; its columns are {', '.join(rows.features)}.")
        image = min(columns)
        label = next((c for c, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel)), None)
        if label is not None:
            classes = tuple(rows.features[label].names)
        parts.append(_hub_images(spec, name, rows.cast_column(image, datasets.Image(decode=False)), image, label))
        marks.append((name, rows._fingerprint))
    if not any(part.split == "train" for part in parts):
        raise GeneraError(f"{spec} has no training split; its splits are {', '.join(opened)}.")
    return ImageSource(spec, training_first(parts), classes, hash_text(repr((rest, marks))))


def _hub_images(spec: str, split: str, rows: Any, image: str, label: str | None) -> EncodedImages:
    def content(row: int) -> bytes:
        stored = rows[row][image]
        return stored["bytes"] if stored["bytes"] is not None else Path(stored["path"]).read_bytes()

    labels = None if label is None else np.asarray(rows[label], np.int64)
    return EncodedImages(SPLIT_NAMES[split], len(rows), content, lambda row: f"{split} image {row} of {spec}", labels)


# -- small parts ------------------------------------------------------------------------------------------------------


def existing_folder(rest: str) -> Path:
    folder = Path(rest).expanduser()
    with reading(folder):
        if folder.is_dir():
            return folder
        raise GeneraError(f"{folder} is not a folder.") if folder.exists() else missing(folder, "folder")


def training_first(parts: Iterable[Any]) -> list[Part]:
    return sorted(parts, key=lambda part: part.split != "train")


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hash_files(files: Sequence[Path], about: str = "") -> str:
    digest = hashlib.sha256(about.encode())
    for file in files:
        digest.update(f"{file.name} {file_hash(file)}\n".encode())
    return digest.hexdigest()
