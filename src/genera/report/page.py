"""One self-contained HTML page for a run: what came out, in plain words first, from the run folder's files alone."""

import base64
import math
import shlex
from collections.abc import Iterable
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader

from genera.files import write_text
from genera.report.charts import column_chart, finite, line_chart, map_points
from genera.report.floor_plans import action_tables, breakdown_charts, walk_cards
from genera.report.formatting import changed, define, duration, figure, fold, in_catalogue_order
from genera.report.labels import guides_of, probe_of
from genera.report.run_files import Record, read_run

HEADLINES = (
    "ppl_word",
    "kl",
    "likelihood_lost_on_swap",
    "valid_responses",
    "bleu_f1",
    "response_nats",
    "response_lost_on_swap",
    "distinct_2_across",
    "exact_reconstruction",
    "grammatical_samples",
    "bleu_reconstruction",
    "factor_accuracy_analogy",
    "analogy_exact",
    "novel",
    "self_bleu",
    "fid",
    "kid",
    "precision",
    "recall",
    "valid_images",
    "modes_covered",
    "fid_a2b",
    "fid_b2a",
    "kid_a2b",
    "kid_b2a",
    "translation_shape_a2b",
    "translation_shape_b2a",
    "SR",
    "SR_unseen",
    "SPL_unseen",
    "goal_progress_unseen",
    "SR_shuffled_unseen",
    "SR_random_unseen",
    "action_accuracy_unseen",
    "speaker_bleu_unseen",
)
TILES = 6
FIRST_CURVES = ("loss", "reconstruction", "kl", "beta", "lr", "grad_norm", "items_per_second", "memory_mb")
CURVE_TITLES = {
    "lr": "learning rate",
    "grad_norm": "gradient norm",
    "items_per_second": "items a second",
    "memory_mb": "memory, MB",
}
MAP_SIZE = (900, 520)


def write_report(run_folder: str | Path) -> Path:
    """Write RUN/report.html and return its path. What is not measured yet is named, with the command that makes it.

    Raises:
        GeneraError: `run_folder` is no run, one of its files is broken, or the page cannot be written.
    """
    record = read_run(run_folder)
    path = record.path / "report.html"
    write_text(path, render_report(record))
    return path


