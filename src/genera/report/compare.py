"""Runs side by side: the same measures in one table, curves over each other, samples next to each other."""

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from genera.errors import GeneraError
from genera.files import write_text
from genera.measures.definition import Definition
from genera.report.page import curve_charts, flat, template
from genera.report.record import Record, read_run
from genera.report.words import in_catalogue_order

SET = {"data": "data", "split": "split", "items": "number of items"}


def comparison_table(run_folders: Sequence[str | Path]) -> dict[str, Any]:
    """All measures of all runs as plain values, ready for JSON.

    {"runs": [{"run", "method", "preset", "data", "split", "items"}], "comparable": bool, "warnings": [str],
    "measures": {name: {"title", "unit", "better", "values": [{"value", "error", "n"} | None], "best": [index]}}}.
    `best` holds the best run and every run within two standard errors of it; it is empty where the catalogue knows
    no direction or the figures are not of the same items.

    Raises:
        GeneraError: fewer than two runs, or a folder that is no evaluated run.
    """
    return _table(_read(run_folders))


def write_comparison(run_folders: Sequence[str | Path], out: str | Path) -> Path:
    """Write one self-contained HTML page that compares the runs to the file `out`, and return its path."""
    records = _read(run_folders)
    names = _names(records)
    table = _table(records)
    page = template("compare.html").render(
        names=names,
        records=records,
        table=table,
        groups=[
            (group, list(entries))
            for group, entries in groupby(in_catalogue_order(table["measures"]), lambda entry: entry.group)
        ],
        curves=curve_charts(dict(zip(names, records, strict=True))),
        settings=_settings(records),
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


def _names(records: Sequence[Record]) -> list[str]:
    """Folder names, or whole paths where two folders are named alike."""
    names = [record.path.name for record in records]
    return names if len(set(names)) == len(names) else [str(record.path) for record in records]


def _table(records: Sequence[Record]) -> dict[str, Any]:
    runs = [
        {
            "run": name,
            "method": record.config.get("method"),
            "preset": record.config.get("preset"),
            "data": record.measured_data,
            "split": record.evaluation.get("split"),
            "items": record.evaluation.get("items"),
        }
        for name, record in zip(_names(records), records, strict=True)
    ]
    warnings = []
    for key, words in SET.items():
        if len({run[key] for run in runs}) > 1:
            each = ", ".join(f"{run['run']}: {run[key]}" for run in runs)
            warnings.append(f"Not comparable: the {words} differs ({each}).")
    readings = [record.config.get("data") for record in records]
    same_reading = all(reading == readings[0] for reading in readings)
    measures = {}
    for entry in in_catalogue_order({name for record in records for name in record.measures}):
        values = [record.measures.get(entry.name) for record in records]
        # Tokens are the same only where the data was read the same way.
        comparable = not warnings and (same_reading or entry.name != "ppl_token")
        measures[entry.name] = {
            "title": entry.title,
            "unit": entry.unit,
            "better": entry.better,
            "values": values,
            "best": _best(entry, values) if comparable else [],
        }
    return {"runs": runs, "comparable": not warnings, "warnings": warnings, "measures": measures}


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


def _settings(records: Sequence[Record]) -> list[tuple[str, list[Any]]]:
    """(field, value of each run) of every config field that differs."""
    flattened = [flat(record.config) for record in records]
    fields = dict.fromkeys(name for config in flattened for name in config)
    rows = [(name, [config.get(name) for config in flattened]) for name in fields]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]
