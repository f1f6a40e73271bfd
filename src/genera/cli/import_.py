"""`genera import METHOD[:PRESET] ...`: convert weights from other sources to a run folder."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.console import say
from genera.engine.origin import Origin
from genera.errors import GeneraError

HELP = """usage: genera import METHOD[:PRESET] [SOURCE] --out RUN [options]

Converts existing weights to a run folder, which works with every command and with `genera train --init RUN`.
A source is a directory or a hub name; METHOD alone stands for its published preset.

  genera import optimus --encoder google-bert/bert-base-cased --decoder openai-community/gpt2 --out runs/start
  genera import optimus original_checkpoint --out runs/original
  genera import lm HuggingFaceTB/SmolLM2-135M --out runs/smollm2
  genera import gpt2-lm openai-community/gpt2 --out runs/gpt2
  genera import optimus exported --out runs/again

`genera import METHOD --help` explains the options."""


@dataclass(frozen=True, kw_only=True)
class Import(Origin):
    """Convert existing weights to a run folder. Every tensor is checked by name and shape."""

    source: Positional[str | None] = None
    """A folder written by `genera export`; a complete GPT-2; or a checkpoint of the original Optimus code."""
    out: Path | None = None
    """The run folder to create."""
    seed: int = 42
    """Seed of the weights that the source lacks, such as the latent layers between BERT and GPT-2."""
    json: bool = False
    """Print the result as JSON on stdout."""


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0].startswith("-"):
        if arguments and arguments[0] not in ("-h", "--help"):
            raise GeneraError(f"name the method first: genera import METHOD {' '.join(arguments)}")
        print(HELP)
        return
    spec, *rest = arguments
    command = parse(Import, rest, f"import {spec}")
    if command.out is None:
        raise GeneraError("give a run folder: --out runs/NAME.")
    from genera.uses.share import import_run

    folder = import_run(spec, command.out, command, seed=command.seed)
    if command.json:
        print_json({"run": str(folder.path), **folder.status()})
    begin = f"genera train --config {folder.path}/config.yaml --init {folder.path} --data SOURCE --out RUN"
    say(f"next: genera evaluate {folder.path} --data SOURCE, or {begin}")
