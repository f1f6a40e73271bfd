"""`genera sample RUN`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import DecodeOptions, show
from genera.errors import GeneraError


@dataclass(frozen=True, kw_only=True)
class Sample(DecodeOptions):
    """Draw from a trained model."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    count: int = 10
    """How many."""
    out: Path | None = None
    """Images: the .png to write them to, in a grid."""
    columns: int | None = None
    """Images: columns of the grid [as many as rows]."""
    classes: tuple[str, ...] = ()
    """Images: classes by name or number, which take turns [drawn at random]."""
    truncation: float | None = None
    """Images: smaller is more typical and less varied; what it means is the method's."""

    def options(self) -> dict[str, Any]:
        truncation = {} if self.truncation is None else {"truncation": self.truncation}
        return super().options() | truncation


def main(arguments: list[str]) -> None:
    command = parse(Sample, arguments, "sample")
    run = command.load(command.run)
    if run.method.dataset.kind == "text":
        if command.out is not None or command.columns is not None or command.classes or command.truncation is not None:
            raise GeneraError(
                f"{run.config.method} makes sentences; --out, --columns, --classes and --truncation are for images."
            )
        show(run.sample(command.count, **command.options()), command.json)
        return
    if command.out is None:
        raise GeneraError(f"{run.config.method} makes images; say where they should go: --out grid.png.")
    if command.out.suffix.lower() != ".png":
        raise GeneraError(f"--out {command.out} must end in .png.")
    if command.columns is not None and command.columns < 1:
        raise GeneraError(f"--columns must be at least 1, got {command.columns}.")
    from genera.uses.grids import write_grid

    known = run.method.assets.classes
    classes = [name if name in known or not name.isdigit() else int(name) for name in command.classes]
    asked = command.options() | ({"classes": classes} if classes else {})
    written = write_grid(command.out, run.sample(command.count, **asked), command.columns)
    print_json({"images": str(written), "count": command.count}) if command.json else print(written)
