"""Atomic file writes: write, fsync, rename."""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from genera.errors import GeneraError

if TYPE_CHECKING:
    from torch import Tensor


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
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):  # where nothing can be written there is nothing to clean
                temporary.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
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
    return _read(path, "JSON", json.loads)


def write_yaml(path: str | Path, value: Any) -> None:
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file. Raises GeneraError when it is missing or not YAML."""
    return _read(path, "YAML", yaml.safe_load)


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


def _read(path: str | Path, kind: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GeneraError(f"{path} does not exist.") from None
    except (ValueError, yaml.YAMLError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise GeneraError(f"{path} is not readable as {kind} ({reason}); restore it or delete it.") from None
