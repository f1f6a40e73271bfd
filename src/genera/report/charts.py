"""Small charts as inline SVG. Colours come from the page's style sheet, so they follow light, dark and print."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 320, 180
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 8, 22
MOST_POINTS = 300


def line_chart(
    series: Mapping[str, Points],
    label: str,
    *,
    from_zero: bool = False,
    bands: Mapping[str, tuple[Points, Points]] | None = None,
) -> Markup:
    """Lines over one x axis. Non-finite points are omitted; more than MOST_POINTS points are averaged in bins.
    bands: lower and upper edge of a shaded area around the line of this name. An empty series keeps its colour for
    other charts with the same names."""
    lines, edges = {name: _drawable(points) for name, points in series.items()}, dict[str, list[Points]]()
    for name, pair in (bands or {}).items():
        edges[name] = [_drawable(points) for points in pair]
    everything = [p for points in (*lines.values(), *(e for pair in edges.values() for e in pair)) for p in points]
    if not everything:
        return Markup('<p class="missing">No finite values.</p>')
    x_range, y_range = _span([x for x, _ in everything]), _span([y for _, y in everything] + [0.0] * from_zero)
    parts = [_grid(x_range, y_range)]

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
            x, y = path.split(",")
            parts.append(Markup('<circle class="line-{}" cx="{}" cy="{}" r="3"/>').format(index % 8, x, y))
        else:
            parts.append(Markup('<polyline class="line-{}" points="{}"/>').format(index % 8, path))
    return _svg(parts, label)


def column_chart(values: Sequence[float], titles: Sequence[str], label: str) -> Markup:
    """One column per value, from 0. titles: tooltips of the columns."""
    y_range = _span([0.0, *(v for v in values if finite(v))])
    parts = [_grid(None, y_range)]
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


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers within [low, high], about `count` of them."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:g}{suffix}"
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


def _grid(x_range: tuple[float, float] | None, y_range: tuple[float, float]) -> Markup:
    lines = []
    for value in ticks(*y_range):
        y = _y(value, y_range)
        lines.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{tick_text(value)}</text>'
        )
    for value in ticks(*x_range) if x_range else []:
        lines.append(
            f'<text x="{_x(value, x_range):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{tick_text(value)}</text>'  # type: ignore[arg-type]
        )
    return Markup("".join(lines))


def _svg(parts: Sequence[Markup], label: str) -> Markup:
    start = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, escape(label))
    return start + Markup("").join(parts) + Markup("</svg>")
