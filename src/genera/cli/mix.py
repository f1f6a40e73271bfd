"""`genera mix RUN`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions


@dataclass(frozen=True, kw_only=True)
class Mix(UseOptions):
    """Style mixing: a table of images, each with the coarse styles of its row's seed and the fine ones of its column's.

    The first column shows the rows' own images, the first row the columns'.
    """

    run: Positional[Path]
    """The run folder."""
    out: Path
    """The .png to write."""
    coarse: tuple[int, ...] = (0, 1, 2, 3)
    """Seeds whose styles the layers below --layer take."""
    fine: tuple[int, ...] = (4, 5, 6, 7)
    """Seeds whose styles the layers from --layer on take."""
    layer: int = 4
    """The first fine layer: two layers a resolution, from 4 x 4 on."""
    truncation: float = 1.0
    """1 for none; smaller is more typical and less varied."""
    seed: int = 0
    """Seed of the noise, which all images share."""


def main(arguments: list[str]) -> None:
    command = parse(Mix, arguments, "mix")
    run = command.load(command.run)
    table = run.mixed_styles(
        command.coarse, command.fine, layer=command.layer, truncation=command.truncation, seed=command.seed
    )
    from genera.uses.grids import write_grid

    written = write_grid(command.out, table, len(command.fine) + 1)
    print_json({"images": str(written), "count": len(table)}) if command.json else print(written)
