"""`genera walk RUN`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import ItemOptions, items_of
from genera.cli.parsing import parse


@dataclass(frozen=True, kw_only=True)
class Walk(ItemOptions):
    """Items on the way between the latents of some seeds: what the model puts between two of its samples.

    A class-conditional model keeps to one class, drawn at random unless --classes names it.
    """

    run: Positional[Path]
    """The run folder."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of the latents that the walk passes, in this order."""
    steps: int = 10
    """Steps from one to the next, on the great circle between them."""


def main(arguments: list[str]) -> None:
    command = parse(Walk, arguments, "walk")
    run = command.load(command.run)
    items = items_of(run)
    items.show(command, run.walk(command.seeds, steps=command.steps, **items.options(command, "decode")))
