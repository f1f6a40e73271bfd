"""The interface of text sources. No torch."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Item(NamedTuple):
    split: str
    text: str
    label: str | None


class Source(Protocol):
    """Items in a fixed order; can be iterated repeatedly. A plug-in source needs these members but no base class."""

    @property
    def spec(self) -> str:
        """As the user wrote it."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """The named splits of the source, among train, valid and test; () if all items are "train"."""
        ...

    def items(self) -> Iterator[Item]:
        """All items, texts stripped, nothing dropped or held out. Raises GeneraError with the file and line."""
        ...

    def fingerprint(self) -> str:
        """A hash of everything that the items depend on."""
        ...


class Piece(Protocol):
    """A part of a source that can be read alone."""

    def items(self) -> Iterator[Item]: ...


@runtime_checkable
class Divisible(Protocol):
    """A source that can be read in pieces, by several processes; optional."""

    def pieces(self, size: int) -> Sequence[Piece]:
        """Pieces of about `size` bytes, whose items one after the other are those of the source."""
        ...
