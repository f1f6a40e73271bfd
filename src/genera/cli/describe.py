"""`genera describe RUN VIEWPOINT ... --scan SCAN`, or `--input FILE`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from genera.cli.parsing import parse
from genera.cli.uses import DecodeOptions, show
from genera.errors import GeneraError


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
    walks = _walks(command)
    run = command.load(command.run)
    show(run.describe(walks, data=command.data, features=command.features, **command.options()), command.json)


def _walks(command: Describe) -> list[dict[str, Any]]:
    if bool(command.path) == bool(command.input):
        raise GeneraError("give the viewpoints of one path with --scan, or --input FILE with several, and not both.")
    if command.input is None:
        if command.scan is None:
            raise GeneraError("say which scan the viewpoints belong to: --scan SCAN.")
        return [{"scan": command.scan, "path": list(command.path), "heading": command.heading}]

    from genera.navigation.episodes import load_json

    walks = load_json(command.input)
    if not isinstance(walks, list) or not all(isinstance(walk, dict) for walk in walks):
        raise GeneraError(f"{command.input} is not a list of {{scan, path, heading}}.")
    return walks
