"""`genera decode RUN latents.npz`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import ItemOptions, items_of
from genera.cli.parsing import parse


@dataclass(frozen=True, kw_only=True)
class Decode(ItemOptions):
    """Decode latents from a file, such as those that `genera encode RUN ITEM … --out FILE.npz` wrote."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    latents: Positional[Path]
    """The .npz, whose array `mean` holds one latent per row."""


def main(arguments: list[str]) -> None:
    command = parse(Decode, arguments, "decode")
    run = command.load(command.run)
    items = items_of(run)
    options = items.options(command, "decode")
    items.show(command, run.decode(command.latents, **options))
