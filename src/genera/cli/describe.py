"""`genera describe RUN VIEWPOINT ... --scan SCAN`, or `--input FILE`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import print_texts, read_paths
from genera.cli.parsing import parse
from genera.cli.uses import DecodeOptions


@dataclass(frozen=True, kw_only=True)
class Describe(DecodeOptions):
    """Say in words how to walk a path: what the speaker of a navigation run writes for it."""

    run: Positional[Path]
    """The run folder."""
    path: Positional[tuple[str, ...]] = ()
    """The viewpoints of the path, each a neighbour of the one before."""
    scan: str | None = None
    """The scan (house) of these viewpoints."""
    heading: float = 0.0
    """Where the walker looks at the start, in radians clockwise from north."""
    input: Path | None = None
    """Instead: a JSON file, plain or .gz, with a list of {scan, path, heading}, such as the episodes of R2R."""
    data: str | None = None
    """Graphs and views of another source than the run's (r2r:DIR, world:houses, ...)."""
    features: Path | None = None
    """The feature file of the views, where it is not where it was in training [that of the run]."""


def main(arguments: list[str]) -> None:
    command = parse(Describe, arguments, "describe")
    paths = read_paths(command.scan, command.path, command.heading, command.input)
    run = command.load(command.run)
    print_texts(run.describe(paths, data=command.data, features=command.features, **command.options()), command.json)
