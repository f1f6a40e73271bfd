"""Groups of runs that differ only in their seed: mean and spread over seeds."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from genera.report.run_files import Record

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Group:
    """One column of a comparison: a run, or the runs of one setting with several seeds."""

    name: str
    runs: tuple[str, ...]
    """names of its runs"""
    records: tuple[Record, ...]

    def figure(self, key: str) -> dict[str, Any] | None:
        """{"value", "error", "n"} of a single run. For several runs the mean over seeds: "sd" is their standard
        deviation, "error" sd/√runs, "runs" the value of each run; "value" is None if one of these is not a number."""
        figures = [record.measures[key] for record in self.records if key in record.measures]
        if not figures:
            return None
        if len(self.records) == 1:
            return {"value": figures[0].value, "error": figures[0].error, "n": figures[0].n}
        values, counts = [figure.value for figure in figures], {figure.n for figure in figures}
        known = [value for value in values if value is not None and math.isfinite(value)]
        finite = len(known) == len(values)
        sd = stdev(known) if finite and len(values) > 1 else None
        return {
            "value": mean(known) if finite else None,
            "error": sd / math.sqrt(len(values)) if sd is not None else None,
            "n": counts.pop() if len(counts) == 1 else None,
            "sd": sd,
            "runs": values,
        }

    def curves(self) -> dict[str, dict[str, tuple[Curve, Curve, Curve]]]:
        """{term: {stage: (mean, mean - sd, mean + sd)}} of the training rows, at the steps that all runs logged."""
        every = [record.curves() for record in self.records]
        summaries: dict[str, dict[str, tuple[Curve, Curve, Curve]]] = {}
        for term, series in every[0].items():
            for name in series:
                per_run = [dict(curves.get(term, {}).get(name, [])) for curves in every]
                steps = [step for step in per_run[0] if all(step in points for points in per_run)]
                if not name.endswith("train") or not steps:
                    continue
                means = [(step, mean(points[step] for points in per_run)) for step in steps]
                away = [stdev(points[step] for points in per_run) if len(per_run) > 1 else 0.0 for step in steps]
                low = [(step, value - sd) for (step, value), sd in zip(means, away, strict=True)]
                high = [(step, value + sd) for (step, value), sd in zip(means, away, strict=True)]
                summaries.setdefault(term, {})[name.removesuffix("train").rstrip(", ")] = means, low, high
        return summaries


def grouped(records: Sequence[Record]) -> list[Group]:
    """Group the records by their settings without the seed, in the given order. Runs with the same seed stay separate,
    since they are not a sample over seeds."""
    names = _names(records)
    alike: list[tuple[Any, list[int]]] = []
    for index, record in enumerate(records):
        settings = _without_seed(record.config)
        places = next((places for other, places in alike if other == settings), None)
        if places is None:
            alike.append((settings, [index]))
        else:
            places.append(index)
    groups = []
    for _, places in alike:
        seeds = [(records[i].config.get("train") or {}).get("seed") for i in places]
        parts = [places] if len(set(seeds)) == len(seeds) else [[i] for i in places]
        groups += [_group([names[i] for i in part], [records[i] for i in part]) for part in parts]
    return groups


def _group(names: list[str], records: list[Record]) -> Group:
    """A group named after the common folder of its runs."""
    common = names[0] if len(names) == 1 else os.path.commonpath(names)
    return Group(common or ", ".join(names), tuple(names), tuple(records))


def _without_seed(config: dict[str, Any]) -> dict[str, Any]:
    train = config.get("train")
    return config | {"train": {k: v for k, v in train.items() if k != "seed"}} if isinstance(train, dict) else config


def _names(records: Sequence[Record]) -> list[str]:
    """Folder names, with as much of the path as needed to make them unique."""
    names = [record.path.resolve().name for record in records]
    if len(set(names)) == len(names):
        return names
    paths = [str(record.path.resolve()) for record in records]
    shared = os.path.commonpath(paths)
    return [os.path.relpath(path, shared) for path in paths] if shared not in paths else paths
