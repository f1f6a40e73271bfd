import itertools

import numpy as np
import pytest

from genera.errors import GeneraError
from genera.navigation.episodes import EpisodeTable
from genera.navigation.graphs import STEP, canonical
from genera.navigation.simulator import (
    HALF_WIDTH,
    ahead,
    look,
    low_level_expert,
    low_level_trace,
    make_action,
    navigable,
    panoramic_expert,
    panoramic_move,
    pose_of,
    slots,
    view_of,
    views_along,
)
from small_graphs import street, table_of


def arrays(*values):
    return [np.array([value]) for value in values]


def test_views_and_poses():
    assert view_of([0.0, np.radians(44), np.radians(359)]).tolist() == [12, 13, 12]
    heading, elevation = pose_of([0, 13, 35])
    assert np.degrees(heading) == pytest.approx([0, 30, 330])
    assert np.degrees(elevation) == pytest.approx([-30, 0, 30])


def test_panoramic_actions_are_stop_and_the_neighbours_by_relative_heading():
    graphs = street()
    table = slots(graphs)
    row = 1 * 12 + 3  # at v1, facing +x
    assert table.node[row, :5].tolist() == [1, 4, 0, 2, 1]  # stop, ahead, behind to either side by index, padding
    assert table.view[row, 1:4].tolist() == [15, 18, 12]
    assert table.valid[row].tolist() == [1, 1, 1, 1] + [0] * 10
    node, view = panoramic_move(graphs, np.full(4, 1), np.full(4, 15), np.array([0, 1, 2, 9]))
    assert node.tolist() == [1, 4, 0, 1]
    assert view.tolist() == [15, 15, 18, 15]  # stop and padding change nothing


def test_panoramic_expert_reaches_every_goal_and_stops_there(houses):
    graphs = houses.graphs
    start = np.arange(len(graphs))
    last = graphs.first[graphs.scan_of + 1] - 1
    node, view = start, np.full(len(graphs), 12)
    metres = np.zeros(len(graphs))
    while (action := panoramic_expert(graphs, node, view, last)).any():
        before = node
        node, view = panoramic_move(graphs, node, view, action)
        metres += graphs.distance(before, node)
    assert (node == last).all()
    assert metres == pytest.approx(graphs.distance(start, last))


def test_expert_stays_where_no_way_leads():
    assert panoramic_expert(street(), *arrays(0, 12, 5)).tolist() == [0]
    assert [x.tolist() for x in low_level_expert(street(), *arrays(0, 12, 5))] == [[0], [0], [0]]


def test_navigable_list_is_what_the_camera_sees(r2r):
    graphs = r2r.graphs
    random = np.random.default_rng(0)
    node, view = random.integers(0, len(graphs), 300), random.integers(0, 36, 300)
    for n, v, columns in zip(node, view, navigable(graphs, node, view), strict=True):
        heading, elevation = pose_of(v)
        expected = []
        for column in range(graphs.degrees[n]):
            delta = graphs.positions[graphs.candidates[n, column]] - graphs.positions[n]
            aside = canonical(np.arctan2(delta[0], delta[1]) - heading)
            above = np.arctan2(delta[2], np.hypot(delta[0], delta[1])) - elevation
            if abs(aside) <= HALF_WIDTH:
                expected.append((np.hypot(aside, above), column))
        assert columns[columns >= 0].tolist() == [column for _, column in sorted(expected)]


def test_every_neighbour_is_in_view_from_the_view_that_shows_it(r2r):
    graphs = r2r.graphs
    node, column = np.nonzero(graphs.candidates >= 0)
    shown = navigable(graphs, node, graphs.candidate_view[node, column])
    assert (shown == column[:, None]).any(axis=1).all()


def test_low_level_list_of_the_published_example(r2r):
    node = np.array([r2r.graphs.node("vyrNrziPKCB", "c8a5472a5ef243319ffa4f88d3ddb4bd")])
    columns = navigable(r2r.graphs, node, view_of([0.053]))[0]
    assert [r2r.graphs.names[r2r.graphs.candidates[node[0], c]][:8] for c in columns if c >= 0] == ["545da9c1"]


def test_make_action_moves_then_turns():
    graphs = street()
    node, view = make_action(graphs, *arrays(1, 12, 1, 5, -2))
    assert (node.tolist(), view.tolist()) == ([2], [1])
    node, view = make_action(graphs, *arrays(1, 12, 0, -1, 0))
    assert (node.tolist(), view.tolist()) == ([1], [23])
    with pytest.raises(GeneraError, match=r"agent 0 chose entry 2 of a navigable list of 2; entries are 0 … 1"):
        make_action(graphs, *arrays(1, 12, 2, 0, 0))
    with pytest.raises(GeneraError, match="agent 0 chose entry -1"):
        make_action(graphs, *arrays(1, 12, -1, 0, 0))


def test_look_wraps_around_and_ends_at_the_levels():
    assert look(np.array([23, 12, 25, 3]), np.array([1, -1, 0, 0]), np.array([0, 0, 9, -1])).tolist() == [12, 23, 25, 3]


