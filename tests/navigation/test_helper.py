import numpy as np
import pytest

from genera.errors import GeneraError
from genera.navigation.episodes import Route, nearest
from genera.navigation.helper import Helper
from small_graphs import entries, graphs_of

# v0 -2 m- v1 -2 m- v2 -3 m- v3 -2 m- v4
GRAPHS = graphs_of(row=entries([(0, y, 0) for y in (0, 2, 4, 7, 9)], [(0, 1), (1, 2), (2, 3), (3, 4)]))


def route(name, *path, split="train"):
    return Route(name, "row", split, path, 12, f"route {name}")


def test_help_is_near_the_start_of_a_route():
    helper = Helper(GRAPHS, [route("a", "v1", "v2"), route("b", "v4", "v3")])
    assert helper.can_request.tolist() == [True, True, True, True, True]
    assert Helper(GRAPHS, [route("a", "v2", "v1")]).can_request.tolist() == [False, True, True, False, False]


def test_the_route_that_leads_nearest_to_a_goal_is_taken():
    helper = Helper(
        GRAPHS, [route("short", "v1", "v2"), route("long", "v1", "v2", "v3", "v2"), route("own", "v0", "v1")]
    )
    goals = np.array([[4, -1], [2, 4], [0, -1]])
    found = helper.answer(np.array([0, 1, 0]), goals)
    assert [helper.routes[r].id for r in found.route] == ["long", "short", "own"]  # ties go to the first
    assert found.start.tolist() == [1, 1, 0]
    assert found.depart.tolist() == [3, 2, 0]


def test_ties_are_drawn_in_training():
    helper = Helper(GRAPHS, [route("a", "v1", "v2"), route("b", "v1", "v2"), route("far", "v1", "v0")])
    drawn = helper.answer(np.full(200, 1), np.full((200, 1), 4), np.arange(200) / 200).route
    assert drawn.tolist() == [0] * 100 + [1] * 100


def test_splits():
    routes = [route("a", "v1", "v2"), route("b", "v4", "v3", split="val")]
    assert [r.id for r in Helper(GRAPHS, routes, "val").routes] == ["b"]
    with pytest.raises(GeneraError, match=r"no help routes of split 'test'; known: \['train', 'val'\]"):
        Helper(GRAPHS, routes, "test")


def test_bad_routes_and_requests():
    with pytest.raises(GeneraError, match="help route x of scan row has a move that is not an edge"):
        Helper(GRAPHS, [route("x", "v0", "v2")])
    with pytest.raises(GeneraError, match="unknown viewpoint of scan row"):
        Helper(GRAPHS, [route("x", "v0", "v9")])
    with pytest.raises(GeneraError, match="agent 1 asks at viewpoint v4, but no route starts nearby"):
        Helper(GRAPHS, [route("a", "v1", "v2")]).answer(np.array([1, 4]), np.array([[0], [0]]))


def test_answers_equal_the_rule_one_by_one(opened):
    source = opened("world:houses-hanna")
    graphs, table = source.graphs, source.table("val_seen")
    helper = Helper(graphs, source.routes(), "train")
    rows = np.flatnonzero(helper.can_request[table.start])
    assert len(rows) > 50
    found = helper.answer(table.start[rows], table.goals[rows])
    for row, answer, start, depart in zip(rows, *found, strict=True):
        here, goals = table.start[row], table.goals[row]
        assert start == here or (graphs.is_edge(here, start) and graphs.distance(here, start) <= 2)

        def far(path, goals=goals):
            nodes = path[path >= 0]
            return nearest(graphs, nodes, np.broadcast_to(goals, (len(nodes), len(goals))))[0].min()

        near = [
            p for p in helper.paths if p[0] == here or (graphs.is_edge(here, p[0]) and graphs.distance(here, p[0]) <= 2)
        ]
        assert far(helper.paths[answer]) == pytest.approx(min(map(far, near)))
        assert depart in helper.paths[answer]
        assert far(np.array([depart])) == pytest.approx(far(helper.paths[answer]))
