"""Where texts come from: `text:PATH`, `tsv:PATH`, `jsonl:PATH`, `glue:DIR`, `hub:NAME`, `world:NAME`, as a stream.

The navigation sources `r2r:DIR`, `ndh:DIR` and `hanna:DIR` are opened here too; their texts are their instructions.
Several sources are joined by a plus between blanks: `world:captions + text:PATH`.

PATH is a file, a glob or a folder (all its files), plain or gzip. Files whose names have the part `train`, `valid`
(`val`, `validation`, `dev`) or `test` (`ptb.train.txt.gz`, `dev.en.txt`) are those splits; when all files are of
one split, or say nothing, they are the training data. A split without a file is held out of the training files by
a hash of the text, so that copies of one text never straddle two splits: 2 % each, at most 5,000 distinct texts.
"""

import difflib
import glob
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple, Protocol, cast

from genera import worlds
from genera.data.cache import file_hash
from genera.data.pairs import columns_of, joined
from genera.data.schemes import split_spec
from genera.errors import GeneraError, unknown
from genera.worlds.grammar import World

SPLITS = ("train", "valid", "test")
JOINT = " + "
HELD_OUT_SHARE = 0.02
HELD_OUT_MOST = 5_000
WORLD_SIZES = {"train": 50_000, "valid": 2_000, "test": 2_000}

SPLIT_NAMES = {"train": "train", "training": "train", "test": "test"} | dict.fromkeys(
    ("valid", "val", "validation", "dev"), "valid"
)


class Item(NamedTuple):
    split: str
    text: str
    label: str | None


class Source(Protocol):
    """Items in a fixed order, as often as asked."""

    @property
    def spec(self) -> str:
        """As the user wrote it."""
        ...

    def items(self) -> Iterator[Item]:
        """All items of all splits, texts stripped, nothing dropped. Raises GeneraError naming file and line."""
        ...

    def fingerprint(self) -> str:
        """A hash of everything that the items depend on."""
        ...


def parse_source(spec: str, text_column: str | None = None, label_column: str | None = None) -> Source:
    """The source of texts that `spec` ("scheme:rest", several with " + " between them) names; the columns are those of
    each. Raises GeneraError when one does not exist."""
    if JOINT in spec:
        parts = (parse_source(part.strip(), text_column, label_column) for part in spec.split(JOINT))
        return JoinedSource(spec, tuple(parts))
    scheme, rest = split_spec(spec, "text")
    return _OPENERS[scheme](spec, rest, text_column, label_column)


@dataclass(frozen=True)
class JoinedSource:
    """Several sources, one after another; each keeps its own splits."""

    spec: str
    parts: tuple[Source, ...]

    def items(self) -> Iterator[Item]:
        return chain.from_iterable(part.items() for part in self.parts)

    def fingerprint(self) -> str:
        return hashlib.sha256(repr([part.fingerprint() for part in self.parts]).encode()).hexdigest()


# -- files ----------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    where: str  # file:number, for messages
    text: str


Reader = Callable[[Iterator[Line], str | None, str | None], Iterator[tuple[str, str | None]]]


@dataclass(frozen=True)
class FileSource:
    spec: str
    files: tuple[tuple[str, Path], ...]
    """(split, file), training files first"""
    read: Reader
    text_column: str | None
    label_column: str | None

    def items(self) -> Iterator[Item]:
        held_out = HeldOut([split for split in SPLITS if split not in dict(self.files)])
        for split, path in self.files:
            for text, label in self.read(read_lines(path), self.text_column, self.label_column):
                text = text.strip()
                yield Item(held_out.split(text.encode()) if split == "train" else split, text, label)

    def fingerprint(self) -> str:
        how = (self.read.__name__, self.text_column, self.label_column)
        return hash_files(how, self.files, names=self.label_column == "file")


def hash_files(how: object, files: Iterable[tuple[str, Path]], *, names: bool = False) -> str:
    """A hash of `how` they are read, and of each file's split and content, and with `names` of its name."""
    digest = hashlib.sha256(repr(how).encode())
    for split, path in files:
        digest.update(split.encode())
        if names:
            digest.update(path.name.encode())
        digest.update(file_hash(path).encode())
    return digest.hexdigest()


