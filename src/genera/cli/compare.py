"""`genera compare RUN RUN ...`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.engine.folder import RunFolder
from genera.errors import GeneraError


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Write one page that shows runs side by side: measures, curves, samples. Runs that differ only in their seed share
    a column, as mean ± standard deviation. `genera ablate` also trains and measures such runs."""

    runs: Positional[tuple[Path, ...]]
    """The run folders, or shipped models' names."""
    out: Path = Path("comparison.html")
    """The page to write."""
    only: tuple[str, ...] = ()
    """Measures to print, by name (fid, precision, SR/val_unseen, …); the page has all of them [all]."""
    evaluation: str | None = None
    """The evaluation of each run to compare: its name or a prefix of it [the newest with the same data, split and
    settings]."""
    figures: Literal["pdf", "svg", "png"] | None = None
    """Also write the training curves of all runs for print, one file per term, to a folder named after the page, such
    as comparison-figures/ (needs the extra genera[plot])."""
    markdown: bool = False
    """Print the table as Markdown."""
    json: bool = False
    """Print the table as JSON."""


def main(arguments: list[str]) -> None:
    command = parse(Compare, arguments, "compare")
    if len(command.runs) < 2:
        raise GeneraError("give at least two run folders to compare.")
    from genera.report.compare import comparison_table, kept, write_comparison
    from genera.report.markdown import markdown_table

    folders = [RunFolder.existing(run).path for run in command.runs]
    table = kept(comparison_table(folders, evaluation=command.evaluation), command.only)
    page = write_comparison(folders, command.out, evaluation=command.evaluation)
    if command.figures:
        from genera.report.figures import write_figures

        write_figures(folders, page.with_name(f"{page.stem}-figures"), format=command.figures)
    if command.json:
        print_json(table | {"page": str(page)})
    else:
        print(markdown_table(table) if command.markdown else page)
