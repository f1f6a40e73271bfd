"""One self-contained HTML page about a run, findings first, made only from the files of the run folder."""

import shlex
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader

from genera.evaluation.storage import Stored, all_definitions
from genera.evaluation.verdict import grades
from genera.files import write_text
from genera.measures.schema import Definition, Figure
from genera.report.charts import line_chart
from genera.report.drawing import sections
from genera.report.formatting import duration, figure, fold
from genera.report.run_files import Record, read_run

TILES = 6
FIRST_CURVES = ("loss", "reconstruction", "kl", "beta", "lr", "grad_norm", "items_per_second", "memory_mb")
CURVE_TITLES = {
    "lr": "learning rate",
    "beta": "weight β of the KL",
    "kl": "KL",
    "grad_norm": "gradient norm",
    "items_per_second": "items per second",
    "memory_mb": "memory, MB",
}
BETA_NOTE = (
    "Training weighs the KL by β of its step, validation always by the full β: the two compare only where β has "
    "reached that."
)


def write_report(run_folder: str | Path, *, evaluation: str | None = None) -> Path:
    """Write RUN/report.html and return its path. The page names missing parts, with the commands that create them.

    evaluation: name, or a prefix of it, of the evaluation to show [the newest]; the page lists the others.

    Raises:
        GeneraError: `run_folder` is not a run, lacks the evaluation, has a damaged file, or the page cannot be written.
    """
    record = read_run(run_folder, evaluation)
    path = record.path / "report.html"
    write_text(path, render_report(record))
    return path


