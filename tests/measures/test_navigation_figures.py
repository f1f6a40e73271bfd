import itertools

import networkx
import numpy as np
import pytest

from genera.errors import GeneraError
from genera.evaluation.registry import definition
from genera.measures.navigation import goal_progress, hanna_figures, last, path_figures, path_length, score, summary
from genera.navigation.trajectories import check_trajectories
from genera.navigation.walkers import random, shortest, stop
from small_graphs import entries, graphs_of, street, table_of


def padded(*paths):
    width = max(map(len, paths))
    return np.array([[*path, *[-1] * (width - len(path))] for path in paths])


def figures(path, reference, graphs=None):
    """The figures of one trajectory, as numbers."""
    found = path_figures(graphs or street(), padded(path), padded(reference))
    return {name: float(values[0]) for name, values in found.items()}


def straightforward(graphs, path, reference):
    """The definitions again, one trajectory at a time in plain Python."""
    scan = {}
    peer = networkx.Graph()
    for a in range(len(graphs)):
        peer.add_node(a)
        for b in graphs.candidates[a][graphs.candidates[a] >= 0]:
            peer.add_edge(a, int(b), weight=float(np.linalg.norm(graphs.positions[a] - graphs.positions[b])))

    def d(a, b):
        if a not in scan:
            scan[a] = networkx.single_source_dijkstra_path_length(peer, a)
        return scan[a].get(b, np.inf)

    length = sum(d(a, b) for a, b in itertools.pairwise(path))
    annotated = sum(d(a, b) for a, b in itertools.pairwise(reference))
    goal, shortest_length = reference[-1], d(path[0], reference[-1])
    success = float(d(path[-1], goal) < 3)
    table = np.full((len(path) + 1, len(reference) + 1), np.inf)
    table[0, 0] = 0
    for i, p in enumerate(path, 1):
        for j, r in enumerate(reference, 1):
            table[i, j] = d(p, r) + min(table[i - 1, j], table[i, j - 1], table[i - 1, j - 1])
    ndtw = np.exp(-table[-1, -1] / (3 * len(reference)))
    coverage = np.mean([np.exp(-min(d(p, r) for p in path) / 3) for r in reference])
    expected = coverage * annotated
    return {
        "TL": length, "NE": d(path[-1], goal), "SR": success, "OSR": float(min(d(p, goal) for p in path) < 3),
        "SPL": success * shortest_length / max(shortest_length, length),
        "nDTW": ndtw, "SDTW": success * ndtw, "CLS": coverage * expected / (expected + abs(expected - length)),
    }  # fmt: skip


def test_equals_the_definitions_on_random_walks(houses):
    table = houses.table("val_unseen")
    paths = random(table, seed=1)
    found = path_figures(table.graphs, paths, table.reference)
    for row in range(0, 450, 15):
        path = [int(node) for node in paths[row] if node >= 0]
        reference = [int(node) for node in table.reference[row] if node >= 0]
        expected = straightforward(table.graphs, path, reference)
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected, abs=1e-9)


def test_the_reference_itself_is_perfect():
    assert figures([0, 1, 2], [0, 1, 2]) == pytest.approx(
        {"TL": 8, "NE": 0, "SR": 1, "OSR": 1, "SPL": 1, "nDTW": 1, "SDTW": 1, "CLS": 1}
    )


def test_overshooting_is_seen_by_the_oracle_only():
    found = figures([0, 1, 2], [0, 1])
    assert (found["SR"], found["OSR"], found["SPL"]) == (0, 1, 0)
    assert found["nDTW"] == pytest.approx(np.exp(-4 / 6))
    assert found["CLS"] == pytest.approx(4 / (4 + 4))


def test_success_is_strictly_inside_three_metres():
    graphs = graphs_of(x=entries([(0, 0, 0), (0, 3, 0), (0, 5.9, 0)], [(0, 1), (1, 2)]))
    assert figures([0, 1], [0, 1, 2], graphs)["SR"] == 1
    assert figures([0], [0, 1], graphs)["SR"] == 0


def test_spl_counts_the_shortest_way_and_not_the_annotated_one():
    square = graphs_of(x=entries([(0, 0, 0), (0, 4, 0), (4, 4, 0), (4, 0, 0)], [(0, 1), (1, 2), (2, 3), (0, 3)]))
    assert figures([0, 1, 2, 3], [0, 1, 2, 3], square)["SPL"] == pytest.approx(4 / 12)
    assert figures([0, 3], [0, 1, 2, 3], square)["SPL"] == 1


def test_a_task_of_no_length():
    assert figures([1], [1]) == {"TL": 0, "NE": 0, "SR": 1, "OSR": 1, "SPL": 1, "nDTW": 1, "SDTW": 1, "CLS": 1}
    moved = figures([1, 0, 1], [1])
    assert (moved["SR"], moved["SPL"], moved["CLS"]) == (1, 0, 0)


def test_staying_inside_the_radius_is_efficient():
    graphs = graphs_of(x=entries([(0, 0, 0), (0, 2, 0)], [(0, 1)]))
    found = figures([0], [0, 1], graphs)
    assert found["SPL"] == found["SR"] == 1


