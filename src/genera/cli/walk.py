"""`genera walk RUN`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import ItemOptions, items_of
from genera.cli.parsing import parse


@dataclass(frozen=True, kw_only=True)
class Walk(ItemOptions):
    """Interpolate between the latents of several seeds.

    A class-conditional model uses one class for all items: a random one, or the one that --classes gives.
    """

    run: Positional[Path]
    """The run folder."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of the latents to pass through, in this order."""
    steps: int = 10
    """Steps from each latent to the next, along the great circle between them."""


def main(arguments: list[str]) -> None:
    command = parse(Walk, arguments, "walk")
    run = command.load(command.run)
    items = items_of(run)
    items.show(command, run.walk(command.seeds, steps=command.steps, **items.options(command, "decode")))
