"""`genera sample RUN`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse
from genera.cli.uses import ShowOptions


@dataclass(frozen=True, kw_only=True)
class Sample(ShowOptions):
    """Draw from a trained model."""

    run: Positional[Path]
    """The run folder."""
    count: int = 10
    """How many."""


def main(arguments: list[str]) -> None:
    command = parse(Sample, arguments, "sample")
    run = command.load(command.run)
    command.deliver(run.sample(command.count, **command.asked(run)))
