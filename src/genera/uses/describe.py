"""Instructions for paths, written by a trained speaker."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genera.engine.capabilities import Describes
from genera.errors import GeneraError
from genera.navigation.episodes import Episode, EpisodeTable
from genera.uses.navigate import open_data

if TYPE_CHECKING:
    from genera.uses.run import Run


def describe(
    run: "Run",
    paths: Sequence[Mapping[str, Any]],
    *,
    data: str | None = None,
    features: Path | None = None,
    seed: int = 0,
    **options: Any,
) -> list[str]:
    """An instruction for each path, a mapping with `scan`, `path` (viewpoint ids) and `heading` (radians, default 0).

    data: source of graphs and views instead of the run's. features: feature file of the views instead of the run's.
    options: temperature, top_k, top_p, max_tokens, beams and length_penalty of the decoding.
    Raises GeneraError for a path with a move that is not an edge, an unknown scan or viewpoint, and a run without a
    speaker.
    """
    model = run.able(Describes, "describe paths")
    if not isinstance(paths, Sequence) or isinstance(paths, str) or not all(isinstance(p, Mapping) for p in paths):
        raise GeneraError(f"expected a list of paths, each a mapping with scan, path and heading; got {paths!r:.60}.")
    if not paths:
        raise GeneraError("no path to describe; give at least one.")
    opened = open_data(run, data, features)
    table = EpisodeTable(opened.graphs, tuple(_episode(path, f"path {i}") for i, path in enumerate(paths)))
    table.check()
    return model.describe(table.reference, table.heading, data=opened, generator=run.generator(seed), **options)


def _episode(described: Mapping[str, Any], where: str) -> Episode:
    scan, path, heading = described.get("scan"), described.get("path"), described.get("heading", 0.0)
    if not isinstance(scan, str) or not isinstance(heading, int | float) or not isfinite(heading):
        raise GeneraError(f"{where} needs a scan (a text) and a heading (radians); got {scan!r} and {heading!r}.")
    if not isinstance(path, list | tuple) or not path or not all(isinstance(name, str) for name in path):
        raise GeneraError(f"{where} needs a list of at least one viewpoint, got {path!r}.")
    return Episode(where, scan, tuple(path), float(heading), instruction="", goals=())
