"""`genera respond RUN "context" ...`: responses to a context."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import lines
from genera.cli.parsing import parse, print_json
from genera.cli.uses import DecodeOptions
from genera.errors import GeneraError


@dataclass(frozen=True, kw_only=True)
class Respond(DecodeOptions):
    """Generate several responses to a context: one turn, or the last few turns, oldest first."""

    run: Positional[Path]
    """The run folder."""
    turns: Positional[tuple[str, ...]] = ()
    """The turns of the context, oldest first, each in quotes."""
    input: Path | None = None
    """A file with one context per line, turns separated by tabs; - reads standard input."""
    count: int = 10
    """Number of responses to each context."""


def main(arguments: list[str]) -> None:
    command = parse(Respond, arguments, "respond")
    if command.turns and command.input:
        raise GeneraError("give turns either on the command line or with --input FILE (one context per line).")
    contexts = [list(command.turns)] if command.turns else [line.split("\t") for line in lines((), command.input)]
    run = command.load(command.run)
    rows = [
        {"context": context, "responses": run.respond(context, command.count, **command.options())}
        for context in contexts
    ]
    if command.json:
        print_json(rows)
    elif len(rows) == 1:
        print("\n".join(rows[0]["responses"]))
    else:
        for row in rows:
            print(" | ".join(row["context"]), *row["responses"], sep="\n  ")
