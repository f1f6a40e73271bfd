"""`genera report RUN`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
    figures: Literal["pdf", "svg", "png"] | None = None
    """Also write the curves to RUN/figures/ for print, one file per term (needs the extra genera[plot])."""
    json: bool = False
    """Print the path of the report, and of the figures, as JSON."""


def main(arguments: list[str]) -> None:
    command = parse(Report, arguments, "report")
    from genera.report.page import write_report

    run = RunFolder.existing(command.run).path
    page = write_report(run, evaluation=command.evaluation)
    drawn = []
    if command.figures:
        from genera.report.figures import write_figures

        drawn = write_figures([run], run / "figures", format=command.figures)
    if command.json:
        print_json({"report": str(page)} | ({"figures": list(map(str, drawn))} if drawn else {}))
    else:
        print(page, *drawn, sep="\n")
