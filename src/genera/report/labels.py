"""What probe.json and the scores of guides say, laid out for the page."""

import math
from pathlib import Path
from typing import Any

from genera.errors import GeneraError
from genera.files import read_json
from genera.report.charts import line_chart, map_points
from genera.report.formatting import figure, in_catalogue_order

MAP_SIZE = (900, 420)


def probe_of(run: Path) -> dict[str, Any]:
    """The learning curves as table, chart and map; empty where the run was not probed. GeneraError when damaged."""
    if not (run / "probe.json").exists():
        return {}
    probe = _read(run / "probe.json", {"curves", "findings", "data", "test_items", "chance", "map"})
    curves = probe["curves"]
    return {
        "lead": f"Accuracy on {figure(probe['test_items'])} test items of {probe['data']}, mean ± standard deviation "
        f"over draws of the labelled items; the commonest class alone is {figure(probe['chance'], 'share')}.",
        "findings": probe["findings"],
        "shots": [point["shots"] for point in next(iter(curves.values()))],
        "curves": curves,
        "chart": {
            "title": "accuracy, by log10 of the shots per class",
            "legend": list(curves),
            "svg": line_chart(
                {name: [(math.log10(p["shots"]), p["accuracy"]) for p in points] for name, points in curves.items()},
                "accuracy by shots per class",
            ),
        },
        "map": _map(probe["map"] or {}),
    }


def _map(found: dict[str, Any]) -> dict[str, Any]:
    points = map_points(found.get("points") or [], *MAP_SIZE)
    if not points:
        return {}
    legend = sorted(set(found["labels"]))
    return {
        "method": found["method"],
        "size": MAP_SIZE,
        "legend": legend,
        "points": [(x, y, legend.index(found["labels"][i]), found["texts"][i]) for i, x, y in points],
    }


def guides_of(run: Path) -> list[dict[str, Any]]:
    """The scored guides of a run, by name."""
    found = []
    for path in sorted((run / "guides").glob("*/scores.json")):
        scores = _read(path, {"measures", "examples", "method", "items_per_label", "data", "chance"})
        lead = f"By {scores['method']}, {scores['items_per_label']} items of each label of {scores['data']}; "
        found.append(
            {
                "name": path.parent.name,
                "lead": f"{lead}chance is {figure(scores['chance'], 'share')}.",
                "measures": [
                    (entry, scores["measures"][entry.name]) for entry in in_catalogue_order(scores["measures"])
                ],
                "examples": scores["examples"],
            }
        )
    return found


def _read(path: Path, needed: set[str]) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict) or not needed <= value.keys():
        raise GeneraError(f"{path} is damaged (it lacks what its command wrote); make it again or delete it.")
    return value
