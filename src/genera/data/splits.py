"""Training, validation and test splits, by the names of files or by the content of items. No torch.

A source has *named splits* when its files, folders or parts say so (`ptb.train.txt.gz`, `test/`). A split that
it does not name is held out of its training items by a hash of their content, so that copies of an item always share a
split: 2 % (5 % for images), at most 5,000 distinct items. A source without named splits can also be opened as the
single split `WHOLE`, with nothing held out.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol, Self, TypeVar

from genera.errors import GeneraError

SPLITS = ("train", "valid", "test")
WHOLE = "all"
"""The single split of a source without named splits when nothing is held out."""
HELD_OUT_SHARE = 0.02
HELD_OUT_MOST = 5_000

SPLIT_NAMES = {"train": "train", "training": "train", "test": "test"} | dict.fromkeys(
    ("valid", "val", "validation", "dev"), "valid"
)


class _Placed(Protocol):
    """A named tuple with a field `split`."""

    @property
    def split(self) -> str: ...

    def _replace(self, *, split: str) -> Self: ...


T = TypeVar("T", bound=_Placed)


def split_named(name: str) -> str | None:
    """The split that a part of `name` names, or None."""
    parts = re.split(r"[^a-z0-9]+", name.lower())
    return next((SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES), None)


def in_order(splits: Iterable[str]) -> tuple[str, ...]:
    """The named splits of a source, training first; () if it has only training data."""
    distinct = set(splits)
    return () if distinct <= {"train"} else tuple(split for split in SPLITS if split in distinct)


def assign(
    items: Iterable[T],
    named: Collection[str],
    content: Callable[[T], bytes],
    spec: str,
    whole: bool = False,
    held_out: "HeldOut | None" = None,
) -> Iterator[T]:
    """The items of a source with their final splits.

    named: the named splits of the source; () if all its items are "train".
    whole: hold nothing out; without named splits, all items form the split `WHOLE`.
    held_out: what is held out of the whole source, of which `items` are a part.
    Raises GeneraError when the named splits lack training data.
    """
    if whole:
        yield from items if named else (item._replace(split=WHOLE) for item in items)
        return
    absent = absent_splits(named, spec)
    if not absent:
        yield from items
        return
    held_out = held_out or HeldOut(absent)
    for item in items:
        yield item._replace(split=held_out.split(content(item))) if item.split == "train" else item


def absent_splits(named: Collection[str], spec: str) -> tuple[str, ...]:
    """The splits to hold out of the training data. Raises GeneraError when the named splits lack training data."""
    if named and "train" not in named:
        raise GeneraError(f"{spec} has {' and '.join(sorted(named))} data but no training data.")
    return tuple(split for split in SPLITS if split not in (named or ("train",)))


class HeldOut:
    """Assigns training items to the missing splits, by a hash of their content."""

    def __init__(self, absent: Iterable[str], share: float = HELD_OUT_SHARE) -> None:
        """share: fraction of the training items that each absent split gets."""
        self._held: dict[str, set[int]] = {split: set() for split in absent}
        self._share, self._most = share, HELD_OUT_MOST

    def split(self, content: bytes) -> str:
        key = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
        place = int((key >> 11) / 2**53 / self._share)  # 0 and 1 are the two shares that may be held out
        split = SPLITS[place + 1] if place < 2 else "train"
        if split not in self._held:
            return "train"
        held = self._held[split]
        if key in held:
            return split
        if len(held) < self._most:
            held.add(key)
            return split
        return "train"

    @property
    def full(self) -> bool:
        """Whether no further item can be held out."""
        return all(len(held) >= self._most for held in self._held.values())

    def close(self) -> None:
        """Hold out no further items, so that items can be placed in any order from now on."""
        self._most = 0
