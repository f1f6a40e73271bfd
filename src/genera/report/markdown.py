"""A comparison as a Markdown table, for a README or the draft of a paper."""

from collections.abc import Sequence
from typing import Any

from genera.report.formatting import figure


def markdown_table(table: dict[str, Any]) -> str:
    """The result of `comparison_table` with one row per measure, one column per group, and the best values in bold.
    Columns of several runs show mean ± standard deviation over seeds, others the figure ± its standard error."""
    groups = table["groups"]
    head = ["", *(f"{g['name']} ({len(g['runs'])} seeds)" if len(g["runs"]) > 1 else g["name"] for g in groups)]
    lines = [_row(head), _row(["---"] * len(head))]
    for row in table["measures"].values():
        unit = f", {row['unit']}" if row["unit"] not in ("", "share") else ""
        cells = [cell(value, row["unit"], index in row["best"]) for index, value in enumerate(row["values"])]
        differs = f" (not comparable: {row['differs']})" if row["differs"] else ""
        lines.append(_row([f"{row['title']}{unit}{differs}", *cells]))
    return "\n".join([*(f"**{warning}**\n" for warning in table["warnings"]), *lines]) + "\n"


def cell(measure: dict[str, Any] | None, unit: str, best: bool) -> str:
    if measure is None:
        return "–"
    spread = measure.get("sd", measure.get("error"))
    text = figure(measure["value"], unit) + (f" ± {figure(spread, unit)}" if spread is not None else "")
    return f"**{text}**" if best else text


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