def test_goals_out_of_reach_are_counted_and_left_out_of_the_mean():
    found = path_figures(street(), padded([0, 1], [0, 1]), padded([0, 1, 2], [0, 5]))
    assert found["NE"].tolist() == [4, np.inf]
    assert found["SR"].tolist() == found["SPL"].tolist() == [0, 0]
    assert np.isfinite([found[name] for name in ("TL", "SPL", "nDTW", "SDTW", "CLS")]).all()
    means = summary(found)
    assert (means["NE"], means["unreachable"]) == (4, 1)
    assert summary(path_figures(street(), padded([0]), padded([0, 5])))["NE"] == np.inf


def test_repeats_cost_no_length_and_padding_no_figure(houses):
    table = houses.table("val_unseen")
    paths = random(table, seed=2)
    plain = path_figures(table.graphs, paths, table.reference)
    wide = np.pad(paths, ((0, 0), (0, 4)), constant_values=-1)
    for name, values in path_figures(table.graphs, wide, table.reference).items():
        np.testing.assert_allclose(values, plain[name], rtol=1e-12)
    stays = np.concatenate([paths[:, :1], paths], axis=1)
    for name, values in path_figures(table.graphs, stays, table.reference).items():
        if name not in ("nDTW", "SDTW"):  # which compare node by node
            np.testing.assert_allclose(values, plain[name], rtol=1e-12)


def test_figures_do_not_depend_on_the_batch(houses):
    table = houses.table("val_unseen")
    paths = random(table, seed=2)
    whole = path_figures(table.graphs, paths, table.reference)
    for row in (0, 100, 449):
        alone = path_figures(table.graphs, paths[[row]], table.reference[[row]])
        for name, values in alone.items():
            assert values[0] == pytest.approx(whole[name][row], rel=1e-12)


def test_order_of_skill(houses):
    table = houses.table("val_seen")
    skill = [summary(score("r2r", table, walk(table, 0))) for walk in (stop, random, shortest)]
    for name in ("SR", "SPL", "nDTW", "CLS"):
        assert skill[1][name] < skill[2][name] == 1
    assert skill[0]["SR"] < skill[1]["SR"]


def test_parts():
    graphs = street()
    paths = padded([0, 1, 2, 3], [4])
    assert last(paths).tolist() == [3, 4]
    assert path_length(graphs, paths) == pytest.approx([13, 0])


# -- NDH and HANNA ----------------------------------------------------------------------------------------------------


def test_goal_progress_may_be_negative_and_is_to_the_nearest_pano():
    graphs = street()
    ends = padded([3, 2], [3, 2], [0])
    assert goal_progress(graphs, padded([1, 2], [1, 0], [0]), ends).tolist() == [4, -4, 0]


def test_hanna_takes_the_goal_nearest_to_the_end_and_the_border_counts():
    graphs = graphs_of(x=entries([(0, 0, 0), (0, 2, 0), (0, 6, 0), (9, 0, 0)], [(0, 1), (1, 2), (0, 3)]))
    goals = padded([2, 0], [2, 0], [3, 2])
    found = hanna_figures(graphs, padded([1], [1, 2], [0, 1]), goals, np.array([0, 2, 1]))
    assert found["NE"].tolist() == [2, 0, 4]
    assert found["SR"].tolist() == [1, 1, 0]
    assert found["SPL"].tolist() == [1, 1, 0]
    assert summary(found)["requests"] == 1


def test_hanna_of_goals_out_of_reach():
    found = hanna_figures(street(), padded([0]), padded([5]), np.array([0]))
    assert (found["SR"][0], found["SPL"][0]) == (0, 0)
    assert found["NE"][0] == np.inf


@pytest.mark.parametrize(
    ("supervision", "progress", "stopped", "negative"),
    [("planner", 8.2914, 0.0550, 0), ("player", 7.6281, 0.0707, 30), ("trusted", 9.5169, 0.0471, None)],
)
def test_published_ndh(opened, real_data, supervision, progress, stopped, negative):
    table = opened(f"ndh:{real_data('ndh')}").table("val_seen", supervision)
    assert len(table) == 382
    found = score("ndh", table, shortest(table))
    assert found["goal_progress"].mean() == pytest.approx(progress, abs=1e-4)
    if negative is not None:
        assert (found["goal_progress"] < 0).sum() == negative
    still = summary(score("ndh", table, stop(table)))
    assert still["goal_progress"] == 0
    assert still["SR"] == pytest.approx(stopped, abs=1e-4)
    assert still["SPL"] == pytest.approx(still["SR"])


def test_published_random_goal_progress(opened, real_data):
    table = opened(f"ndh:{real_data('ndh')}").table("val_seen")
    runs = [score("ndh", table, random(table, seed))["goal_progress"].mean() for seed in range(5)]
    assert np.mean(runs) == pytest.approx(0.3, abs=0.2)


# -- manners ----------------------------------------------------------------------------------------------------------


def test_what_keeps_its_references_back_is_not_scored():
    table = table_of(street(), ["v0"], goals=[[]])
    with pytest.raises(GeneraError, match="keeps its references back"):
        score("r2r", table, stop(table))


def test_moves_that_are_no_edges_are_refused():
    table = table_of(street(), ["v0", "v1"], ["v4", "v1"])
    check_trajectories(table, padded([0, 0, 1], [4]))
    with pytest.raises(GeneraError, match="trajectory of 1 moves from v4 to v2 at step 1"):
        check_trajectories(table, padded([0], [4, 2]))


def test_every_figure_has_a_definition(houses):
    table = houses.table("val_seen")
    named = {name for task in ("r2r", "ndh", "hanna") for name in score(task, table, stop(table))}
    for name in named:
        assert definition(name).group == "Navigation"
