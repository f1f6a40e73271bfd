"""Floor plans: houses from above with the agent's trajectories, and the words attended to at each step."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from genera.report.charts import map_points
from genera.report.formatting import figure

SIZE = (460, 320)
MARGIN = 3.0
"""Metres of the house drawn around the trajectory."""
FAINT = 0.05
"""Shades below this are omitted."""
TOLD = {"NE": ("NE", "m"), "SPL": ("SPL", "share"), "nDTW": ("nDTW", "share"), "goal_progress": ("progress", "m")}
"""Figures of a single trajectory: label and unit."""
SPLITS = {"val_seen": "seen houses", "valid": "seen houses", "val_unseen": "unseen houses", "train": "training"}


def walk_cards(walks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Map, captions and shaded words of each trajectory of an evaluation."""
    return [
        {
            "title": f"{walk['scan']}, episode {walk['id']}, {SPLITS.get(walk['split'], walk['split'])}",
            "arrived": bool(walk["figures"]["SR"]),
            "figures": ", ".join(
                f"{label} {figure(walk['figures'][name], unit)}{' m' if unit == 'm' else ''}"
                for name, (label, unit) in TOLD.items()
                if name in walk["figures"]
            ),
            "instruction": walk["instruction"],
            "svg": floor_plan(walk),
            "steps": attention_rows(walk.get("words") or [], walk.get("attention") or []),
        }
        for walk in walks
    ]


def floor_plan(walk: Mapping[str, Any]) -> Markup:
    """The house around the trajectory, north up: viewpoints and edges, the reference, the trajectory, the goal."""
    positions = walk["positions"]
    used = {*walk["path"], *walk["reference"], *walk["goals"][:1]}
    low, high = ([side(positions[i][axis] for i in used) for axis in range(3)] for side in (min, max))
    near = [
        i
        for i, place in enumerate(positions)
        if all(a - MARGIN <= p <= b + MARGIN for a, p, b in zip(low, place, high, strict=True))
    ]
    at = {near[i]: (x, y) for i, x, y in map_points([positions[i][:2] for i in near], *SIZE)}
    parts = [_line("edge", [at[a], at[b]]) for a, b in walk["edges"] if a in at and b in at]
    parts += [Markup('<circle class="place" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(*at[i]) for i in near]
    parts.append(_line("reference", [at[i] for i in walk["reference"]]))
    parts.append(_line("walked", [at[i] for i in walk["path"]]))
    parts += [
        Markup('<circle class="goal" cx="{:.1f}" cy="{:.1f}" r="9"/>').format(*at[i]) for i in walk["goals"] if i in at
    ]
    steps: dict[int, list[str]] = {}
    for step, node in enumerate(walk["path"]):
        steps.setdefault(node, []).append(str(step))
    for node, numbers in steps.items():
        x, y = at[node]
        beside, anchor = (x + 6, "start") if x < 0.75 * SIZE[0] else (x - 6, "end")
        parts.append(Markup('<circle class="step" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, y))
        parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                beside, max(y - 5, 9), anchor, ",".join(numbers)
            )
        )
    start = Markup('<svg class="plan" viewBox="0 0 {} {}" role="img" aria-label="floor plan">').format(*SIZE)
    return start + Markup("").join(parts) + Markup("</svg>")


def _line(kind: str, points: Sequence[tuple[float, float]]) -> Markup:
    return Markup('<polyline class="{}" points="{}"/>').format(kind, " ".join(f"{x:.1f},{y:.1f}" for x, y in points))


def attention_rows(words: Sequence[str], attention: Sequence[Sequence[float]]) -> list[list[tuple[str, float]]]:
    """For each step the words with their shades: √ of the attention if above uniform attention, else 0."""
    even = 1 / max(2, len(words))
    shades = [[max(0.0, (weight - even) / (1 - even)) ** 0.5 for weight in weights] for weights in attention]
    return [
        [(word, round(shade, 2) if shade >= FAINT else 0.0) for word, shade in zip(words, row, strict=True)]
        for row in shades
    ]
