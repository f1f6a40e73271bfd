"""`genera compare RUN RUN ...`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.engine.folder import RunFolder
from genera.errors import GeneraError


@dataclass(frozen=True, kw_only=True)
class Compare:
    """One page that puts runs side by side: measures, curves, samples."""

    runs: Positional[tuple[Path, ...]]
    """The run folders, or shipped models' names."""
    out: Path = Path("comparison.html")
    """The page to write."""
    json: bool = False
    """Print the table as JSON."""


def main(arguments: list[str]) -> None:
    command = parse(Compare, arguments, "compare")
    if len(command.runs) < 2:
        raise GeneraError("give at least two run folders to compare.")
    from genera.report.compare import comparison_table, write_comparison

    folders = [RunFolder.existing(run).path for run in command.runs]
    page = write_comparison(folders, command.out)
    print_json(comparison_table(folders) | {"page": str(page)}) if command.json else print(page)
