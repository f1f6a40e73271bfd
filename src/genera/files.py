"""Atomic file writes (write, fsync, rename), and reads that end: of regular files, bounded in size and nesting."""

import gzip
import json
import math
import os
import shutil
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import yaml

from genera.errors import GeneraError, reason

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LARGEST = 1 << 30
"""Largest content, in bytes, that is read into memory as a whole."""
DEEPEST = 100
"""Maximum nesting of a JSON or YAML value."""
MOST_VALUES = 50_000_000
"""Maximum number of values of a YAML document, aliases expanded."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` to write; on success it is synced and renamed to `path`.

    Works for one file and for a folder (the folder must not exist yet). On any error the temporary is
    removed and `path` is unchanged; a full or read-only disk raises GeneraError.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        for file in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            _sync(file)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise GeneraError(f"cannot write {path}: {error.strerror or error}; nothing there was changed.") from error
    except UnicodeEncodeError as error:
        raise GeneraError(f"cannot write {path}: {error.object[error.start - 20 : error.end + 20]!r} {HALF}.") from None
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):  # where nothing can be written there is nothing to clean
                temporary.unlink()


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk. Windows flushes only files, and only those open for writing."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=True) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises GeneraError when it is missing or not JSON."""
    return _read(path, "JSON", parse_json)


def write_yaml(path: str | Path, value: Any) -> None:
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file. Raises GeneraError when it is missing or not YAML."""
    return _read(path, "YAML", parse_yaml)


def checksum(path: Path) -> dict[str, int]:
    """Size and CRC-32 of a file, recorded on writing to detect damage."""
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 24):
            crc = zlib.crc32(block, crc)
    return {"bytes": path.stat().st_size, "crc32": crc}


def write_tensors(path: str | Path, tensors: "dict[str, Tensor]") -> None:
    """Write a safetensors file. Not atomic by itself: call it inside `atomic`. Raises OSError for a full disk."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        plain = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
        save_file(plain, path, metadata={"format": "pt"})  # without which transformers refuses the file
    except SafetensorError as error:  # it wraps the system's error
        raise OSError(str(error).rpartition("I/O error: ")[2]) from None


DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""torch's names of types → those of safetensors"""


def in_file_order(shapes: "Mapping[str, tuple[Sequence[int], torch.dtype]]") -> list[str]:
    """Names of tensors as `stream_tensors` writes them: those of wide types first, so that all are aligned."""
    return sorted(shapes, key=lambda name: (-shapes[name][1].itemsize, name))


def stream_tensors(
    path: Path, shapes: "Mapping[str, tuple[Sequence[int], torch.dtype]]", tensors: "Iterator[Tensor]"
) -> None:
    """Write a safetensors file of tensors that are in memory one at a time. Not atomic; raises OSError for a full disk.

    shapes: name → shape and type. tensors: in the order of `in_file_order`.
    """
    import torch

    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in in_file_order(shapes):
        shape, dtype = shapes[name]
        start, end = end, end + math.prod(shape) * dtype.itemsize
        kind = DTYPES[str(dtype).removeprefix("torch.")]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            file.write(plain.numpy().data)


# -- reading ----------------------------------------------------------------------------------------------------------


def open_file(path: str | Path) -> BufferedReader:
    """A regular file, open for reading. Raises GeneraError for a missing one, and for a pipe or a device, which may
    never end."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return open(path, "rb")
    except (OSError, ValueError) as error:
        raise GeneraError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}.") from None
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    raise GeneraError(f"cannot read {path}: it is {kind}, and a file was expected; copy its content to a file.")


def read_bytes(path: str | Path, *, most: int = LARGEST) -> bytes:
    """The content of a regular file; of a .gz file, uncompressed.

    Raises GeneraError when it cannot be read, is damaged, or has more than `most` bytes.
    """
    path = Path(path)
    with open_file(path) as raw:
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
        try:
            with reading(path):
                content = file.read(most + 1)
        except GZIP_ERRORS:
            raise GeneraError(f"{path} {gzip_problem(raw)}.") from None
    if len(content) > most:
        raise GeneraError(f"{path} holds more than {most >> 20:,} MB, which is more than this kind of file can have.")
    return content


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Turn the system's errors (no permission, a name that is too long) into a sentence with the path."""
    try:
        yield
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        where = path if error.filename is None else error.filename
        raise GeneraError(f"cannot read {where}: {error.strerror or error}.") from None


GZIP_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)


def gzip_problem(file: IO[bytes]) -> str:
    """What is wrong with a .gz file, open for reading, that raised one of GZIP_ERRORS."""
    file.seek(0)
    if file.read(2) != b"\x1f\x8b":
        return "is not a gzip file; remove .gz from its name or fetch it again"
    return "is damaged or truncated; fetch it again"


def parse_json(content: str | bytes) -> Any:
    """As json.loads, with ValueError as the only exception.

    It is also raised for nesting above DEEPEST, which would end in a RecursionError here or where the value is used,
    and for half of a surrogate pair, which cannot be written again.
    """
    return _parsed(content, json.loads)


def parse_yaml(content: str | bytes) -> Any:
    """As yaml.safe_load, with ValueError as the only exception; see `parse_json`."""
    return _parsed(content, yaml.safe_load)


HALF = "has half of a \\u surrogate pair; write whole characters"


def _parsed(content: str | bytes, parse: Callable[[str], Any]) -> Any:
    text = content.decode() if isinstance(content, bytes) else content
    try:
        value = parse(text)
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} levels deep") from None
    except Exception as error:  # the constructors of YAML raise many kinds
        raise ValueError(reason(error)) from None
    if parse is not json.loads or text.count("[") + text.count("{") > DEEPEST:
        _check_nesting(value)
    if "\\ud" in text or "\\uD" in text:  # UTF-8 itself has no halves
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as error:
            part = error.object[max(0, error.start - 20) : error.end + 20]
            raise ValueError(f"{part!r} {HALF}") from None
    return value


def _check_nesting(value: Any) -> None:
    """Raise ValueError for a value that is nested too deep, contains itself, or is too large once its YAML aliases are
    expanded. Level by level, without recursion."""
    level: dict[int, tuple[Any, int]] = {0: ([value], 1)}  # id → container, and how often the level has it
    total = 0
    for _ in range(DEEPEST + 1):
        below: dict[int, tuple[Any, int]] = {}
        for container, times in level.values():
            total += times * len(container)
            for inner in container.values() if isinstance(container, dict) else container:
                if isinstance(inner, dict | list | tuple):
                    below[id(inner)] = inner, times + below.get(id(inner), (None, 0))[1]
        if total > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values")
        if not below:
            return
        level = below
    raise ValueError(f"nested more than {DEEPEST} levels deep")


def _read(path: str | Path, kind: str, parse: Callable[[bytes], Any]) -> Any:
    if not Path(path).exists():
        raise GeneraError(f"{path} does not exist.")
    try:
        return parse(read_bytes(path))
    except ValueError as error:
        raise GeneraError(f"{path} is not readable as {kind} ({error}); restore it or delete it.") from None
