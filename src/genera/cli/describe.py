"""`genera describe RUN VIEWPOINT ... --scan SCAN`, or `--input FILE`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import print_texts, read_paths
from genera.cli.parsing import parse
from genera.cli.uses import DecodeOptions


@dataclass(frozen=True, kw_only=True)
class Describe(DecodeOptions):
    """Generate a navigation instruction for a path with the speaker of a navigation run."""

    run: Positional[Path]
    """The run folder."""
    path: Positional[tuple[str, ...]] = ()
    """The viewpoints of the path, each adjacent to the previous one."""
    scan: str | None = None
    """The scan (house) of these viewpoints."""
    heading: float = 0.0
    """The heading at the start, in radians clockwise from north."""
    input: Path | None = None
    """Instead of viewpoints: a JSON file (or .json.gz) with a list of {scan, path, heading}, such as R2R's episodes."""
    data: str | None = None
    """Take graphs and views from this source instead of the run's (r2r:DIR, world:houses, ...)."""
    features: Path | None = None
    """The feature file of the views, if it has moved since training [the run's]."""


def main(arguments: list[str]) -> None:
    command = parse(Describe, arguments, "describe")
    paths = read_paths(command.scan, command.path, command.heading, command.input)
    run = command.load(command.run)
    print_texts(run.describe(paths, data=command.data, features=command.features, **command.options()), command.json)
