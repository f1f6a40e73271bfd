"""`genera analogy RUN "a" "b" "c"`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse
from genera.cli.uses import DecodeOptions, show


@dataclass(frozen=True, kw_only=True)
class Analogy(DecodeOptions):
    """A is to B as C is to what? Decodes z_C + degree (z_B - z_A)."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    a: Positional[str]
    """An item."""
    b: Positional[str]
    """The same item, changed in some way."""
    c: Positional[str]
    """The item to change in that way."""
    degree: float = 1.0
    """How far to go."""


def main(arguments: list[str]) -> None:
    command = parse(Analogy, arguments, "analogy")
    run = command.load(command.run)
    show([run.analogy(command.a, command.b, command.c, degree=command.degree, **command.options())], command.json)
