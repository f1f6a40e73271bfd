"""`genera ablate VARIANT VARIANT ...`: train, measure and compare settings over seeds."""

import re
import shlex
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from genera.cli.evaluate import Evaluation, options_of
from genera.cli.parsing import parse, print_json
from genera.cli.train import run_of
from genera.console import say
from genera.engine.config import RunConfig
from genera.errors import GeneraError
from genera.evaluation.registry import evaluators

PREFIX = "--evaluate."
HELP = """usage: genera ablate VARIANT [VARIANT ...] --out DIR [--seeds N ...] [--evaluate.X VALUE] [training options]

Trains every variant with every seed, measures each run alike, and writes one page that compares them: mean ± standard
deviation over seeds, and the training curves. Each run is an ordinary run folder, DIR/VARIANT/seed-N. Rerun the
command to resume; with more variants or seeds it adds their runs to the existing ones.

A variant is what follows `genera train`: METHOD[:PRESET], quoted if it has its own options. A NAME= prefix names its
folder. Training options outside the quotes apply to all variants.

  genera ablate biggan:nano biggan:nano-fq --data world:shapes --steps 1000 --out runs/fq
  genera ablate biggan:nano "k16=biggan:nano-fq --quantiser.codes 16" "k256=biggan:nano-fq --quantiser.codes 256" \\
    --seeds 0 1 2 --out runs/codes --steps 1000 --evaluate.fidelity.images 1000
  genera ablate optimus:nano "optimus:nano --free-bits 0" gpt2-lm:nano --data text:my_sentences.txt --out runs/text

Writes DIR/comparison.html, DIR/comparison.md and DIR/comparison.json.
`genera train METHOD:PRESET --help` shows the training options, `genera evaluate --help` the options X of --evaluate.X,
and `genera ablate VARIANT --help` the rest.
"""


@dataclass(frozen=True, kw_only=True)
class Ablate:
    """Options of the ablation itself."""

    out: Path
    """Folder for the runs and the comparison: a new one, or one to resume."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds to train every variant with, instead of --seed."""
    only: tuple[str, ...] = ()
    """Measures to print, by name (fid, precision, …); the written tables have all of them [all]."""
    json: bool = False
    """Print the comparison as JSON instead of a Markdown table."""


def main(arguments: list[str]) -> None:
    specs = list(takewhile(lambda word: not word.startswith("-"), arguments))
    if not specs:
        if arguments and arguments[0] not in ("-h", "--help"):
            raise GeneraError(f"name the variants first: genera ablate METHOD:PRESET ... {' '.join(arguments)}")
        print(HELP)
        return
    ablation, evaluation, training = _dealt(arguments[len(specs) :])
    command = parse(Ablate, ablation, "ablate VARIANT ...")
    options = Evaluation(options=options_of(evaluators().values()))
    measured = parse(
        Evaluation, evaluation, "ablate VARIANT ... (options that begin with --evaluate.)", default=options
    )
    variants: dict[str, RunConfig] = {}
    for spec in specs:
        name, words = _variant(spec)
        if name in variants:
            raise GeneraError(f"two variants are named {name}; write NAME= before one of them.")
        variants[name] = run_of([*words, *training])

    from genera.report.ablation import ablate
    from genera.report.compare import kept
    from genera.report.markdown import markdown_table

    table = ablate(variants, command.out, seeds=command.seeds, evaluation=measured.config())
    table = kept(table, command.only)
    print_json(table) if command.json else print(markdown_table(table), end="")
    say(f"full comparison: {command.out / 'comparison.html'}")


def _dealt(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Split the words into the options of the ablation, of `genera evaluate` (without their --evaluate. prefix) and of
    training."""
    ablation, evaluation, training = list[str](), list[str](), list[str]()
    names = ("--out", "--seeds", "--only", "--json", "--help", "-h")
    chosen = ablation
    for word in words:
        if word.startswith("--") or word == "-h":
            name = word.partition("=")[0]
            chosen = ablation if name in names else evaluation if name.startswith(PREFIX) else training
        chosen.append("--" + word.removeprefix(PREFIX) if word.startswith(PREFIX) else word)
    return ablation, evaluation, training


def _variant(spec: str) -> tuple[str, list[str]]:
    """[NAME=]METHOD:PRESET [options] → folder name, arguments of `genera train`."""
    try:
        first, *options = shlex.split(spec)
    except ValueError as error:
        raise GeneraError(f"the variant {spec!r} cannot be read: {error}.") from None
    given, named, method = first.rpartition("=")
    return given if named else re.sub(r"[^\w.]+", "-", spec).strip("-"), [method, *options]