def render_report(record: Record) -> str:
    evaluation = record.evaluation
    run = shlex.quote(str(record.path))
    return template("page.html").render(
        record=record,
        evaluation=evaluation,
        summary=_summary(record),
        others=[(other, f"genera report {run} --evaluation {other.name}") for other in record.others],
        missing=_missing(record),
        verdicts=grades(evaluation.diagnosis) if evaluation else {},
        findings=findings(evaluation) if evaluation else [],
        tiles=_tiles(evaluation) if evaluation else [],
        measures=_tables(evaluation) if evaluation else [],
        curves=_curve_charts(record),
        sections=sections(record.blocks, record.path),
        maps=any(block.get("kind") == "scatter" for block in record.blocks),
        config=yaml.safe_dump(record.config, sort_keys=False, allow_unicode=True),
        facts=_facts(record),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("genera", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "fold": fold}
    return environment


def template(name: str) -> Any:
    return _environment().get_template(name)


def curve_order(terms: Iterable[str]) -> list[str]:
    """Logged terms in display order: the terms of a method before the learning rate."""

    def place(term: str) -> tuple[float, str]:
        return FIRST_CURVES.index(term if term in FIRST_CURVES else "lr") - 0.5 * (term not in FIRST_CURVES), term

    return sorted(terms, key=place)


def _curve_charts(record: Record) -> list[dict[str, Any]]:
    """One chart per logged term, with training and validation curves."""
    terms = record.curves()
    return [
        {
            "title": term_title(term),
            "last": next(iter(terms[term].values()))[-1][1],
            "legend": list(terms[term]),
            "note": BETA_NOTE if term == "loss" and "beta" in terms and len(terms[term]) > 1 else "",
            "svg": line_chart(terms[term], f"{term_title(term)} over steps", x="step", y=term_title(term)),
        }
        for term in curve_order(terms)
    ]


def term_title(term: str) -> str:
    """Of a logged term: `quantiser/blocks.1/usage` is `quantiser, blocks.1, usage`."""
    return CURVE_TITLES.get(term, term.replace("_", " ").replace("/", ", "))


def _summary(record: Record) -> str:
    steps, seconds = record.last("step"), record.last("seconds")
    text = f"Trained on {record.data} for {figure(steps)} steps" if steps is not None else f"On {record.data}"
    text += f" ({duration(seconds)})" if seconds is not None else ""
    if record.evaluation is not None:
        text += f"; measured on {record.evaluation.title}"
    return text + "."


def _missing(record: Record) -> list[tuple[str, str]]:
    """(missing part of the page, command that creates it)"""
    run = shlex.quote(str(record.path))
    missing = []
    if not record.rows:
        train = shlex.join(["genera", "train", record.title, "--data", record.data, "--out", str(record.path)])
        missing.append(("No curves: this run has not logged anything yet.", train))
    if record.evaluation is None:
        missing.append(("No measures, examples or diagnosis: this run was not evaluated.", f"genera evaluate {run}"))
    return missing


def findings(evaluation: Stored) -> list[dict[str, Any]]:
    """The diagnosis, with its evidence as [(title of the measure, value)]."""
    return [
        finding | {"evidence": [evidence_of(evaluation, *entry) for entry in (finding.get("evidence") or {}).items()]}
        for finding in evaluation.diagnosis
    ]


def evidence_of(evaluation: Stored, key: str, value: float) -> tuple[str, str]:
    """A figure of a finding, formatted for display."""
    named = {figure.key: figure for figure in evaluation.figures}
    if key in named:
        return evaluation.title_of(named[key]), figure(value, evaluation.definitions[named[key].measure].unit)
    known = evaluation.definitions.get(key)
    return (
        (known.title, figure(value, known.unit)) if known else (key.replace("_", " ").replace("/", ", "), figure(value))
    )


def _tiles(evaluation: Stored) -> list[tuple[str, str]]:
    """The first headline figures: (value, title)."""
    known = evaluation.definitions
    headlines = [one for one in evaluation.figures if known[one.measure].headline][:TILES]
    units = {name: f", {entry.unit}" if entry.unit.startswith("nats") else "" for name, entry in known.items()}
    return [
        (figure(one.value, known[one.measure].unit), evaluation.title_of(one) + units[one.measure]) for one in headlines
    ]


def _tables(evaluation: Stored) -> list[dict[str, Any]]:
    """One table per group of measures, with a column for each direction and split."""
    definitions = all_definitions([evaluation])
    groups: dict[str, list[Figure]] = {}
    for name, entry in definitions.items():
        groups.setdefault(entry.group, []).extend(f for f in evaluation.figures if f.measure == name)
    tables = []
    for group, figures in groups.items():
        columns = list(dict.fromkeys(column_of(figure) for figure in figures))
        rows: dict[tuple[str, int | None], list[Figure]] = {}
        for one in figures:
            rows.setdefault((one.measure, one.samples), []).append(one)
        tables.append(
            {
                "title": group,
                "columns": [column or "value" for column in columns],
                "rows": [_row(definitions[row[0].measure], row, columns) for row in rows.values()],
            }
        )
    return tables


def column_of(figure: Figure) -> str:
    """Direction and split of a figure, if it has them."""
    return ", ".join(part for part in (figure.direction, figure.split) if part)


def _row(definition: Definition, figures: Sequence[Figure], columns: Sequence[str]) -> dict[str, Any]:
    at = {column_of(figure): figure for figure in figures}
    samples = figures[0].samples
    return {
        "definition": definition,
        "title": definition.title if samples is None else f"{definition.title}, K = {samples}",
        "figures": [at.get(column) for column in columns],
        "items": " / ".join(dict.fromkeys(figure(one.n) for one in figures)),
    }


def _facts(record: Record) -> dict[str, Any]:
    """Hardware, versions and durations, as far as the files record them."""
    speeds = [row["items_per_second"] for row in record.rows if row.get("items_per_second") is not None]
    results = record.evaluation.results.values() if record.evaluation else ()
    facts = {
        "run folder": record.path.name,
        "genera": record.config.get("genera"),
        "items per second": figure(median(speeds)) if speeds else None,
        "peak memory": f"{figure(record.last('memory_mb'))} MB" if record.last("memory_mb") else None,
        "evaluation took": duration(sum(one["seconds"] for one in results)) if results else None,
        **flat(record.status),
    }
    return {name: value for name, value in facts.items() if value is not None}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping flattened to one level, {"train.seed": 42}."""
    flattened: dict[str, Any] = {}
    for name, value in values.items():
        flattened |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flattened
