"""`genera analogy RUN "a" "b" "c"`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import ItemOptions, items_of
from genera.cli.parsing import parse


@dataclass(frozen=True, kw_only=True)
class Analogy(ItemOptions):
    """A is to B as C is to what? Decodes z_C + degree (z_B - z_A)."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    a: Positional[str]
    """An item: a sentence, or an image file."""
    b: Positional[str]
    """The same item, changed in some way."""
    c: Positional[str]
    """The item to change in that way."""
    degree: float = 1.0
    """Factor of the change; 1 applies it fully."""


def main(arguments: list[str]) -> None:
    command = parse(Analogy, arguments, "analogy")
    run = command.load(command.run)
    items = items_of(run)
    options = items.options(command, "decode")
    a, b, c = (items.one(word) for word in (command.a, command.b, command.c))
    items.show(command, [run.analogy(a, b, c, degree=command.degree, **options)])
