"""Comparisons of runs: measures in one table, curves in shared charts, samples side by side. Runs that differ only in
their seed form one group."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from genera.engine.folder import RunFolder
from genera.errors import GeneraError, unknown
from genera.evaluation.storage import Stored, all_definitions, stored_in
from genera.evaluation.verdict import grades
from genera.files import write_text
from genera.measures.schema import Definition, Figure
from genera.report.charts import line_chart
from genera.report.drawing import sections, slug
from genera.report.page import curve_order, findings, flat, template, term_title
from genera.report.run_files import Record, read_run
from genera.report.seeds import Curve, Group, grouped

SHOWN = ("picture", "examples")
"""Kinds of blocks that are shown side by side."""
IMAGE_FORM = ("image_size", "channels", "limit")
"""Settings of the data in which runs must agree whose images are compared by features."""
SET = ("data", "split")
"""Fields in which the evaluations of the runs must agree."""


def comparison_table(run_folders: Sequence[str | Path], *, evaluation: str | None = None) -> dict[str, Any]:
    """All measures of all runs as plain values, ready for JSON. Runs that differ only in their seed form one group.

    evaluation: name, or a prefix of it, of the evaluation to compare [the newest that all runs have with the same data,
    split and settings; else the newest of each].

    {"runs": [{"run", "group", "method", "preset", "evaluation", "others", "data", "split", "step", "settings"}],
    "groups": [{"name", "runs": [name]}], "comparable": bool, "warnings": [str], "measures": {key: {"measure", "title",
    "unit", "better", "group", "values": [{"value", "error", "n"} | None], "best": [index], "differs": str}}}, with
    values and indices by group.
    A group of several runs has their mean as "value", "sd" over seeds, "error" sd/√runs, and "runs", the value of each.
    `best` lists the best group and all groups within two standard errors of it. It is empty where that tells no group
    from another, where a standard error is unknown, and where the measure has no direction. `differs` says why the
    values of a row do not compare, such as other items, options, features or decoding; then `best` is empty, too.

    Raises:
        GeneraError: fewer than two runs, a folder without an evaluated run, or a run without that evaluation.
    """
    return _table(grouped(_read(run_folders, evaluation)))


def kept(table: dict[str, Any], only: Sequence[str]) -> dict[str, Any]:
    """The table with only these measures, in this order; with all measures if `only` is empty.

    Raises GeneraError for a measure that the table lacks.
    """
    for name in only:
        if name not in table["measures"]:
            raise unknown("measure of these runs", name, table["measures"])
    return table | {"measures": {name: table["measures"][name] for name in only or table["measures"]}}


def write_comparison(run_folders: Sequence[str | Path], out: str | Path, *, evaluation: str | None = None) -> Path:
    """Write one self-contained HTML page that compares the runs to the file `out`, and return its path. Runs that
    differ only in their seed share a column: mean ± standard deviation. evaluation: as in `comparison_table`."""
    groups = grouped(_read(run_folders, evaluation))
    table = _table(groups)
    page = template("compare.html").render(
        groups=groups,
        count=len(table["runs"]),
        seeds=any(len(group.runs) > 1 for group in groups),
        table=table,
        measures=[
            (name, list(rows)) for name, rows in groupby(table["measures"].values(), key=lambda row: row["group"])
        ],
        definitions=all_definitions(record.measured for group in groups for record in group.records),
        findings=[findings(group.records[0].measured) for group in groups],
        verdicts=_verdicts(groups),
        sections=_side_by_side(groups),
        curves=curve_charts(groups),
        settings=_settings(groups),
    )
    write_text(out, page)
    return Path(out)


def _verdicts(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Use → its grade in the first run of each group; empty where that was not judged."""
    given = [grades(group.records[0].measured.diagnosis) for group in groups]
    return {use: [one.get(use, "") for one in given] for use in dict.fromkeys(use for one in given for use in one)}


