"""Small charts as inline SVG. Colours come from the page's style sheet, so they follow light, dark and print."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 8, 38
MOST_POINTS = 300


def line_chart(
    series: Mapping[str, Points],
    label: str,
    *,
    x: str = "",
    y: str = "",
    from_zero: bool = False,
    bands: Mapping[str, tuple[Points, Points]] | None = None,
) -> Markup:
    """Lines over one x axis. x, y: titles of the axes.

    Non-finite points are omitted; more than MOST_POINTS points are averaged in bins.
    bands: lower and upper edge of a shaded area around the line of this name. An empty series keeps its colour for
    other charts with the same names."""
    lines, edges = {name: _drawable(points) for name, points in series.items()}, dict[str, list[Points]]()
    for name, pair in (bands or {}).items():
        edges[name] = [_drawable(points) for points in pair]
    everything = [p for points in (*lines.values(), *(e for pair in edges.values() for e in pair)) for p in points]
    if not everything:
        return Markup('<p class="missing">No finite values.</p>')
    x_range, y_range = _span([x for x, _ in everything]), _span([y for _, y in everything] + [0.0] * from_zero)
    parts = [_grid(x_range, y_range), _axis_titles(x, y)]

    def traced(points: Points) -> str:
        return " ".join(f"{_x(x, x_range):.1f},{_y(y, y_range):.1f}" for x, y in points)

    for index, (name, points) in enumerate(lines.items()):
        if name in edges:
            low, high = edges[name]
            around = traced([*low, *reversed(high)])
            parts.append(Markup('<polygon class="band-{}" points="{}"/>').format(index % 8, around))
        path = traced(points)
        if not points:
            continue
        if len(points) == 1:
            at = path.split(",")
            parts.append(Markup('<circle class="line-{}" cx="{}" cy="{}" r="3"/>').format(index % 8, *at))
        else:
            parts.append(Markup('<polyline class="line-{}" points="{}"/>').format(index % 8, path))
    return _svg(parts, label)


def column_chart(values: Sequence[float], titles: Sequence[str], label: str, *, x: str = "", y: str = "") -> Markup:
    """One column per value, from 0. titles: tooltips of the columns; x, y: titles of the axes."""
    y_range, x_range = _span([0.0, *(v for v in values if finite(v))]), (0.5, max(1, len(values)) + 0.5)
    parts = [_grid(x_range, y_range, whole=True), _axis_titles(x, y)]
    width = (WIDTH - LEFT - RIGHT) / max(1, len(values))
    for index, (value, title) in enumerate(zip(values, titles, strict=True)):
        if finite(value):
            top, bottom = sorted((_y(value, y_range), _y(0, y_range)))
            parts.append(
                Markup(
                    '<rect class="column" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"><title>{}</title></rect>'
                ).format(LEFT + index * width + 0.1 * width, top, 0.8 * width, bottom - top, title)
            )
    return _svg(parts, label)


def map_points(points: Sequence[Sequence[float]], width: int, height: int) -> list[tuple[int, float, float]]:
    """(index, x, y) of each finite point in a width × height box, both axes on one scale."""
    drawable = [(i, float(x), float(y)) for i, (x, y) in enumerate(points) if finite(x, y)]
    if not drawable:
        return []
    (x0, x1), (y0, y1) = _span([x for _, x, _ in drawable]), _span([y for _, _, y in drawable])
    scale = min((width - 20) / (x1 - x0), (height - 20) / (y1 - y0))
    return [
        (i, width / 2 + scale * (x - (x0 + x1) / 2), height / 2 - scale * (y - (y0 + y1) / 2)) for i, x, y in drawable
    ]


def thin(points: Points, most: int = MOST_POINTS) -> Points:
    """At most `most` points: the means of bins of neighbours."""
    if len(points) <= most:
        return points
    edges = [round(i * len(points) / most) for i in range(most + 1)]
    bins = [points[a:b] for a, b in pairwise(edges)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in bins]


def ticks(low: float, high: float, least: int = 3) -> list[float]:
    """Round numbers within [low, high]: at least `least` of them and few more."""
    power = 10.0 ** math.floor(math.log10((high - low) / least) + 1)
    steps = (power * factor for power in (power, power / 10, power / 100) for factor in (1, 0.5, 0.25, 0.2))
    return next(marks for step in steps if len(marks := _multiples(step, low, high)) >= least)


def _multiples(step: float, low: float, high: float) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:g}{suffix}"
    if 0 < abs(value) < 1e-2:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{digits.removesuffix('.0')}e{int(power)}"
    return f"{value:.4g}"


def _drawable(points: Points) -> Points:
    return thin([p for p in points if finite(*p)])


def finite(*values: float | None) -> bool:
    return all(isinstance(v, int | float) and math.isfinite(v) for v in values)


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:  # a constant still needs an axis
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin
    return low, high


def _x(value: float, span: tuple[float, float]) -> float:
    return LEFT + (value - span[0]) / (span[1] - span[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, span: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (value - span[0]) / (span[1] - span[0]) * (HEIGHT - TOP - BOTTOM)


def _grid(x_range: tuple[float, float], y_range: tuple[float, float], *, whole: bool = False) -> Markup:
    """whole: only whole numbers on the x axis."""
    lines = []
    for value in ticks(*y_range):
        y = _y(value, y_range)
        lines.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{tick_text(value)}</text>'
        )
    for value in (value for value in ticks(*x_range) if not whole or value == round(value)):
        x, y = _x(value, x_range), HEIGHT - BOTTOM + 14
        lines.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{tick_text(value)}</text>')
    return Markup("".join(lines))


def _axis_titles(x: str, y: str) -> Markup:
    across, down = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    below = Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(across, HEIGHT - 6, x)
    beside = Markup(
        '<text class="axis" transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>'
    ).format(down, y)
    return (below if x else Markup("")) + (beside if y else Markup(""))


def _svg(parts: Sequence[Markup], label: str) -> Markup:
    start = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, escape(label))
    return start + Markup("").join(parts) + Markup("</svg>")
