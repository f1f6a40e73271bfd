"""Draw the typed blocks of evaluations: charts as SVG, tables, cards of lines, embedded pictures."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from genera.errors import GeneraError, reason
from genera.report.charts import column_chart, finite, line_chart, map_points
from genera.report.floor_plans import walk_cards
from genera.report.formatting import changed, figure

MAP_SIZE = (900, 520)
SMALL = {"curves", "bars"}
"""Kinds of blocks of which several fit in a row."""

Block = Mapping[str, Any]


def sections(blocks: Iterable[Block], run: Path) -> list[dict[str, Any]]:
    """Blocks grouped by heading, in order of first occurrence: {"title", "id", "rows": [{"small", "views"}]}.

    Deleted pictures and kinds that this version cannot draw are omitted.
    """
    headings: dict[str, list[dict[str, Any]]] = {}
    for block in blocks:
        try:
            view = VIEWS[block["kind"]](block, run) if block.get("kind") in VIEWS else None
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            name = block.get("title") or block.get("section")
            raise GeneraError(
                f"the block {name!r} of {run} is damaged ({type(error).__name__}: {reason(error)}); "
                f"run `genera evaluate {run}` again."
            ) from error
        if view is not None:
            common = {"kind": block["kind"], "title": block.get("title", ""), "lead": block.get("lead", "")}
            headings.setdefault(block["section"], []).append(common | view)
    return [
        {
            "title": heading,
            "id": slug(heading),
            "rows": [
                {"small": small, "views": list(row)}
                for small, row in groupby(views, key=lambda view: view["kind"] in SMALL)
            ],
        }
        for heading, views in headings.items()
    ]


def slug(heading: str) -> str:
    """An anchor that is unique on the page."""
    return "section-" + re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


# -- one function per kind: block → template values; None if there is nothing to draw ---------------------------------


def _remarks(block: Block, run: Path) -> dict[str, Any]:
    return {"sentences": block["sentences"]}


def _table(block: Block, run: Path) -> dict[str, Any]:
    units = block.get("units") or [""] * len(block["columns"])
    rows = [[cell(value, unit) for value, unit in zip(row, units, strict=False)] for row in block["rows"]]
    numeric = [
        bool(unit) or any(_is_number(row[place]) for row in block["rows"] if place < len(row))
        for place, unit in enumerate(units)
    ]
    heads = [
        f"{name}, {unit}" if unit not in ("", "share") else name
        for name, unit in zip(block["columns"], units, strict=False)
    ]
    return {"columns": list(zip(heads, numeric, strict=True)), "rows": rows, "numeric": numeric}


def cell(value: Any, unit: str) -> dict[str, Any]:
    """{"text"}, with {"spread"} for a number and its spread, {"right"} for a truth value."""
    if isinstance(value, bool):
        return {"text": "", "right": value}
    if isinstance(value, list | tuple):
        return {"text": figure(value[0], unit), "spread": figure(value[1], unit)}
    return {"text": figure(value, unit)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | list | tuple) and not isinstance(value, bool)


def _curves(block: Block, run: Path) -> dict[str, Any]:
    series = block["series"]
    label = block.get("title") or f"{block['y']} over {block['x']}"
    return {
        "title": label,
        "legend": list(series),
        "svg": line_chart(series, label, x=block["x"], y=block["y"], from_zero=block.get("from_zero", False)),
    }


def _bars(block: Block, run: Path) -> dict[str, Any]:
    values, unit = block["values"], block["y"]
    names = [f"{name}: {figure(value, unit)}" for name, value in zip(block["labels"], values, strict=True)]
    title = block.get("title") or unit
    return {"title": title, "svg": column_chart(values, names, title, x=block.get("x") or "number", y=unit)}


def _shares(block: Block, run: Path) -> dict[str, Any]:
    bar, mark = block.get("bar", "generated"), block.get("mark", "data")
    known = [
        share for entry in block["values"].values() for share in (entry.get(bar), entry.get(mark)) if finite(share)
    ]
    scale = 100 / max([*known, 1e-4])
    rows = [
        {
            "name": name,
            "width": scale * entry[bar] if finite(entry.get(bar)) else 0.0,
            "mark": scale * entry[mark] if finite(entry.get(mark)) else None,
            "text": f"{figure(entry.get(bar), 'share')} · {mark} {figure(entry.get(mark), 'share')}",
        }
        for name, entry in block["values"].items()
    ]
    return {"rows": rows}


def _picture(block: Block, run: Path) -> dict[str, Any] | None:
    file = run / block["file"]
    if not file.is_file() or not file.resolve().is_relative_to(run.resolve()):
        return None
    return {"uri": f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"}


def _scatter(block: Block, run: Path) -> dict[str, Any] | None:
    points = map_points(block.get("points") or [], *MAP_SIZE)
    if not points:
        return None
    texts = block.get("texts") or []
    return {
        "method": block.get("method", "Map"),
        "size": MAP_SIZE,
        "points": [(x, y, texts[i] if i < len(texts) else "") for i, x, y in points],
        "labels": {name: [values[i] for i, _, _ in points] for name, values in (block.get("labels") or {}).items()},
    }


def _examples(block: Block, run: Path) -> dict[str, Any]:
    """Cards of lines; as one table if every card is a pair, as a list if every card is a single line without a role."""
    compare = block.get("compare", False)
    cards = [_card(card, compare) for card in block["cards"]]
    roles = {tuple(line["role"] for line in card) for card in cards}
    if len(roles) == 1 and (only := next(iter(roles))) and len(only) == 2 and all(only):
        return {"form": "pairs", "columns": only, "cards": cards}
    if all(len(card) == 1 and not card[0]["role"] and card[0]["right"] is None for card in cards):
        return {"form": "list", "cards": cards}
    return {"form": "cards", "cards": cards}


def _card(lines: Sequence[Block], compare: bool) -> list[dict[str, Any]]:
    """Lines with their words, each with whether the previous line lacks it (for a pair's first line: the second)."""
    texts = [line["text"] for line in lines]
    before: list[str | None] = [None, *texts[:-1]]
    if len(lines) == 2:
        before[0] = texts[1]
    others = [b if compare and not line.get("anew") else None for b, line in zip(before, lines, strict=True)]
    return [
        {
            "role": line.get("role", ""),
            "right": line.get("right"),
            "words": changed(line["text"], other),
            "same": place > 0 and compare and line["text"] == other,
        }
        for place, (line, other) in enumerate(zip(lines, others, strict=True))
    ]


def _floor_plans(block: Block, run: Path) -> dict[str, Any]:
    return {"walks": walk_cards(block["walks"])}


VIEWS: Mapping[str, Callable[[Block, Path], dict[str, Any] | None]] = {
    "remarks": _remarks,
    "table": _table,
    "curves": _curves,
    "bars": _bars,
    "shares": _shares,
    "picture": _picture,
    "scatter": _scatter,
    "examples": _examples,
    "floor-plans": _floor_plans,
}
