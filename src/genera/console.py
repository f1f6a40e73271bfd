"""Messages and progress bars for users, on stderr so that stdout carries only data."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, TypeVar, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")

SIGPIPE = 13
"""The signal's number, which Python on Windows does not define."""


class _Stderr:
    """The current sys.stderr. When its reader has gone (`2>&1 | head`, a closed terminal), it calls `reader_gone` once
    and drops what is still written."""

    reader_gone: Callable[[], None] | None = None
    """Called instead of raising BrokenPipeError."""

    def write(self, text: str) -> int:
        return self._guarded(lambda stream: stream.write(text))

    def flush(self) -> None:
        self._guarded(lambda stream: stream.flush())

    def _guarded(self, act: Callable[[IO[str]], Any]) -> Any:
        try:
            return act(self._stream)
        except OSError:
            discard(self._stream)
            if self.reader_gone is None:
                raise BrokenPipeError from None
            self.reader_gone()

    @property
    def _stream(self) -> IO[str]:
        return cast("IO[str]", getattr(sys.stderr, "rich_proxied_file", sys.stderr))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the error through, from which rich would exit with 1."""
        raise


def discard(stream: IO[str]) -> None:
    """Drop what `stream` still holds and what is written to it from now on, once its reader has gone. Otherwise Python
    fails to flush it on exit."""
    with suppress(OSError, ValueError):  # a stream without a descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


stderr = _Stderr()
console = _Console(file=cast("IO[str]", stderr), highlight=False, soft_wrap=True, emoji=False)
"""Without emoji: in "world:houses:" there is none."""


def is_main_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"


PATIENCE = 2.0
"""Seconds that a failed rank waits before it prints its error. torchrun ends all ranks soon after the first failure, so
only one error is printed: the main rank's, if it has one."""


@contextmanager
def quiet() -> Iterator[None]:
    """Within the context, show no messages and no progress; errors and results are still printed."""
    console.quiet = True
    try:
        yield
    finally:
        console.quiet = False


def say(message: str) -> None:
    """Print one line on the main rank. `message` is plain text, never markup."""
    if is_main_rank():
        console.print(message, markup=False)


class Rate(ProgressColumn):
    """Items per second."""

    def __init__(self, items: str) -> None:
        super().__init__()
        self.items = items

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self.items}/s")


def progress_bar(items: str = "") -> Progress:
    """A rich progress bar in the project's style; shown only on a terminal and on the main rank.

    items: unit of the count; if given, the rate is shown too.
    """
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    columns += [Rate(items), TimeRemainingColumn()] if items else [TimeRemainingColumn()]
    hidden = not (console.is_terminal and is_main_rank())
    return Progress(*columns, console=console, transient=True, disable=hidden)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar. `total` is needed when `items` has no length."""
    with progress_bar() as bar:
        yield from bar.track(items, total=total, description=description)
