import math
import re

import pytest

from genera.report.charts import column_chart, line_chart, map_points, thin, tick_text, ticks
from genera.report.formatting import changed, duration, figure


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 17), (1e-5, 1e-3), (0, 3125), (1e6, 9e6), (0.95, 1)])
def test_ticks_are_few_round_and_inside(low, high):
    marks = ticks(low, high)
    assert 3 <= len(marks) <= 7
    assert all(low - 1e-9 <= mark <= high * (1 + 1e-9) for mark in marks)
    assert all(len(tick_text(mark)) <= 8 for mark in marks)


def test_thinning_keeps_the_mean_and_leaves_few_points_alone():
    points = [(float(i), math.sin(i)) for i in range(3000)]
    thinned = thin(points, 300)
    assert len(thinned) == 300
    assert sum(y for _, y in thinned) / 300 == pytest.approx(sum(y for _, y in points) / 3000)
    assert thin(points[:300], 300) == points[:300]


def test_lines_stay_in_the_picture_and_higher_values_are_drawn_higher():
    svg = line_chart({"a": [(0, -5), (10, 80), (20, math.nan)]}, "a <chart>", x="<steps>", y="nats")
    assert re.findall(r'class="axis"[^>]*>([^<]*)<', svg) == ["&lt;steps&gt;", "nats"]
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in re.search(r'points="([^"]*)"', svg)[1].split())
    assert 0 <= x0 < x1 <= 320
    assert 200 >= y0 > y1 >= 0
    assert "a &lt;chart&gt;" in svg


def test_a_band_lies_around_its_line_and_widens_the_axis():
    line = [(0.0, 1.0), (10.0, 2.0)]
    svg = line_chart({"a": line, "b": line}, "two", bands={"b": ([(0, 0), (10, -50)], [(0, 2), (10, 60)])})
    assert svg.count("<polygon") == 1
    corners = [tuple(map(float, p.split(","))) for p in re.search(r'band-1" points="([^"]*)"', svg)[1].split()]
    on_line = [tuple(map(float, p.split(","))) for p in re.search(r'line-1" points="([^"]*)"', svg)[1].split()]
    assert len(corners) == 4
    for x, y in on_line:
        low, high = (y for at, y in corners if at == x)
        assert low > y > high  # pixels count downwards
    assert all(0 <= y <= 200 for _, y in corners)


def test_charts_of_constants_single_points_and_nothing():
    assert "<polyline" in line_chart({"a": [(0, 3), (1, 3)]}, "constant")
    assert "<circle" in line_chart({"a": [(0, 3)]}, "single")
    assert "No finite values" in line_chart({"a": [(0, math.inf)], "b": []}, "none")
    assert column_chart([0.0, math.nan, 2.0], ["a", "<b>", "c"], "columns").count("<rect") == 2


def test_map_points_keep_their_index_and_proportions():
    placed = map_points([[0, 0], [math.nan, 1], [4, 0], [0, 2]], 900, 500)
    assert [i for i, _, _ in placed] == [0, 2, 3]
    (_, x0, y0), (_, x1, _), (_, _, y2) = placed
    assert x1 - x0 == pytest.approx(2 * (y0 - y2))  # one scale, y upwards
    assert map_points([], 10, 10) == []


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.986, "share", "98.6 %"),
        (17.5, "nats", "17.50"),
        (-144.31, "nats", "−144.3"),
        (3125, "", "3,125"),
        (32.0, "dimensions", "32"),
        (0.0, "nats", "0.000"),
        (5e-5, "", "5.00e−05"),
        (4e66, "", "4.00e+66"),
        (None, "share", "–"),
        (math.nan, "share", "NaN"),
        (-math.inf, "", "−∞"),
    ],
)
def test_figures_are_short_and_telling(value, unit, text):
    assert figure(value, unit) == text


def test_durations():
    assert [duration(s) for s in (12.4, 151, 7265, None)] == ["12 s", "2 min 31 s", "2 h 1 min", "–"]


def test_changed_words_are_those_the_other_lacks_at_their_place():
    assert changed("a red dog ran", "a dog ran") == [("a", False), ("red", True), ("dog", False), ("ran", False)]
    assert changed("a dog", None) == [("a", False), ("dog", False)]
    assert changed("", "a") == []
