"""`genera export RUN --out FOLDER`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions


@dataclass(frozen=True, kw_only=True)
class Export(UseOptions):
    """Export a run to a Hugging Face folder with safetensors, tokenisers, settings and a model card."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    out: Path
    """The folder to create."""
    evaluation: str | None = None
    """The evaluation whose figures the card shows: its name or a prefix of it [the newest]."""
    trimmed: bool = False
    """Export a vocabulary that --trim-vocabulary cut down as it is. By default its other tokens come back from the
    pretrained weights."""


def main(arguments: list[str]) -> None:
    command = parse(Export, arguments, "export")
    from genera.report.export import export_run

    run = command.load(command.run)
    folder = export_run(run, command.out, evaluation=command.evaluation, trimmed=command.trimmed)
    print_json({"export": str(folder)}) if command.json else print(folder)
