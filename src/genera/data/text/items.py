"""What a source of texts gives. No torch."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Item(NamedTuple):
    split: str
    text: str
    label: str | None


class Source(Protocol):
    """Items in a fixed order, as often as asked. A source of a plug-in has these members and no base class."""

    @property
    def spec(self) -> str:
        """As the user wrote it."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the source names, of train, valid and test; () where all items are of "train"."""
        ...

    def items(self) -> Iterator[Item]:
        """All items, texts stripped, nothing dropped or held out. Raises GeneraError naming file and line."""
        ...

    def fingerprint(self) -> str:
        """A hash of everything that the items depend on."""
        ...
