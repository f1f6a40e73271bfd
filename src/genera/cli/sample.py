"""`genera sample RUN`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse
from genera.cli.uses import DecodeOptions, show


@dataclass(frozen=True, kw_only=True)
class Sample(DecodeOptions):
    """Draw from a trained model."""

    run: Positional[Path]
    """The run folder."""
    count: int = 10
    """How many."""


def main(arguments: list[str]) -> None:
    command = parse(Sample, arguments, "sample")
    show(command.load(command.run).sample(command.count, **command.options()), command.json)
