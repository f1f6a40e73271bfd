"""Images of one shape on disk: a memory-mapped uint8 cache, keyed by a hash of everything the images depend on."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.console import progress_bar
from genera.data.cache import build_once, cache_folder
from genera.data.images.config import ImageConfig
from genera.data.images.parts import ImageSource
from genera.data.images.pixels import Form
from genera.data.splits import SPLITS, WHOLE, HeldOut, absent_splits
from genera.data.streams import Draw
from genera.errors import GeneraError

HELD_OUT_SHARE = 0.05
"""Share of the training images held out for each missing split."""

_VERSION = "2"  # of the cached files; increase it to invalidate older folders
_CHUNK = 512


class ImageStore:
    """One split in the cache: (N, C, side, side) uint8 and (N,) labels, read from disk row by row."""

    def __init__(self, folder: Path, split: str, form: Form) -> None:
        """Raises GeneraError when a file is missing or truncated."""
        self.form = form
        self.pixels: NDArray[np.uint8] = _opened(folder / f"{split}.images.npy")
        labels = folder / f"{split}.labels.npy"
        self.labels: NDArray[np.int64] | None = _opened(labels) if labels.exists() else None

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, rows: slice | NDArray[np.int64] = slice(None)) -> Tensor:
        """(B, C, S, S) float32 in [-1, 1]: central crops, as used outside training."""
        first = (self.form.side - self.form.size) // 2
        middle = slice(first, first + self.form.size)
        return to_float(self.pixels[rows][..., middle, middle])

    def cut(self, rows: NDArray[np.int64], top: NDArray[np.int64], left: NDArray[np.int64]) -> Tensor:
        """(B, C, S, S) float32 in [-1, 1]: the crop of each image at its (top, left)."""
        window = (self.form.size, self.form.size)
        places = np.lib.stride_tricks.sliding_window_view(self.pixels, window, axis=(2, 3))
        return to_float(places[rows, :, top, left])


def augmented(store: ImageStore, draw: Draw, key: tuple[int, ...], flip: bool, crop: bool) -> Tensor:
    """(B, C, S, S) in [-1, 1]: this rank's rows, flipped at random (`flip`), with random (`crop`) or central crops.

    Random numbers are drawn for the global batch from `key`, so they depend neither on the number of ranks or
    accumulated parts nor on interruptions.
    """
    rows = draw.mine
    random = np.random.default_rng([*key, 1])
    top, left, mirror = random.random((3, len(draw.rows)))[:, draw.part]
    if crop and store.form.side > store.form.size:
        room = store.form.side - store.form.size + 1
        images = store.cut(rows, (top * room).astype(np.int64), (left * room).astype(np.int64))
    else:
        images = store.images(rows)
    if flip:
        images = torch.where(torch.from_numpy(mirror < 0.5)[:, None, None, None], images.flip(3), images)
    return images


def to_float(pixels: NDArray[np.uint8]) -> Tensor:
    """0..255 → float32 in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32)).div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] → uint8 0..255, rounded and clipped; the exact inverse of `to_float`."""
    return images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def stored(source: ImageSource, config: ImageConfig, whole: bool = False) -> tuple[dict[str, ImageStore], str]:
    """The splits of `source` in the shape given by `config`, built now unless cached, and their cache key.

    whole: nothing is held out, and images of a source without named splits form the split `WHOLE`.
    """
    form = Form(config.image_size, config.channels, config.crop)
    limit = None if whole else config.limit
    key = hashlib.sha256(repr((_VERSION, source.fingerprint, form, limit, whole)).encode()).hexdigest()[:20]
    folder = cache_folder() / f"images-{key}"
    build_once(folder, lambda temporary: _build(temporary, source, form, limit, whole))
    splits = (source.splits or (WHOLE,)) if whole else SPLITS
    return {split: ImageStore(folder, split, form) for split in splits}, key


def counts(stores: Mapping[str, ImageStore]) -> str:
    return ", ".join(f"{len(store):,} {split}" for split, store in stores.items())


def shape(config: ImageConfig) -> str:
    return f"{config.image_size}x{config.image_size} {'RGB' if config.channels == 3 else 'grey'}"


def _build(folder: Path, source: ImageSource, form: Form, limit: int | None, whole: bool) -> None:
    """Write SPLIT.images.npy and SPLIT.labels.npy into `folder`."""
    places = _assigned(source, whole)
    if not whole:
        if not len(places["train"]):
            raise GeneraError(f"{source.spec} has no training images.")
        places["train"] = places["train"][:limit]
    with progress_bar() as bar:
        task = bar.add_task("preparing images", total=sum(map(len, places.values())))
        for split, place in places.items():
            shape = (len(place), form.channels, form.side, form.side)
            images = np.lib.format.open_memmap(folder / f"{split}.images.npy", "w+", np.uint8, shape)
            labels = np.zeros(len(place), np.int64)
            for first in range(0, len(place), _CHUNK):
                chunk = place[first : first + _CHUNK]
                for number in np.unique(chunk[:, 0]):
                    part, of_part = source.parts[number], np.flatnonzero(chunk[:, 0] == number)
                    images[first + of_part] = part.read(chunk[of_part, 1], form)
                    if part.labels is not None:
                        labels[first + of_part] = part.labels[chunk[of_part, 1]]
                bar.advance(task, len(chunk))
            images.flush()
            if source.classes:
                np.save(folder / f"{split}.labels.npy", labels)


def _assigned(source: ImageSource, whole: bool) -> dict[str, NDArray[np.int64]]:
    """split → (N, 2): part and row of each image. Images from files are shuffled, so any prefix is a random sample."""
    absent = () if whole else absent_splits(source.splits, source.spec)
    held_out = HeldOut(absent, HELD_OUT_SHARE)
    rows_of: dict[str, list[tuple[int, int]]] = {
        split: [] for split in ((source.splits or (WHOLE,)) if whole else SPLITS)
    }
    for number, part in enumerate(source.parts):
        for row in range(len(part)):
            split = WHOLE if whole and not source.splits else part.split
            if split == "train" and absent:
                split = held_out.split(part.content(row))
            rows_of[split].append((number, row))
    places = {split: np.array(rows, np.int64).reshape(-1, 2) for split, rows in rows_of.items()}
    if source.world is None:
        places = {split: np.random.default_rng(0).permutation(rows) for split, rows in places.items()}
    return places


def _opened(path: Path) -> NDArray:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError):
        raise GeneraError(f"{path} is damaged; delete the folder {path.parent}, and it will be rebuilt.") from None
