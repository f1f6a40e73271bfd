"""Texts in files: `text:PATH`, `tsv:PATH` and `jsonl:PATH`, plain or gzip. No torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genera.data.files import Line, hash_files, label_of_file, read_lines, split_files
from genera.data.splits import in_order
from genera.data.text.items import Item
from genera.data.text.pairs import columns_of, joined
from genera.errors import GeneraError, unknown
from genera.files import parse_json
from genera.numerals import integer

Reader = Callable[[Iterator[Line], str | None, str | None], Iterator[tuple[str, str | None]]]


@dataclass(frozen=True)
class FileSource:
    spec: str
    files: tuple[tuple[str, Path], ...]
    """(split, file), training files first"""
    read: Reader
    text_column: str | None
    label_column: str | None

    @property
    def splits(self) -> tuple[str, ...]:
        return in_order(dict(self.files))

    def items(self) -> Iterator[Item]:
        for split, path in self.files:
            for text, label in self.read(read_lines(path), self.text_column, self.label_column):
                yield Item(split, text.strip(), label)

    def fingerprint(self) -> str:
        how = (self.read.__name__, self.text_column, self.label_column)
        return hash_files(how, self.files, names=self.label_column == "file")


def open_text(spec: str, rest: str, text_column: str | None, label_column: str | None) -> FileSource:
    return FileSource(spec, split_files(rest), read_text, text_column, label_column)


def open_tsv(spec: str, rest: str, text_column: str | None, label_column: str | None) -> FileSource:
    return FileSource(spec, split_files(rest), read_tsv, text_column, label_column)


def open_jsonl(spec: str, rest: str, text_column: str | None, label_column: str | None) -> FileSource:
    return FileSource(spec, split_files(rest), read_jsonl, text_column, label_column)


def read_text(
    lines: Iterator[Line], text_column: str | None, label_column: str | None
) -> Iterator[tuple[str, str | None]]:
    """One text per line. Its label is the first word of the line ("first") or comes from the file name ("file")."""
    if text_column is not None:
        raise GeneraError("a text: source has no columns; use tsv: or jsonl:, or omit --text-column.")
    if label_column not in (None, "file", "first"):
        raise GeneraError(
            "a text: source has no labels; use tsv: or jsonl:, or --label-column file (file names are labels) "
            "or first (each line begins with its label)."
        )
    for where, text in lines:
        if label_column is None or not text.strip():
            yield text, None
        elif label_column == "file":
            yield text, label_of_file(Path(where.rpartition(":")[0]))
        else:
            label, _, rest = text.strip().partition(" ")
            yield rest, label


def read_tsv(
    lines: Iterator[Line], text_column: str | None, label_column: str | None
) -> Iterator[tuple[str, str | None]]:
    """Tab-separated columns without quoting; two text columns form a pair. The first line is a header if and only if a
    column is given by name."""
    columns = [*columns_of(text_column or "0"), *([] if label_column is None else [label_column])]
    named = any(integer(column) is None for column in columns)
    header: list[str] = []
    if named:
        where, text = next(lines)
        header = [name.strip() for name in text.split("\t")]
        for column in columns:
            if column not in header and integer(column) is None:
                raise unknown(f"column in the header of {where.rpartition(':')[0]}:", column, header)
    numbers = [integer(column) for column in columns]
    places = [header.index(c) if number is None else number for c, number in zip(columns, numbers, strict=True)]
    for where, text in lines:
        if not text.strip():
            yield "", None
            continue
        row = text.rstrip("\r\n").split("\t")
        if max(places) >= len(row):
            raise GeneraError(f"{where} has {len(row)} columns; column {max(places)} (counting from 0) does not exist.")
        values = [row[place] for place in places]
        label = None if label_column is None else label_of(where, values.pop())
        yield joined(values), label


def read_jsonl(
    lines: Iterator[Line], text_column: str | None, label_column: str | None
) -> Iterator[tuple[str, str | None]]:
    """One JSON object per line; two text fields form a pair."""
    texts = columns_of(text_column or "text")
    for where, line in lines:
        if not line.strip():
            yield "", None
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            raise GeneraError(f"{where} is not JSON ({error}).") from None
        if not isinstance(record, dict):
            raise GeneraError(f"{where} is not a JSON object with a field {texts[0]!r}.")
        for name in [*texts, *([] if label_column is None else [label_column])]:
            if name not in record:
                raise unknown(f"field at {where}:", name, record)
        for field in texts:
            if not isinstance(record[field], str):
                raise GeneraError(f"{where}: the field {field!r} is not a string.")
        label = None if label_column is None or record[label_column] is None else str(record[label_column])
        yield (
            joined([record[field] for field in texts]),
            label_of(where, label or "") if label_column is not None else None,
        )


def label_of(where: str, label: str) -> str:
    if not label.strip():
        raise GeneraError(f"{where} has no label; with --label-column every row needs one.")
    return label.strip()
