"""`genera reconstruct RUN "sentence" ...`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse
from genera.cli.uses import DecodeOptions, given, show


@dataclass(frozen=True, kw_only=True)
class Reconstruct(DecodeOptions):
    """Encode and decode your own items: what does the latent keep?"""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    items: Positional[tuple[str, ...]] = ()
    """The items."""
    input: Path | None = None
    """A file with one item a line, - for standard input."""


def main(arguments: list[str]) -> None:
    command = parse(Reconstruct, arguments, "reconstruct")
    items = given(command.items, command.input)
    outputs = command.load(command.run).reconstruct(items, **command.options())
    rows = [{"input": a, "output": b, "exact": a == b} for a, b in zip(items, outputs, strict=True)]
    show(rows if command.json else outputs, command.json)
