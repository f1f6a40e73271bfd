"""`genera report RUN`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.engine.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write report.html: one self-contained page with curves, measures, examples and the latent map."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    evaluation: str | None = None
    """The evaluation to show: its name or a prefix of it [the newest]."""
    json: bool = False
    """Print the path of the report as JSON."""


def main(arguments: list[str]) -> None:
    command = parse(Report, arguments, "report")
    from genera.report.page import write_report

    page = write_report(RunFolder.existing(command.run).path, evaluation=command.evaluation)
    print_json({"report": str(page)}) if command.json else print(page)
