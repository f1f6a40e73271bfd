"""Runs side by side: the same measures in one table, curves over each other, samples next to each other. Runs that
differ in their seed alone are taken together."""

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from genera.errors import GeneraError, unknown
from genera.files import write_text
from genera.measures.definition import Definition
from genera.report.charts import line_chart
from genera.report.formatting import in_catalogue_order
from genera.report.page import CURVE_TITLES, curve_order, flat, images_of, template
from genera.report.run_files import Record, read_run
from genera.report.seeds import Curve, Group, grouped

SET = {"data": "data", "split": "split", "items": "number of items"}


def comparison_table(run_folders: Sequence[str | Path]) -> dict[str, Any]:
    """All measures of all runs as plain values, ready for JSON. Runs that differ in their seed alone are one group.

    {"runs": [{"run", "group", "method", "preset", "data", "split", "items"}], "groups": [{"name", "runs": [name]}],
    "comparable": bool, "warnings": [str], "measures": {name: {"title", "unit", "better",
    "values": [{"value", "error", "n"} | None], "best": [index]}}}, with values and indices by group.
    A group of several runs has their mean as "value", "sd" over seeds, "error" sd/√runs, and "runs", each one's value.
    `best` holds the best group and every group within two standard errors of it; it is empty where the catalogue knows
    no direction or the figures are not of the same items.

    Raises:
        GeneraError: fewer than two runs, or a folder that is no evaluated run.
    """
    return _table(grouped(_read(run_folders)))


def kept(table: dict[str, Any], only: Sequence[str]) -> dict[str, Any]:
    """The table with these measures alone, in this order; with all of them if `only` is empty.

    Raises GeneraError for a measure that it has not got.
    """
    for name in only:
        if name not in table["measures"]:
            raise unknown("measure of these runs", name, table["measures"])
    return table | {"measures": {name: table["measures"][name] for name in only or table["measures"]}}


def write_comparison(run_folders: Sequence[str | Path], out: str | Path) -> Path:
    """Write one self-contained HTML page that compares the runs to the file `out`, and return its path. Runs that
    differ in their seed alone share a column: mean ± standard deviation."""
    groups = grouped(_read(run_folders))
    table = _table(groups)
    page = template("compare.html").render(
        groups=groups,
        count=len(table["runs"]),
        seeds=any(len(group.runs) > 1 for group in groups),
        table=table,
        sections=[
            (section, list(entries))
            for section, entries in groupby(in_catalogue_order(table["measures"]), lambda entry: entry.group)
        ],
        curves=curve_charts(groups),
        images=[images_of(group.records[0]) for group in groups],
        settings=_settings(groups),
    )
    write_text(out, page)
    return Path(out)


def _read(run_folders: Sequence[str | Path]) -> list[Record]:
    if len(run_folders) < 2:
        raise GeneraError(f"a comparison needs at least two run folders, got {len(run_folders)}.")
    records = [read_run(folder) for folder in run_folders]
    for record in records:
        if not record.measures:
            raise GeneraError(f"{record.path} has no measures to compare; run: genera evaluate {record.path}")
    return records


def _table(groups: Sequence[Group]) -> dict[str, Any]:
    runs = [
        {
            "run": name,
            "group": group.name,
            "method": record.config.get("method"),
            "preset": record.config.get("preset"),
            "data": record.measured_data,
            "split": record.evaluation.get("split"),
            "items": record.evaluation.get("items"),
        }
        for group in groups
        for name, record in zip(group.runs, group.records, strict=True)
    ]
    records = [record for group in groups for record in group.records]
    warnings = []
    for key, words in SET.items():
        if len({run[key] for run in runs}) > 1:
            each = ", ".join(f"{run['run']}: {run[key]}" for run in runs)
            warnings.append(f"Not comparable: the {words} differs ({each}).")
    readings = [record.config.get("data") for record in records]
    same_reading = all(reading == readings[0] for reading in readings)
    names = {name for record in records for name in record.measures}
    measures = {}
    for entry in in_catalogue_order(names):
        values = [group.figure(entry.name) for group in groups]
        # Tokens are the same only where the data was read the same way.
        comparable = not warnings and (same_reading or entry.name != "ppl_token")
        measures[entry.name] = {
            "title": entry.title,
            "unit": entry.unit,
            "better": entry.better,
            "values": values,
            "best": _best(entry, values) if comparable else [],
        }
    return {
        "runs": runs,
        "groups": [{"name": group.name, "runs": list(group.runs)} for group in groups],
        "comparable": not warnings,
        "warnings": warnings,
        "measures": measures,
    }


def _best(entry: Definition, values: Sequence[dict[str, Any] | None]) -> list[int]:
    """Indices of the best value and of those that two standard errors do not tell from it."""
    known = {i: v for i, v in enumerate(values) if v and v.get("value") is not None and math.isfinite(v["value"])}
    if entry.better == "neither" or len(known) < 2 or len({v.get("n") for v in known.values()}) > 1:
        return []
    sign = 1 if entry.better == "higher" else -1
    best = max(known.values(), key=lambda v: sign * v["value"])

    def level(value: dict[str, Any]) -> bool:
        noise = math.hypot(value.get("error") or 0, best.get("error") or 0)
        return abs(value["value"] - best["value"]) <= 2 * noise

    return [i for i, v in known.items() if level(v)]


def curve_charts(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One chart a logged term, the groups' training curves over each other; of several seeds mean and deviation."""
    found = {
        (term, f"{group.name}, {stage}".rstrip(", ")): curves
        for group in groups
        for term, stages in group.curves().items()
        for stage, curves in stages.items()
    }
    names = list(dict.fromkeys(name for _, name in found))  # every chart has all of them: one colour each on the page
    nothing: tuple[Curve, Curve, Curve] = ([], [], [])
    charts = []
    for term in curve_order({term for term, _ in found}):
        lines = {name: found.get((term, name), nothing) for name in names}
        charts.append(
            {
                "title": CURVE_TITLES.get(term, term.replace("_", " ")),
                "legend": names,
                "svg": line_chart(
                    {name: means for name, (means, _, _) in lines.items()},
                    f"{term} over steps",
                    bands={name: (low, high) for name, (_, low, high) in lines.items() if low != high},
                ),
            }
        )
    return charts


def _settings(groups: Sequence[Group]) -> list[tuple[str, list[Any]]]:
    """(field, value of each group) of every config field that differs."""
    flattened = [flat(group.records[0].config) for group in groups]
    fields = dict.fromkeys(name for config in flattened for name in config)
    rows = [(name, [config.get(name) for config in flattened]) for name in fields]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]