class HeldOut:
    """Sends training items to the splits that have no file of their own, by a hash of their content."""

    def __init__(self, absent: Iterable[str], share: float = HELD_OUT_SHARE) -> None:
        """share: of the items that each absent split gets."""
        self._held: dict[str, set[int]] = {split: set() for split in absent}
        self._share = share

    def split(self, content: bytes) -> str:
        key = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
        place = int((key >> 11) / 2**53 / self._share)  # 0 and 1 are the two shares that may be held out
        split = SPLITS[place + 1] if place < 2 else "train"
        if split not in self._held:
            return "train"
        held = self._held[split]
        if key in held or len(held) < HELD_OUT_MOST:
            held.add(key)
            return split
        return "train"


def _files(read: Reader, spec: str, rest: str, text_column: str | None, label_column: str | None) -> Source:
    return FileSource(spec, split_files(rest), read, text_column, label_column)


def split_files(rest: str) -> tuple[tuple[str, Path], ...]:
    """The files at `rest`, a file, a glob or a folder, with their splits, training files first. Raises GeneraError
    where there are none."""
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
            raise GeneraError(f"no file matches {rest}; check the pattern, and quote it in the shell.")
    else:
        siblings = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        if not difflib.get_close_matches(path.name, siblings):
            raise GeneraError(f"{path} does not exist; check the path.")
        raise unknown(f"file in {path.parent}:", path.name, siblings)
    splits = [_split_of(file) for file in files]
    if "train" not in splits:
        if len(set(splits)) > 1:
            raise GeneraError(f"{rest} has {' and '.join(sorted(set(splits)))} files but no training file.")
        splits = ["train"] * len(files)
    return tuple(sorted(zip(splits, files, strict=True), key=lambda pair: SPLITS.index(pair[0])))


def _split_of(path: Path) -> str:
    """The split that a part of the file's name says; "train" when none does."""
    return split_named(path.name) or "train"


def split_named(name: str) -> str | None:
    """The split that a part of `name` says."""
    parts = re.split(r"[^a-z0-9]+", name.lower())
    return next((SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES), None)


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
            raise GeneraError(f"{path} is damaged or cut short after line {count}; fetch it again.") from None
        except gzip.BadGzipFile:
            raise GeneraError(f"{path} is not a gzip file; drop the .gz from its name or fetch it again.") from None
    if not count:
        raise GeneraError(f"{path} is empty; one text a line was expected.")


# -- formats --------------------------------------------------------------------------------------------------------


def read_text(
    lines: Iterator[Line], text_column: str | None, label_column: str | None
) -> Iterator[tuple[str, str | None]]:
    """One text a line. Its label is the line's first word ("first"), or what its file's name says ("file")."""
    if text_column is not None:
        raise GeneraError("a text: source has no columns; use tsv: or jsonl:, or leave --text-column out.")
    if label_column not in (None, "file", "first"):
        raise GeneraError(
            "a text: source has no labels; use tsv: or jsonl:, or --label-column file (labels are the files' names) "
            "or first (each line begins with its label)."
        )
    for where, text in lines:
        if label_column is None or not text.strip():
            yield text, None
        elif label_column == "file":
            yield text, file_label(Path(where.rpartition(":")[0]))
        else:
            label, _, rest = text.strip().partition(" ")
            yield rest, label


def file_label(path: Path) -> str:
    """`sentiment.train.0.txt.gz` → `sentiment.0`: the name without its endings and without its split."""
    stem = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    return ".".join(part for part in stem.split(".") if part.lower() not in SPLIT_NAMES) or stem


