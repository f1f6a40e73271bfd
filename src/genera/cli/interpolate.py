"""`genera interpolate RUN "a" "b"`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import ItemOptions, items_of
from genera.cli.parsing import parse


@dataclass(frozen=True, kw_only=True)
class Interpolate(ItemOptions):
    """Interpolate linearly between the latents of two items, endpoints included."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    start: Positional[str]
    """The first item: a sentence or an image file."""
    end: Positional[str]
    """The last item."""
    steps: int = 10
    """Number of steps: one less than the number of items printed."""


def main(arguments: list[str]) -> None:
    command = parse(Interpolate, arguments, "interpolate")
    run = command.load(command.run)
    items = items_of(run)
    options = items.options(command, "decode")
    start, end = items.one(command.start), items.one(command.end)
    items.show(command, run.interpolate(start, end, steps=command.steps, **options), columns=command.steps + 1)
