"""Opens the text sources listed in `genera.data.registry` and sorts their items into splits. No torch.

" + " joins several sources, each with its own splits: `world:captions + text:PATH`.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from genera.data import registry
from genera.data.splits import assign, in_order
from genera.data.text.items import Item, Source

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
