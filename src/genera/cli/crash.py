"""The last resort: an exception that no command explains ends in one sentence, and its traceback in a file.

A file `traceback.txt` in the run folder of the command, or a temporary file where there is none. `--traceback`, or the
environment variable GENERA_TRACEBACK, prints the traceback of any error instead of hiding it.
"""

import errno
import itertools
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from genera.errors import GeneraError
from genera.version import VERSION

FILE = "traceback.txt"
OPTION, VARIABLE = "--traceback", "GENERA_TRACEBACK"
EXIT = 70
"""Exit code (EX_SOFTWARE of sysexits.h), distinct from 1 for errors that genera explains."""
SHOWN = 200
"""Maximum number of characters of the exception's message in the sentence."""
REFUSALS = {
    getattr(errno, name)
    for name in ("EACCES", "EDQUOT", "EIO", "ELOOP", "EMFILE", "ENAMETOOLONG", "ENOSPC", "EPERM", "EROFS")
    if hasattr(errno, name)
}
"""Errors of the operating system that a path or a disk causes."""


def crash(error: BaseException, arguments: Sequence[str]) -> tuple[str, int]:
    """Keep the traceback, set the status of a run that was training to failed, and return the sentence to print and the
    exit code. A refusal of the operating system is no bug and leaves no traceback."""
    run = _run_of(arguments)
    refused = isinstance(error, OSError) and error.errno in REFUSALS
    what = _sentence(error) if refused else f"{_sentence(error)} during `genera {arguments[0]}`"
    if run is not None:
        _mark_failed(run, what)
    return (f"{what}.", 1) if refused else (f"{what}; the traceback is in {_keep(error, arguments, run)}.", EXIT)


def print_traceback(error: BaseException) -> None:
    """To stderr."""
    traceback.print_exception(error, file=sys.stderr)


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise GeneraError for words that no file, label or message could contain."""
    for word in arguments:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise GeneraError(f"the argument {word!r} is not UTF-8; write it in UTF-8, or rename the file.") from None
        if "\0" in word:
            raise GeneraError(f"the argument {word!r} has a NUL character; remove it.")


def _sentence(error: BaseException) -> str:
    lines = str(error).splitlines() or [""]
    message = lines[0][:SHOWN] + "…" * (len(lines[0]) > SHOWN)
    told = f"{type(error).__name__}{f' ({message})' if message else ''}"
    if _is_memory(error):
        return f"the memory ran out: {told}; lower --batch-size, raise --accumulate or choose a smaller model"
    if isinstance(error, OSError) and error.strerror:
        name = str(error.filename or "a file")
        return f"cannot use {name[:SHOWN]}{'…' * (len(name) > SHOWN)}: {error.strerror}"
    if isinstance(error, UnicodeEncodeError):
        return f"the output has characters that {error.encoding} lacks (set PYTHONUTF8=1): {told}"
    return f"{told}: a bug in genera or in a plug-in"


def _is_memory(error: BaseException) -> bool:
    """MemoryError, and what torch raises for the CPU and for a GPU."""
    texts = ("allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or any(text in str(error) for text in texts)


def _run_of(arguments: Sequence[str]) -> Path | None:
    """The run folder that the command names, --out first."""
    words = [word.removeprefix("--out=") for word in arguments[1:]]
    outs = [word for before, word in itertools.pairwise(words) if before == "--out"]
    for word in [*outs, *words]:
        with suppress(OSError, ValueError):
            if (Path(word) / "config.yaml").is_file():
                return Path(word)
    return None


def _mark_failed(run: Path, message: str) -> None:
    """Only a run that was training; another process may be training it, which its lock tells."""
    from genera.engine.folder import RunFolder

    with suppress(GeneraError, OSError):
        folder = RunFolder(run)
        if folder.status()["state"] in ("running", "interrupted"):
            with folder.lock():
                folder.write_status("failed", step=folder.status().get("step", 0), message=message)


def _keep(error: BaseException, arguments: Sequence[str], run: Path | None) -> Path:
    rank = os.environ.get("RANK", "0")
    header = f"{time.strftime('%Y-%m-%d %H:%M:%S')} genera {VERSION}, rank {rank}: genera {' '.join(arguments)}\n"
    text = header + "".join(traceback.format_exception(error)) + "\n"
    with suppress(OSError):
        if run is not None:
            with open(run / FILE, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return run / FILE
    handle, path = tempfile.mkstemp(prefix="genera-", suffix=f"-{FILE}")
    with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return Path(path)
