import re

import pytest

from genera.report.floor_plans import attention_rows, floor_plan, walk_cards

# A square of 4 m with a far-away annex, and a floor above the first corner.
WALK = {
    "id": "7_0",
    "split": "val_unseen",
    "scan": "house",
    "instruction": "go to the <door>",
    "positions": [[0, 0, 0], [4, 0, 0], [4, 4, 0], [0, 4, 0], [50, 0, 0], [0, 0, 6]],
    "edges": [[0, 1], [1, 2], [2, 3], [0, 3], [1, 4], [0, 5]],
    "path": [0, 1, 0, 3],
    "reference": [0, 1, 2],
    "goals": [2],
    "words": ["go", "there"],
    "attention": [[0.5, 0.5], [1.0, 0.0], [0.4, 0.6], [0.0, 1.0]],
    "figures": {"SR": 0.0, "NE": 4.0, "SPL": 0.0},
}


def points(svg, kind):
    found = re.search(rf'class="{kind}" points="([^"]*)"', svg)
    return [tuple(map(float, pair.split(","))) for pair in found[1].split()]


def test_a_map_shows_what_is_near_with_north_up():
    svg = floor_plan(WALK)
    assert svg.count('class="place"') == 4
    assert svg.count('class="edge"') == 4
    start, east, north = points(svg, "reference")[0], points(svg, "reference")[1], points(svg, "walked")[3]
    assert east[0] > start[0]
    assert east[1] == start[1]
    assert north[1] < start[1]
    assert points(svg, "walked")[0] == points(svg, "walked")[2] == start
    assert 'text-anchor="start">0,2</text>' in svg
    assert 'text-anchor="end">1</text>' in svg  # at the right border, where a number has no room beyond
    assert svg.count('class="goal"') == 1


def test_a_walk_that_stays_has_a_map():
    assert 'class="step"' in floor_plan({**WALK, "path": [0], "reference": [0], "goals": [0]})


def test_words_are_shaded_above_an_even_spread():
    rows = attention_rows(WALK["words"], WALK["attention"])
    assert rows[0] == [("go", 0.0), ("there", 0.0)]
    assert rows[1] == [("go", 1.0), ("there", 0.0)]
    assert rows[2][1][1] == pytest.approx(0.2**0.5, abs=0.01)


def test_a_card_says_how_it_went():
    (card,) = walk_cards([WALK])
    assert card["title"] == "house, episode 7_0, unseen houses"
    assert not card["arrived"]
    assert card["figures"] == "NE 4.00 m, SPL 0.0 %"
    assert len(card["steps"]) == 4
    (card,) = walk_cards([WALK | {"figures": {"SR": 0, "NE": 4.0, "goal_progress": -1.5}}])
    assert card["figures"] == "NE 4.00 m, progress −1.50 m"
