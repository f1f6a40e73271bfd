"""Files of a source: resolved from a path, glob or folder, sorted into splits, read line by line. No torch."""

import difflib
import glob
import gzip
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from genera.data.cache import file_hash
from genera.data.splits import SPLIT_NAMES, SPLITS, split_named
from genera.errors import GeneraError, unknown
from genera.files import GZIP_ERRORS, gzip_problem, open_file, reading

LONGEST_LINE = 1 << 24
"""Longest line, in bytes, that is read; no model reads a text of this length."""


class Line(NamedTuple):
    where: str  # file:number, for messages
    text: str


def split_files(rest: str) -> tuple[tuple[str, Path], ...]:
    """(split, file) of the files at `rest` (a file, a glob or a folder), training files first.

    A file whose name contains no split is training data; so are all files if they all belong to one split. Raises
    GeneraError when there are none.
    """
    files = find_files(rest)
    splits = [split_named(file.name) or "train" for file in files]
    if len(set(splits)) == 1:
        splits = ["train"] * len(files)
    return tuple(sorted(zip(splits, files, strict=True), key=lambda pair: SPLITS.index(pair[0])))


def find_files(rest: str) -> list[Path]:
    """The files at `rest` (a file, a glob or a folder), sorted by name. Raises GeneraError when there are none."""
    with reading(rest):
        return named(_find(rest))


def _find(rest: str) -> list[Path]:
    path = Path(rest).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if not files:
            raise GeneraError(f"the folder {path} has no files.")
    elif path.exists():
        open_file(path).close()  # raises an error for a pipe or a device
        files = [path]
    elif glob.has_magic(rest):
        files = sorted(Path(name) for name in glob.glob(str(path)) if Path(name).is_file())
        if not files:
            raise GeneraError(f"no file matches {rest}; check the pattern and quote it in the shell.")
    else:
        raise missing(path, "file")
    return files


def named(files: list[Path]) -> list[Path]:
    """`files`. Raises GeneraError for a name that is not UTF-8: messages, labels and reports could not contain it."""
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise GeneraError(f"the name of the file {str(file)!r} is not UTF-8; rename it.") from None
    return files


def missing(path: Path, kind: str) -> GeneraError:
    """The error for a path that does not exist; suggests similar names of its folder. kind: file or folder."""
    if path.is_symlink():
        return GeneraError(f"{path} is a link to {path.readlink()}, which does not exist or leads back to the link.")
    siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    if not difflib.get_close_matches(path.name, siblings):
        return GeneraError(f"{'the folder ' if kind == 'folder' else ''}{path} does not exist; check the path.")
    return unknown(f"{kind} in {path.parent}:", path.name, siblings)


def label_of_file(path: Path) -> str:
    """`sentiment.train.0.txt.gz` → `sentiment.0`: the name without its extensions and split."""
    stem = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    return ".".join(part for part in stem.split(".") if part.lower() not in SPLIT_NAMES) or stem


def hash_files(how: object, files: Iterable[tuple[str, Path]], *, names: bool = False) -> str:
    """A hash of `how` (the reading options) and of each file's split and content; with `names`, also of its name."""
    digest = hashlib.sha256(repr(how).encode())
    for split, path in files:
        digest.update(split.encode())
        if names:
            digest.update(path.name.encode())
        digest.update(file_hash(path).encode())
    return digest.hexdigest()


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a UTF-8 file, plain or .gz, one at a time. Raises GeneraError when it is empty or damaged, and for a
    line of more than LONGEST_LINE bytes."""
    count = 0
    with open_file(path) as raw:
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
        try:
            for line in lines_of(file, str(path)):
                count += 1
                yield line
        except GZIP_ERRORS:
            problem = gzip_problem(raw)
            raise GeneraError(f"{path} {problem.replace('truncated', f'truncated after line {count}')}.") from None
    if not count:
        raise GeneraError(f"{path} is empty; one text per line was expected.")


class _Range:
    """The lines of an open file that begin in a range of bytes."""

    def __init__(self, file: IO[bytes], start: int, stop: int) -> None:
        self.file, self.stop, self.place = file, stop, start
        if start:  # the line that has the byte before belongs to the range before
            file.seek(start - 1)
            self.place = start - 1 + len(file.readline())

    def readline(self, most: int) -> bytes:
        line = self.file.readline(most) if self.place < self.stop else b""
        self.place += len(line)
        return line


def read_range(path: Path, start: int, stop: int, before: int = 0) -> Iterator[Line]:
    """The lines of a plain file that begin at the bytes start … stop - 1. before: number of lines before them."""
    with open_file(path) as file:
        yield from lines_of(cast(IO[bytes], _Range(file, start, stop)), str(path), before, marked=not start)


def lines_before(path: Path, place: int) -> int:
    """Number of lines of a plain file that begin before a byte."""
    with open_file(path) as file:
        limited = _Range(file, 0, place)
        return sum(1 for _ in iter(lambda: limited.readline(-1), b""))


def lines_of(file: IO[bytes], name: str, number: int = 0, *, marked: bool = True) -> Iterator[Line]:
    """The lines of an open file or stream with their numbers, one at a time and each bounded in length.

    number: of lines before. marked: whether the first line may begin with a byte-order mark.
    """
    first = number + 1 if marked else 0
    while content := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(content) > LONGEST_LINE:
            raise GeneraError(
                f"{name}:{number} is longer than {LONGEST_LINE >> 20} MB; one text per line was expected."
            )
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise GeneraError(
                f"{name}:{number} is not UTF-8; convert the file, for example with: iconv -f LATIN1 -t UTF-8."
            ) from None
        yield Line(f"{name}:{number}", text.removeprefix("\ufeff") if number == first else text)
