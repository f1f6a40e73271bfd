"""Messages and progress bars for users, on stderr so that stdout carries only data."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

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

console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)  # "world:houses:" is no emoji


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
