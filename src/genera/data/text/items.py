"""The interface of text sources. No torch."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


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
