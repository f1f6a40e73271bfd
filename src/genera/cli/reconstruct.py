"""`genera reconstruct RUN "sentence" ...`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import ItemOptions, items_of
from genera.cli.parsing import parse


@dataclass(frozen=True, kw_only=True)
class Reconstruct(ItemOptions):
    """Encode and decode your own items to see what the latent preserves."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    items: Positional[tuple[str, ...]] = ()
    """The items: sentences, image files, or folders of images."""
    input: Path | None = None
    """A file with one item per line; - reads standard input."""


def main(arguments: list[str]) -> None:
    command = parse(Reconstruct, arguments, "reconstruct")
    run = command.load(command.run)
    items = items_of(run)
    options = items.options(command, "decode")
    names, inputs = items.read(command.items, command.input)
    items.show_pairs(command, names, inputs, run.reconstruct(inputs, **options))
