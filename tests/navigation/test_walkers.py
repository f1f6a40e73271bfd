from typing import get_args

import numpy as np
import pytest

from genera.cli.navigate import BaselineAgent
from genera.errors import GeneraError
from genera.measures.navigation import path_figures, summary
from genera.navigation.walkers import AGENTS, random, shortest, stop, straightest, without_repeats
from small_graphs import street, table_of


def test_paths_without_repeats():
    paths = np.array([[3, 3, 4, 4, 3], [1, -1, -1, -1, -1], [1, 2, 2, -1, -1]])
    assert without_repeats(paths).tolist() == [[3, 4, 3], [1, -1, -1], [1, 2, -1]]


def test_walks_on_the_street():
    table = table_of(street(), ["v0", "v1", "v2", "v3"], ["v4", "v1"])
    assert stop(table).tolist() == [[0], [4]]
    assert shortest(table).tolist() == [[0, 1, 2, 3], [4, 1, -1, -1]]
    # v3 is a dead end: straight on is back
    assert straightest(table).tolist() == [[0, 1, 2, 3, 2, 1], [4, 1, 0, 1, 2, 3]]


def test_shortest_goes_to_the_nearest_goal_and_names_one_that_cannot_be_reached():
    table = table_of(street(), ["v0"], ["v0"], goals=[["v3", "v4"], ["v5", "v1"]])
    assert shortest(table).tolist() == [[0, 1, 4], [0, 1, -1]]
    with pytest.raises(GeneraError, match="episode 1: no path leads from its start v0 to its goal v5"):
        shortest(table_of(street(), ["v0"], ["v0"], goals=[["v3", "v4"], ["v5"]]))
    with pytest.raises(GeneraError, match="goals of this split are not public"):
        shortest(table_of(street(), ["v0"], goals=[[]]))


def test_random_walks_are_seeded_and_follow_edges(houses):
    table = houses.table("val_unseen")
    paths = random(table, 3)
    assert np.array_equal(paths, random(table, 3))
    assert not np.array_equal(paths, random(table, 4))
    assert paths.shape[1] <= 6
    here, there = paths[:, :-1], paths[:, 1:]
    assert (table.graphs.is_edge(here, there) | (there < 0)).all()


def test_random_walk_stays_where_nothing_is():
    table = table_of(street(), ["v0"], ["v0"])
    assert {tuple(row) for seed in range(20) for row in random(table, seed).tolist()} <= {
        (0, 1, 2, 3, 2, 1), (0, 1, 4, 1, 0, 1), (0, 1, 4, 1, 2, 3), (0, 1, 2, 3, 2, 3), (0, 1, 0, 1, 2, 3)
    } | {(0, 1, 2, 3, -1, -1), (0, 1, 2, 3, 2, -1)}  # fmt: skip


def test_the_command_offers_all_agents():
    assert set(get_args(BaselineAgent)) == set(AGENTS)


# -- published figures on real val_seen, averages over 1,021 instructions ----------------------------------------------

COLUMNS = ("TL", "NE", "SR", "OSR", "SPL", "nDTW", "SDTW", "CLS")


def half_way(table):
    edges = (table.reference >= 0).sum(axis=1) - 1
    return np.where(np.arange(table.reference.shape[1]) <= edges[:, None] // 2, table.reference, -1)


def lowest(table):
    return table.graphs.candidates[table.start, 0]


@pytest.mark.parametrize(
    ("walk", "expected"),
    [
        (stop, (0, 10.1807, 0, 0, 0, 0.2094, 0, 0.1781)),
        (shortest, (10.1807, 0, 1, 1, 1, 1, 1, 1)),
        (half_way, (4.7129, 5.4678, 0.0881, 0.0881, 0.0881, 0.5815, 0.0685, 0.5308)),
        (
            lambda t: np.concatenate([t.start[:, None], lowest(t)[:, None], t.reference], axis=1),
            (14.2276, 0, 1, 1, 0.7180, 0.8941, 0.8941, 0.7180),
        ),
        (
            lambda t: np.stack([t.start, *[lowest(t), t.start] * 5], axis=1),
            (20.2348, 10.1807, 0, 0, 0, 0.1631, 0, 0.1072),
        ),
        (straightest, (9.4564, 9.4251, 0.2116, 0.2586, 0.1977, 0.3707, 0.1791, 0.4135)),
    ],
    ids=["stop", "shortest", "half", "detour", "to and fro", "straightest"],
)
def test_published_baselines(r2r, walk, expected):
    table = r2r.table("val_seen")
    found = summary(path_figures(table.graphs, walk(table), table.reference))
    assert [found[name] for name in COLUMNS] == pytest.approx(expected, abs=1e-4)


def test_published_random_agent(r2r):
    table = r2r.table("val_seen")
    runs = [summary(path_figures(table.graphs, random(table, seed), table.reference)) for seed in range(10)]
    for name, mean, spread in (
        ("TL", 9.61, 0.04),
        ("NE", 9.64, 0.10),
        ("SR", 0.147, 0.006),
        ("OSR", 0.200, 0.006),
        ("SPL", 0.135, 0.007),
    ):
        figures = [run[name] for run in runs]
        assert np.mean(figures) == pytest.approx(mean, abs=2 * spread), name
