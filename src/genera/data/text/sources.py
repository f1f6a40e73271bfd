"""Opens the text sources listed in `genera.data.registry` and sorts their items into splits. No torch.

" + " joins several sources, each with its own splits: `world:captions + text:PATH`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from genera.data import registry
from genera.data.splits import HeldOut, absent_splits, assign, in_order
from genera.data.text.items import Divisible, Item, Piece, Source

JOINT = " + "


@dataclass(frozen=True)
class TextSource:
    """One or several concatenated sources, with splits."""

    spec: str
    parts: tuple[Source, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits named by any of the sources."""
        return in_order(chain.from_iterable(part.splits or ("train",) for part in self.parts))

    @property
    def world(self) -> Any:
        """The world that the texts are drawn from, if they come from a single world; else None."""
        return getattr(self.parts[0], "world", None) if len(self.parts) == 1 else None

    def items(self, whole: bool = False) -> Iterator[Item]:
        """All items, texts stripped; splits that a source does not name are held out of its training texts.

        whole: nothing is held out, and texts of a source without named splits form the split `WHOLE`.
        """
        return chain.from_iterable(
            assign(part.items(), self.splits if whole else part.splits, _content, part.spec, whole)
            for part in self.parts
        )

    def pieces(self, size: int) -> list[tuple[int, Piece]]:
        """The source in pieces of about `size` bytes, each with the number of its part; for `items_of`."""
        return [
            (number, piece)
            for number, part in enumerate(self.parts)
            for piece in (part.pieces(size) if isinstance(part, Divisible) else [part])
        ]

    def held_out(self, whole: bool = False) -> tuple[HeldOut | None, ...]:
        """What is held out of each part. Reads a part until no further item can be."""
        return tuple(None if whole else self._held_out(part) for part in self.parts)

    def _held_out(self, part: Source) -> HeldOut | None:
        if not (absent := absent_splits(part.splits, part.spec)):
            return None
        held_out = HeldOut(absent)
        for item in part.items():
            if item.split == "train":
                held_out.split(_content(item))
            if held_out.full:
                break
        held_out.close()
        return held_out

    def items_of(
        self, number: int, piece: Piece, held_out: Sequence[HeldOut | None], whole: bool = False
    ) -> Iterator[Item]:
        """The items of a piece of part `number`, as `items` gives them."""
        part = self.parts[number]
        named = self.splits if whole else part.splits
        return assign(piece.items(), named, _content, part.spec, whole, held_out[number])

    def fingerprint(self) -> str:
        """A hash of everything that the items depend on."""
        return hashlib.sha256(repr([part.fingerprint() for part in self.parts]).encode()).hexdigest()


def parse_source(spec: str, text_column: str | None = None, label_column: str | None = None) -> TextSource:
    """The text source named by `spec` ("scheme:rest", several joined by " + "); the columns apply to all. Raises
    GeneraError when one does not exist."""
    parts = []
    for part in map(str.strip, spec.split(JOINT)):
        scheme, rest = registry.split_spec(part, "text")
        parts.append(registry.opener(scheme, "text")(part, rest, text_column, label_column))
    return TextSource(spec, tuple(parts))


def _content(item: Item) -> bytes:
    return item.text.encode()
