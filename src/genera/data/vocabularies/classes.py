"""Names of labels 0, 1, …: classes of labelled items, languages of texts. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from genera.errors import GeneraError, unknown
from genera.files import read_json, write_json
from genera.numerals import integer


@dataclass(frozen=True)
class ClassNames:
    """Names of classes; the label of a class is its index."""

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def label(self, name: str, kind: str = "class") -> int:
        """The label of a name; `kind` is used in messages. Raises GeneraError for an unknown name."""
        if name not in self.names:
            raise unknown(kind, name, self.names)
        return self.names.index(name)

    def save(self, folder: Path, file: str = "classes.json") -> None:
        write_json(folder / file, list(self.names))

    @classmethod
    def load(cls, folder: Path, file: str = "classes.json") -> Self:
        """Raises GeneraError when the file is missing or not a list of names."""
        names = read_json(folder / file)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise GeneraError(f"{folder / file} is damaged (a list of names was expected).")
        return cls(tuple(names))


def label_order(names: Iterable[str]) -> list[str]:
    """Integers by value, then other names alphabetically: "0", "1", …, "10", "negative", "positive"."""

    def key(name: str) -> tuple[bool, int, str]:
        number = integer(name)
        return number is None, number or 0, name

    return sorted(names, key=key)
