"""Files of a source: resolved from a path, glob or folder, sorted into splits, read line by line. No torch."""

import difflib
import glob
import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from genera.data.cache import file_hash
from genera.data.splits import SPLIT_NAMES, SPLITS, split_named
from genera.errors import GeneraError, unknown


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
    path = Path(rest).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if not files:
            raise GeneraError(f"the folder {path} has no files.")
    elif path.exists():
        files = [path]
    elif glob.has_magic(rest):
        files = sorted(Path(name) for name in glob.glob(str(path)) if Path(name).is_file())
        if not files:
            raise GeneraError(f"no file matches {rest}; check the pattern and quote it in the shell.")
    else:
        siblings = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        if not difflib.get_close_matches(path.name, siblings):
            raise GeneraError(f"{path} does not exist; check the path.")
        raise unknown(f"file in {path.parent}:", path.name, siblings)
    return files


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


def open_file(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise GeneraError(f"cannot read {path}: {error.strerror}.") from None


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a UTF-8 file, plain or .gz, one at a time. Raises GeneraError when it is empty or damaged."""
    count = 0
    with open_file(path) as raw:
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
        try:
            for count, line in enumerate(file, start=1):
                text = line.decode()
                yield Line(f"{path}:{count}", text.removeprefix("\ufeff") if count == 1 else text)
        except UnicodeDecodeError:
            raise GeneraError(
                f"{path}:{count} is not UTF-8; convert the file, for example with: iconv -f LATIN1 -t UTF-8."
            ) from None
        except (EOFError, zlib.error):
            raise GeneraError(f"{path} is damaged or truncated after line {count}; fetch it again.") from None
        except gzip.BadGzipFile:
            raise GeneraError(f"{path} is not a gzip file; remove .gz from its name or fetch it again.") from None
    if not count:
        raise GeneraError(f"{path} is empty; one text per line was expected.")
