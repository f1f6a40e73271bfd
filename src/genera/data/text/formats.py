"""Texts in files: `text:PATH`, `tsv:PATH` and `jsonl:PATH`, plain or gzip. No torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from genera.data.files import Line, hash_files, label_of_file, lines_before, read_lines, read_range, split_files
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

    def pieces(self, size: int) -> list["FilePiece"]:
        """The source in pieces of about `size` bytes, in order: runs of small files, parts of large ones. A compressed
        file is not cut."""
        pieces: list[list[Extent]] = []
        room = 0
        for split, path in self.files:
            total = path.stat().st_size
            cut = total > size and path.suffix != ".gz"
            for start in range(0, total, size) if cut else (0,):
                length = min(size, total - start) if cut else total
                if not pieces or length > room:
                    pieces.append([])
                    room = size
                pieces[-1].append(Extent(split, path, start, start + length if cut else None))
                room -= length
        return [FilePiece(self, tuple(extents)) for extents in pieces]

    def lines_in(self, extent: "Extent", before: int = 0) -> Iterator[Line]:
        """The lines of an extent, of which `before` come before it in the file; with the header, if rows have one."""
        if extent.stop is None:
            return read_lines(extent.path)
        lines = read_range(extent.path, extent.start, extent.stop, before)
        header = self.read is read_tsv and has_header(self.text_column, self.label_column)
        return chain(islice(read_lines(extent.path), 1), lines) if extent.start and header else lines

    def fingerprint(self) -> str:
        how = (self.read.__name__, self.text_column, self.label_column)
        return hash_files(how, self.files, names=self.label_column == "file")


class Extent(NamedTuple):
    """A file, or the lines of it that begin in a range of bytes."""

    split: str
    path: Path
    start: int
    stop: int | None
    """None: the whole file"""


@dataclass(frozen=True)
class FilePiece:
    """Some of the lines of a source."""

    source: FileSource
    extents: tuple[Extent, ...]

    def items(self) -> Iterator[Item]:
        for extent in self.extents:
            try:
                yield from self._read(extent)
            except GeneraError:
                if extent.start:  # name the line by its number in the whole file
                    for _ in self._read(extent, lines_before(extent.path, extent.start)):
                        pass
                raise

    def _read(self, extent: Extent, before: int = 0) -> Iterator[Item]:
        source = self.source
        lines = source.lines_in(extent, before)
        for text, label in source.read(lines, source.text_column, source.label_column):
            yield Item(extent.split, text.strip(), label)


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
    columns = _columns(text_column, label_column)
    header: list[str] = []
    if has_header(text_column, label_column):
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


def _columns(text_column: str | None, label_column: str | None) -> list[str]:
    return [*columns_of(text_column or "0"), *([] if label_column is None else [label_column])]


def has_header(text_column: str | None, label_column: str | None) -> bool:
    """Whether the first row of a TSV file has names of columns: a column is given by name."""
    return any(integer(column) is None for column in _columns(text_column, label_column))


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