def _read(run_folders: Sequence[str | Path], evaluation: str | None) -> list[Record]:
    if len(run_folders) < 2:
        raise GeneraError(f"a comparison needs at least two run folders, got {len(run_folders)}.")
    folders = [RunFolder.existing(folder).path for folder in run_folders]
    for folder in folders:
        if not stored_in(folder):
            raise GeneraError(f"{folder} has no measures to compare; run: genera evaluate {folder}")
    if evaluation is not None:
        return [read_run(folder, evaluation) for folder in folders]
    return [read_run(folder, name) for folder, name in zip(folders, _alike(folders), strict=True)]


def _alike(folders: Sequence[Path]) -> list[str]:
    """Name of each run's evaluation: the newest with the same data, split and settings, if all runs have one."""
    every = [{_kind(stored): stored for stored in stored_in(folder)} for folder in folders]
    shared = set.intersection(*(set(evaluations) for evaluations in every))
    best = max(shared, key=lambda kind: max(known[kind].written for known in every), default=None)
    return [(known[best] if best else list(known.values())[-1]).name for known in every]


def _kind(stored: Stored) -> str:
    return json.dumps([stored.data, stored.split, stored.settings], sort_keys=True)


def _table(groups: Sequence[Group]) -> dict[str, Any]:
    runs = []
    for group in groups:
        for name, record in zip(group.runs, group.records, strict=True):
            stored = record.measured
            told = {key: getattr(stored, key) for key in ("method", "preset", "data", "split", "step", "settings")}
            others = [other.name for other in record.others]
            runs.append({"run": name, "group": group.name, "evaluation": stored.name, "others": others} | told)
    records = [record for group in groups for record in group.records]
    warnings = []
    for key in SET:
        if len({run[key] for run in runs}) > 1:
            each = ", ".join(f"{run['run']}: {run[key]}" for run in runs)
            warnings.append(f"Not comparable: the {key} differs ({each}).")
    measures = {}
    for key, figure in _figures(records).items():
        entry = next(d for record in records if (d := record.measured.definitions.get(figure.measure)))
        values = [group.figure(key) for group in groups]
        differs = "" if warnings else _differs(records, key, entry)
        measures[key] = {
            "measure": figure.measure,
            "title": ", ".join((entry.title, *figure.qualifiers)),
            "unit": entry.unit,
            "better": entry.better,
            "group": entry.group,
            "values": values,
            "best": [] if warnings or differs else _best(entry, values),
            "differs": differs,
        }
    return {
        "runs": runs,
        "groups": [{"name": group.name, "runs": list(group.runs)} for group in groups],
        "comparable": not warnings,
        "warnings": warnings,
        "measures": measures,
    }


def _figures(records: Sequence[Record]) -> dict[str, Figure]:
    """All figures of any run, by key, in the order of the measures' groups and definitions."""
    definitions = all_definitions(record.measured for record in records)
    order = {name: place for place, name in enumerate(definitions)}
    groups = list(dict.fromkeys(entry.group for entry in definitions.values()))
    figures = {key: figure for record in reversed(records) for key, figure in record.measures.items()}

    def place(entry: tuple[str, Figure]) -> tuple[int, int]:
        return groups.index(definitions[entry[1].measure].group), order[entry[1].measure]

    return dict(sorted(figures.items(), key=place))


def _differs(records: Sequence[Record], key: str, entry: Definition) -> str:
    """Why the values of a figure do not compare between the runs; empty if they do, as far as known."""
    having = [record for record in records if key in record.measures]
    results = [record.measured.results[record.measured.evaluator_of(key)] for record in having]
    facts = [result.get("facts") or {} for result in results]
    reasons = []
    if len({record.measures[key].n for record in having}) > 1:
        reasons.append(("items", [f"{record.measures[key].n:,}" for record in having]))
    options = [result["options"] for result in results if result["options"]]
    for name in dict.fromkeys(name for one in options for name in one):
        values = [one.get(name) for one in options]
        if any(value != values[0] for value in values):
            reasons.append((name.replace("_", " "), [str(value) for value in values]))
    if any("decoding" in fact for fact in facts):
        reasons.append(("decoding", [decoding_text(fact.get("decoding")) for fact in facts]))
    if any("features" in fact for fact in facts):
        reasons.append(("features", [str(fact.get("features", "not recorded")) for fact in facts]))
    readings = [flat(record.config["data"]) for record in having if isinstance(record.config.get("data"), dict)]
    read: Iterable[str] = ()
    if entry.unit == "per token":  # tokens compare only if the data was read in the same way
        read = dict.fromkeys(name for reading in readings for name in reading)
    elif any("features" in fact for fact in facts):
        read = IMAGE_FORM
    for name in read:
        reasons.append((name.replace("_", " "), [str(reading.get(name)) for reading in readings]))
    told = [(name, list(dict.fromkeys(values))) for name, values in reasons]
    return "; ".join(f"{name}: {' and '.join(values)}" for name, values in told if len(values) > 1)