def render_report(record: Record) -> str:
    evaluation = record.evaluation
    examples = evaluation.get("examples") or {}
    return template("page.html").render(
        record=record,
        evaluation=evaluation,
        summary=_summary(record),
        missing=_missing(record),
        tiles=_tiles(record),
        measures=[
            (group, list(entries))
            for group, entries in groupby(in_catalogue_order(record.measures), lambda entry: entry.group)
        ],
        curves=_curve_charts(record),
        dimensions=_dimension_charts(evaluation),
        lengths=_length_charts(evaluation.get("lengths") or {}),
        latent_map=_latent_map(evaluation.get("latent_map") or {}),
        factors=evaluation.get("factors") or {},
        probe=probe_of(record.path),
        guides=guides_of(record.path),
        examples=examples,
        images=images_of(record),
        factor_shares=evaluation.get("factor_shares") or {},
        walks=walk_cards(evaluation.get("walks") or []),
        breakdowns=breakdown_charts(evaluation.get("breakdowns") or {}),
        actions=action_tables(evaluation.get("actions") or {}),
        instructions=evaluation.get("instructions") or [],
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
    environment.filters |= {"figure": figure, "changed": changed, "define": define, "fold": fold}
    return environment


def template(name: str) -> Any:
    return _environment().get_template(name)


def curve_order(terms: Iterable[str]) -> list[str]:
    """Logged terms as pages show them: a method's own go before the learning rate."""

    def place(term: str) -> tuple[float, str]:
        return FIRST_CURVES.index(term if term in FIRST_CURVES else "lr") - 0.5 * (term not in FIRST_CURVES), term

    return sorted(terms, key=place)


def _curve_charts(record: Record) -> list[dict[str, Any]]:
    """One chart a logged term, training and validation over each other."""
    terms = record.curves()
    return [
        {
            "title": CURVE_TITLES.get(term, term.replace("_", " ")),
            "last": next(iter(terms[term].values()))[-1][1],
            "legend": list(terms[term]),
            "svg": line_chart(terms[term], f"{term} over steps"),
        }
        for term in curve_order(terms)
    ]


def _summary(record: Record) -> str:
    steps, seconds = record.last("step"), record.last("seconds")
    text = f"Trained on {record.data} for {figure(steps)} steps" if steps is not None else f"On {record.data}"
    text += f" ({duration(seconds)})" if seconds is not None else ""
    if items := record.evaluation.get("items"):
        text += f"; measured on {figure(items)} items of the {record.evaluation.get('split', '?')} split"
        text += f" of {record.measured_data}" if record.measured_data != record.data else ""
    return text + "."


def _missing(record: Record) -> list[tuple[str, str]]:
    """(what the page lacks, the command that makes it)"""
    run = shlex.quote(str(record.path))
    found = []
    if not record.rows:
        train = shlex.join(["genera", "train", record.title, "--data", record.data, "--out", str(record.path)])
        found.append(("No curves: this run has logged nothing yet.", train))
    if not record.evaluation:
        found.append(("No measures, examples or diagnosis: it was not evaluated.", f"genera evaluate {run}"))
    return found


def _tiles(record: Record) -> list[tuple[Any, dict[str, Any]]]:
    return [(define(name), record.measures[name]) for name in HEADLINES if name in record.measures][:TILES]


def _dimension_charts(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """Per latent dimension, in the order of falling KL: where the information is."""
    kl, variance = (evaluation.get(f"{name}_per_dimension") or [] for name in ("kl", "variance"))
    ranked = kl or variance
    order = sorted(range(len(ranked)), key=lambda i: -ranked[i] if finite(ranked[i]) else math.inf)
    return [
        {
            "title": title,
            "svg": column_chart(
                [values[i] for i in order], [f"dimension {i}: {figure(values[i])}{unit}" for i in order], title
            ),
        }
        for title, values, unit in (
            ("KL, nats, by dimension", kl, " nats"),
            ("variance of the mean, by dimension", variance, ""),
        )
        if values
    ]


def _length_charts(lengths: dict[str, Any]) -> list[dict[str, Any]]:
    titles = {"reconstruction_nats": "reconstruction, nats, by words", "exact": "exact share, by words"}
    return [
        {
            "title": title,
            "svg": line_chart({name: list(zip(lengths["words"], lengths[name], strict=False))}, title, from_zero=True),
        }
        for name, title in titles.items()
        if lengths.get("words") and lengths.get(name)
    ]


def _latent_map(latent_map: dict[str, Any]) -> dict[str, Any]:
    """Points in the picture with their texts and labels, all cut to the points that can be drawn."""
    points = map_points(latent_map.get("points") or [], *MAP_SIZE)
    if not points:
        return {}
    labels = {name: [values[i] for i, _, _ in points] for name, values in (latent_map.get("labels") or {}).items()}
    texts = latent_map.get("texts") or []
    return {
        "method": latent_map.get("method", "map"),
        "size": MAP_SIZE,
        "points": [(x, y, texts[i] if i < len(texts) else "") for i, x, y in points],
        "labels": labels,
    }


def images_of(record: Record) -> list[dict[str, str]]:
    """The pictures of the evaluation that are still in the run folder, inside the page."""
    found = []
    for entry in record.evaluation.get("images") or []:
        file = record.path / entry["file"]
        if file.is_file() and file.resolve().is_relative_to(record.path.resolve()):
            content = base64.b64encode(file.read_bytes()).decode()
            found.append({**entry, "uri": f"data:image/png;base64,{content}"})
    return found


def _facts(record: Record) -> dict[str, Any]:
    """What ran where, as far as the files say."""
    speeds = [row["items_per_second"] for row in record.rows if row.get("items_per_second") is not None]
    facts = {
        "run folder": record.path.name,
        "genera": record.config.get("genera"),
        "items a second": figure(median(speeds)) if speeds else None,
        "peak memory": f"{figure(record.last('memory_mb'))} MB" if record.last("memory_mb") else None,
        "evaluation seed": record.evaluation.get("seed"),
        "evaluation took": duration(record.evaluation["seconds"]) if record.evaluation.get("seconds") else None,
        **flat(record.status),
    }
    return {name: value for name, value in facts.items() if value is not None}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one level, {"train.seed": 42}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found
