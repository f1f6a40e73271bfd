"""`genera sample RUN`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import ItemOptions, items_of
from genera.cli.parsing import parse


@dataclass(frozen=True, kw_only=True)
class Sample(ItemOptions):
    """Draw from a trained model."""

    run: Positional[Path]
    """The run folder."""
    count: int = 10
    """Number of items."""
    prompt: str | None = None
    """Texts: continue this text, for language models."""


def main(arguments: list[str]) -> None:
    command = parse(Sample, arguments, "sample")
    run = command.load(command.run)
    items = items_of(run)
    if command.prompt is None:
        items.show(command, run.sample(command.count, **items.options(command, "sample")))
        return
    options = items.options(command, "continuations")
    (texts,) = run.continuations([command.prompt], command.count, **options)
    items.show(command, [command.prompt.strip() + text for text in texts])
