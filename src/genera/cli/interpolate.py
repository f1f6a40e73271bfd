"""`genera interpolate RUN "a" "b"`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse
from genera.cli.uses import DecodeOptions, show


@dataclass(frozen=True, kw_only=True)
class Interpolate(DecodeOptions):
    """Items on the straight way from one latent to another, ends included."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    start: Positional[str]
    """Where to begin."""
    end: Positional[str]
    """Where to arrive."""
    steps: int = 10
    """Steps of the way: one less than the items printed."""


def main(arguments: list[str]) -> None:
    command = parse(Interpolate, arguments, "interpolate")
    run = command.load(command.run)
    show(run.interpolate(command.start, command.end, steps=command.steps, **command.options()), command.json)