def test_forward_is_entry_one():
    graphs = street()
    table = ahead(graphs)
    assert table[1, [12, 15, 18, 21]].tolist() == [2, 4, 0, -1]
    assert table[1, [0, 24]].tolist() == [2, 2]  # the elevation of the camera hides nothing


def test_expert_turns_then_tilts_then_goes():
    graphs = street()
    node, view, seen = np.array([4]), np.array([12]), []
    goal = np.array([3])
    for _ in range(30):
        index, turn, tilt = low_level_expert(graphs, node, view, goal)
        seen.append((int(index[0]), int(turn[0]), int(tilt[0])))
        if not any(seen[-1]):
            break
        node, view = make_action(graphs, node, view, index, turn, tilt)
    # v1 is behind to the left (270°): two turns until it is seen within 30°; v2 and the stairs are at 0°
    assert seen == [(0, -1, 0)] * 2 + [(1, 0, 0)] + [(0, 1, 0)] + [(1, 0, 0)] + [(0, 0, 1), (1, 0, 0)] + [(0, 0, 0)]


def test_published_expert_replay(r2r):
    table = r2r.table("val_seen")
    table = EpisodeTable(table.graphs, tuple(e for e in table.episodes if e.id.endswith("_0")))
    graphs = table.graphs
    assert len(table) == 340
    goal = table.goals[:, 0]
    node, view = table.start, view_of(table.heading)
    counts, lengths, beyond = np.zeros(5, int), np.zeros(len(table), int), 0
    while True:
        index, turn, tilt = low_level_expert(graphs, node, view, goal)
        active = (index > 0) | (turn != 0) | (tilt != 0)
        if not active.any():
            break
        counts += [(index > 0).sum(), (turn < 0).sum(), (turn > 0).sum(), (tilt > 0).sum(), (tilt < 0).sum()]
        lengths += active
        beyond += (index > 1).sum()
        node, view = make_action(graphs, node, view, index, turn, tilt)
    assert (node == goal).all()
    assert counts.tolist() == [1_724, 862, 1_027, 43, 46]
    assert counts.sum() == 3_702
    assert lengths.max() == 23
    assert beyond == 338


def test_published_shares_of_the_action_labels(r2r):
    table = r2r.table("train")
    graphs, paths = table.graphs, table.reference
    views = views_along(graphs, paths, table.heading)
    inside = paths >= 0
    goal = np.broadcast_to(table.goals, paths.shape)
    labels = panoramic_expert(graphs, paths[inside], views[inside], goal[inside])
    share = np.bincount(labels) / len(labels)
    assert len(labels) == 84_280
    assert len(share) == 13
    assert share[:5] == pytest.approx([0.1666, 0.4684, 0.1909, 0.0925, 0.0463], abs=6e-5)
    assert share[5:].sum() == pytest.approx(0.035, abs=5e-4)
    valid = slots(graphs).valid[paths[inside] * 12 + views[inside] % 12].sum(axis=1)
    assert (1 / valid).mean() == pytest.approx(0.204, abs=5e-4)


def test_views_along_a_path_are_those_of_the_moves(r2r):
    table = r2r.table("val_seen")
    views = views_along(table.graphs, table.reference, table.heading)
    node, view = table.start, view_of(table.heading)
    for t in range(1, 4):
        action = panoramic_expert(table.graphs, node, view, table.reference[:, t])
        node, view = panoramic_move(table.graphs, node, view, action)
        assert (view == views[:, t]).all()
    repeated = np.array([[0, 0, 1, -1]])
    assert views_along(street(), repeated, np.array([np.pi])).tolist() == [[18, 18, 12, 12]]


def test_low_level_trace_tilts_turns_right_and_goes(r2r):
    graphs = street()
    trace = low_level_trace(graphs, [1, 2, 2, 3], np.radians(330))
    degrees = [(name, round(np.degrees(heading)), round(np.degrees(elevation))) for name, heading, elevation in trace]
    assert degrees == [("v1", 330, 0), ("v1", 0, 0), ("v2", 0, 0), ("v2", 0, 30), ("v3", 0, 30)]
    table = r2r.table("val_seen")
    for row in range(0, 60, 7):
        path = [int(node) for node in table.reference[row] if node >= 0]
        trace = low_level_trace(table.graphs, path, float(table.heading[row]))
        visited = [name for i, (name, *_) in enumerate(trace) if i == 0 or name != trace[i - 1][0]]
        assert visited == list(table.episodes[row].path)
        for (a, h, e), (b, h2, e2) in itertools.pairwise(trace):  # one thing at a time
            turned = round(abs(float(canonical(h2 - h))) / STEP)
            assert (a != b) + turned + round(abs(e2 - e) / STEP) == 1


def test_views_of_a_table_start_with_its_heading():
    table = table_of(street(), ["v1", "v4"], heading=np.pi / 2)
    assert views_along(table.graphs, table.reference, table.heading).tolist() == [[15, 15]]
