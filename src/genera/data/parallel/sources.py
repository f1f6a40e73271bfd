"""Texts with their translations: `pairs:FILE.src,FILE.tgt`, and two columns of `tsv:PATH` or `jsonl:PATH`. No torch.

In `pairs:A,B`, line i of B is the translation of line i of A. Each side is a file, a glob or a folder, plain or gzip;
both sides have the same number of files, with splits as in `genera.data.splits`. Unless an option gives it, the
language of a side is the extension of its files (`train.de.gz` → de). " + " joins several sources, so a corpus may have
many languages.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple, Protocol

from genera.data import registry
from genera.data.files import hash_files, read_lines, split_files
from genera.data.splits import SPLIT_NAMES, assign, in_order
from genera.data.text.formats import FileSource, open_jsonl, open_tsv
from genera.data.text.pairs import halves
from genera.data.text.sources import JOINT
from genera.errors import GeneraError

SOURCE, TARGET = "src", "tgt"
"""Default languages of the two sides."""
_COLUMN = "column:"
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)?")


class ParallelItem(NamedTuple):
    split: str
    source: str
    target: str
    source_language: str
    target_language: str


class Columns(NamedTuple):
    """The columns of `ParallelConfig` with texts and languages. A source ignores those that it does not need."""

    source: str = "0"
    target: str = "1"
    source_language: str | None = None
    target_language: str | None = None


class ParallelSource(Protocol):
    """Pairs in a fixed order; can be iterated repeatedly."""

    @property
    def spec(self) -> str: ...

    @property
    def splits(self) -> tuple[str, ...]:
        """The named splits of the source; () if all pairs are "train"."""
        ...

    def items(self) -> Iterator[ParallelItem]:
        """All pairs, texts stripped, nothing dropped or held out. Raises GeneraError with the file and line."""
        ...

    def fingerprint(self) -> str:
        """A hash of everything that the pairs depend on."""
        ...


@dataclass(frozen=True)
class ParallelTexts:
    """One or several concatenated sources, with splits."""

    spec: str
    parts: tuple[ParallelSource, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits named by any of the sources."""
        return in_order(chain.from_iterable(part.splits or ("train",) for part in self.parts))

    def items(self, whole: bool = False) -> Iterator[ParallelItem]:
        """All pairs; splits that a source does not name are held out of its training pairs, keeping copies of a source
        text together. whole: nothing is held out; see `genera.data.splits`."""
        return chain.from_iterable(
            assign(part.items(), self.splits if whole else part.splits, _content, part.spec, whole)
            for part in self.parts
        )

    def fingerprint(self) -> str:
        return hashlib.sha256(repr([part.fingerprint() for part in self.parts]).encode()).hexdigest()


def _content(item: ParallelItem) -> bytes:
    return item.source.encode()


def parse_parallel(spec: str, columns: Columns = Columns()) -> ParallelTexts:  # noqa: B008  (immutable)
    """The parallel texts named by `spec` ("scheme:rest", several joined by " + "). Raises GeneraError when one does not
    exist."""
    parts = []
    for part in map(str.strip, spec.split(JOINT)):
        scheme, rest = registry.split_spec(part, "parallel")
        parts.append(registry.opener(scheme, "parallel")(part, rest, columns))
    return ParallelTexts(spec, tuple(parts))


# -- two files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LinePairs:
    """Files whose lines correspond."""

    spec: str
    files: tuple[tuple[str, Path, Path], ...]
    """(split, source file, target file), training files first"""
    languages: tuple[str, str]

    @property
    def splits(self) -> tuple[str, ...]:
        return in_order(split for split, _, _ in self.files)

    def items(self) -> Iterator[ParallelItem]:
        for split, *sides in self.files:
            source, target = map(read_lines, sides)
            count = 0
            for count, (one, other) in enumerate(zip_longest(source, target), start=1):
                if one is None or other is None:
                    longer = count + sum(1 for _ in chain(source, target))
                    lines = (count - 1, longer) if one is None else (longer, count - 1)
                    raise GeneraError(
                        f"{sides[0]} has {lines[0]:,} lines and {sides[1]} has {lines[1]:,}; line i of one must be "
                        "the translation of line i of the other."
                    )
                yield ParallelItem(split, one.text.strip(), other.text.strip(), *self.languages)

    def fingerprint(self) -> str:
        files = [(f"{split} {i}", side) for split, *sides in self.files for i, side in enumerate(sides)]
        return hash_files(("lines", self.languages), files)


