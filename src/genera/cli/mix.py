"""`genera mix RUN`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions


@dataclass(frozen=True, kw_only=True)
class Mix(UseOptions):
    """Style mixing: a table of images with the coarse styles of the row's seed and the fine styles of the column's.

    The first column and the first row show the unmixed images.
    """

    run: Positional[Path]
    """The run folder."""
    out: Path
    """The .png to write."""
    coarse: tuple[int, ...] = (0, 1, 2, 3)
    """Seeds of the coarse styles, for the layers below --layer."""
    fine: tuple[int, ...] = (4, 5, 6, 7)
    """Seeds of the fine styles, for --layer and the layers above it."""
    layer: int = 4
    """The first fine layer; each resolution has two layers, starting at 4 x 4."""
    truncation: float = 1.0
    """Truncation: 1 for none; smaller values are more typical and less varied."""
    seed: int = 0
    """Seed of the noise that all images share."""


def main(arguments: list[str]) -> None:
    command = parse(Mix, arguments, "mix")
    run = command.load(command.run)
    table = run.mixed_styles(
        command.coarse, command.fine, layer=command.layer, truncation=command.truncation, seed=command.seed
    )
    from genera.uses.grids import write_grid

    written = write_grid(command.out, table, len(command.fine) + 1)
    print_json({"images": str(written), "count": len(table)}) if command.json else print(written)