def decoding_text(decodings: Sequence[Mapping[str, Any]] | None) -> str:
    """`greedy, at most 64 tokens`; `temperature 1, top-p 0.9, at most 64 tokens`."""
    if decodings is None:
        return "not recorded"
    return " or ".join(dict.fromkeys(_one_decoding(decoding) for decoding in decodings))


def _one_decoding(decoding: Mapping[str, Any]) -> str:
    parts = [f"temperature {decoding['temperature']:g}" if decoding["temperature"] else "greedy"]
    if decoding.get("beams", 1) > 1:
        parts = [f"beam search with {decoding['beams']} beams"]
    if decoding.get("length_penalty", 1) != 1:
        parts += [f"length penalty {decoding['length_penalty']:g}"]
    parts += [f"top-k {decoding['top_k']}"] if decoding["top_k"] else []
    parts += [f"top-p {decoding['top_p']:g}"] if decoding["top_p"] < 1 else []
    parts += [f"at most {decoding['max_tokens']} tokens"] if "max_tokens" in decoding else []
    return ", ".join(parts)


def _side_by_side(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The pictures and examples of the first run of each group, section by section."""
    drawn = []
    for group in groups:
        record = group.records[0]
        blocks = [block for block in record.measured.blocks if block["kind"] in SHOWN]
        drawn.append({section["title"]: section for section in sections(blocks, record.path)})
    titles = dict.fromkeys(title for each in drawn for title in each)
    return [{"title": title, "id": slug(title), "groups": [each.get(title) for each in drawn]} for title in titles]


def _best(entry: Definition, values: Sequence[dict[str, Any] | None]) -> list[int]:
    """Indices of the best value and of those within two standard errors of it; none if no value is beyond that."""
    known = {i: v for i, v in enumerate(values) if v and v.get("value") is not None and math.isfinite(v["value"])}
    if entry.better == "neither" or len(known) < 2 or any(v.get("error") is None for v in known.values()):
        return []
    sign = 1 if entry.better == "higher" else -1
    best = max(known.values(), key=lambda v: sign * v["value"])

    def level(value: dict[str, Any]) -> bool:
        return abs(value["value"] - best["value"]) <= 2 * math.hypot(value["error"], best["error"])

    near = [i for i, v in known.items() if level(v)]
    return near if len(near) < len(known) else []


def curve_charts(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One chart per logged term with the training curves of all groups; mean and deviation over several seeds."""
    curves_of = {
        (term, f"{group.name}, {stage}".rstrip(", ")): curves
        for group in groups
        for term, stages in group.curves().items()
        for stage, curves in stages.items()
    }
    names = list(dict.fromkeys(name for _, name in curves_of))  # in every chart, for consistent colours
    nothing: tuple[Curve, Curve, Curve] = ([], [], [])
    charts = []
    for term in curve_order({term for term, _ in curves_of}):
        lines = {name: curves_of.get((term, name), nothing) for name in names}
        charts.append(
            {
                "title": term_title(term),
                "legend": names,
                "svg": line_chart(
                    {name: means for name, (means, _, _) in lines.items()},
                    f"{term_title(term)} over steps",
                    x="step",
                    y=term_title(term),
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