def open_pairs(spec: str, rest: str, columns: Columns) -> LinePairs:
    """Raises GeneraError for a missing side, for sides with different splits, and for one language on both sides."""
    names = [name.strip() for name in rest.split(",")]
    if len(names) != 2 or "" in names:
        raise GeneraError(
            f"{spec} does not name two sides; write pairs:FILE.de,FILE.en, the source and its translation."
        )
    source, target = map(split_files, names)
    if [split for split, _ in source] != [split for split, _ in target]:
        counts = [", ".join(file.name for _, file in side) for side in (source, target)]
        raise GeneraError(f"{spec}: the two sides need matching files ({counts[0]}; {counts[1]}).")
    languages = tuple(
        _given(spec, given) or _language([file for _, file in side]) or default
        for given, side, default in (
            (columns.source_language, source, SOURCE),
            (columns.target_language, target, TARGET),
        )
    )
    if len(set(languages)) == 1:
        raise GeneraError(
            f"{spec}: both sides have the language {languages[0]!r}; give --source-language and --target-language."
        )
    files = tuple((split, one, other) for (split, one), (_, other) in zip(source, target, strict=True))
    return LinePairs(spec, files, (languages[0], languages[1]))


def _given(spec: str, language: str | None) -> str | None:
    if language is not None and language.startswith(_COLUMN):
        raise GeneraError(f"{spec} has no columns; {language} is for tsv: and jsonl:.")
    return language


def _language(files: list[Path]) -> str | None:
    """The extension shared by all files, if it looks like a language tag: `train.de.gz`, `dev.de.txt` → de."""
    endings = set()
    for file in files:
        parts = file.name.removesuffix(".gz").removesuffix(".txt").split(".")
        named = [part for part in parts[1:] if part.lower() not in SPLIT_NAMES]
        endings.add(named[-1] if named else "")
    ending = endings.pop()
    return ending if not endings and _LANGUAGE.fullmatch(ending) else None


# -- two columns ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ColumnPairs:
    """Rows of a TSV or JSONL file with both texts and, optionally, the language of one of them."""

    rows: FileSource
    source_language: str | None
    """None if a column of the row gives it; likewise for the target"""
    target_language: str | None

    @property
    def spec(self) -> str:
        return self.rows.spec

    @property
    def splits(self) -> tuple[str, ...]:
        return self.rows.splits

    def items(self) -> Iterator[ParallelItem]:
        for split, text, label in self.rows.items():
            languages = self.source_language or label or "", self.target_language or label or ""
            yield ParallelItem(split, *halves(text), *languages)

    def fingerprint(self) -> str:
        what = (self.rows.fingerprint(), self.source_language, self.target_language)
        return hashlib.sha256(repr(what).encode()).hexdigest()


def open_tsv_pairs(spec: str, rest: str, columns: Columns) -> ColumnPairs:
    texts, label, languages = _columns(spec, columns)
    return ColumnPairs(open_tsv(spec, rest, texts, label), *languages)


def open_jsonl_pairs(spec: str, rest: str, columns: Columns) -> ColumnPairs:
    texts, label, languages = _columns(spec, columns)
    return ColumnPairs(open_jsonl(spec, rest, texts, label), *languages)


def _columns(spec: str, columns: Columns) -> tuple[str, str | None, tuple[str | None, str | None]]:
    """Columns of the texts, column of a language or None, and the fixed languages (None for the one in the column)."""
    given = columns.source_language or SOURCE, columns.target_language or TARGET
    named = [language.removeprefix(_COLUMN) for language in given if language.startswith(_COLUMN)]
    if len(named) > 1:
        raise GeneraError(f"{spec}: only one of the two languages can be in a column; give the other by its tag.")
    fixed = [None if language.startswith(_COLUMN) else language for language in given]
    return f"{columns.source},{columns.target}", named[0] if named else None, (fixed[0], fixed[1])