def read_tsv(
    lines: Iterator[Line], text_column: str | None, label_column: str | None
) -> Iterator[tuple[str, str | None]]:
    """Columns between tabs, without quoting; two for the text make a pair. The first line is a header if and only if a
    column is given by name."""
    columns = [*columns_of(text_column or "0"), *([] if label_column is None else [label_column])]
    named = not all(column.isdigit() for column in columns)
    header: list[str] = []
    if named:
        where, text = next(lines)
        header = [name.strip() for name in text.split("\t")]
        for column in columns:
            if column not in header and not column.isdigit():
                raise unknown(f"column in the header of {where.rpartition(':')[0]}:", column, header)
    places = [int(column) if column.isdigit() else header.index(column) for column in columns]
    for where, text in lines:
        if not text.strip():
            yield "", None
            continue
        row = text.rstrip("\r\n").split("\t")
        if max(places) >= len(row):
            raise GeneraError(f"{where} has {len(row)} columns, so no column {max(places)} (counted from 0).")
        values = [row[place] for place in places]
        label = None if label_column is None else label_of(where, values.pop())
        yield joined(values), label


def read_jsonl(
    lines: Iterator[Line], text_column: str | None, label_column: str | None
) -> Iterator[tuple[str, str | None]]:
    """One JSON object a line; two fields for the text make a pair."""
    texts = columns_of(text_column or "text")
    for where, line in lines:
        if not line.strip():
            yield "", None
            continue
        try:
            record = json.loads(line)
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
            if any("\ud800" <= character <= "\udfff" for character in record[field]):
                raise GeneraError(
                    f"{where}: the field {field!r} has half of a \\u surrogate pair; write whole characters."
                )
        label = None if label_column is None or record[label_column] is None else str(record[label_column])
        yield (
            joined([record[field] for field in texts]),
            label_of(where, label or "") if label_column is not None else None,
        )


def label_of(where: str, label: str) -> str:
    if not label.strip():
        raise GeneraError(f"{where} has no label; every row needs one when labels are asked for.")
    return label.strip()


# -- worlds ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorldSource:
    """Sentences drawn from a world with seed 0, whatever the seed of the training."""

    spec: str
    world: World

    def items(self) -> Iterator[Item]:
        return chain.from_iterable(
            (Item(split, text, None) for text in self.world.sentences(count, seed=0, split=split))
            for split, count in WORLD_SIZES.items()
        )

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((self.world, WORLD_SIZES)).encode()).hexdigest()


def _world(spec: str, rest: str, text_column: str | None, label_column: str | None) -> Source:
    if text_column is not None or label_column is not None:
        raise GeneraError("a world: source has no columns and no labels; its factors are known, so leave them out.")
    world = worlds.load(rest)
    if isinstance(world, World):
        return WorldSource(spec, world)
    return _navigation(world.task, spec, str(world.folder()), None, None)


# -- navigation -----------------------------------------------------------------------------------------------------


def _navigation(task: str, spec: str, rest: str, text_column: str | None, label_column: str | None) -> Source:
    from genera.navigation.sources import open_folder

    if text_column is not None or label_column is not None:
        raise GeneraError(f"a {task}: source has no columns and no labels; its texts are the instructions.")
    return open_folder(task, spec, Path(rest).expanduser())


# -- the hub --------------------------------------------------------------------------------------------------------


def _glue(spec: str, rest: str, text_column: str | None, label_column: str | None) -> Source:
    from genera.data.glue import open_glue  # which needs what stands above

    return open_glue(spec, rest, text_column, label_column)


def _hub(spec: str, rest: str, text_column: str | None, label_column: str | None) -> Source:
    from genera.data.hub import open_hub  # which needs what stands above

    return open_hub(spec, rest, text_column, label_column)


# scheme → what opens it: (spec, rest, text column, label column) → Source
_OPENERS: dict[str, Callable[[str, str, str | None, str | None], Source]] = {
    "text": partial(_files, read_text),
    "tsv": partial(_files, read_tsv),
    "jsonl": partial(_files, read_jsonl),
    "glue": _glue,
    "hub": _hub,
    "world": _world,
    "r2r": partial(_navigation, "r2r"),
    "ndh": partial(_navigation, "ndh"),
    "hanna": partial(_navigation, "hanna"),
}
