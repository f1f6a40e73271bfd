"""The world as tensors is the world as arrays: everything is compared with `worlds.navigation` and the environments."""

import numpy as np
import pytest
import torch

from genera.navigation.environments import NavigationVectorEnv
from genera.navigation.episodes import nearest
from genera.navigation.features import ArrayViews, angle_features
from genera.navigation.graphs import STEP
from genera.navigation.scenery import imagined_scenery, synthetic_views
from genera.navigation.simulator import panoramic_expert, panoramic_move, pose_of, slots, view_of
from genera.navigation.town import Town
from small_graphs import street


@pytest.fixture(scope="module")
def world(houses):
    graphs = houses.graphs
    views = synthetic_views(graphs, imagined_scenery(graphs), size=6)
    return graphs, views, Town.build(graphs, views, angle_size=8)


@pytest.fixture(scope="module")
def agents(world):
    """300 agents anywhere, and goals in their own houses: nodes, views, goals (300, 2) as arrays."""
    graphs = world[0]
    random = np.random.default_rng(0)
    node, view = random.integers(0, len(graphs), 300), random.integers(0, 36, 300)
    first, after = graphs.first[graphs.scan_of[node]], graphs.first[graphs.scan_of[node] + 1]
    return node, view, random.integers(first[:, None], after[:, None], (300, 2))


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def test_slots_moves_and_experts_are_those_of_the_rules(world, agents):
    graphs, _, town = world
    node, view, goals = agents
    table, row = slots(graphs), node * 12 + view % 12
    found = town.candidates(*tensors(node, view))
    for ours, theirs in zip(found, (table.node, table.view, table.valid), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs[row])
    for action in (np.zeros_like(node), node % town.slots):
        moved = town.move(*tensors(node, view, action))
        for ours, theirs in zip(moved, panoramic_move(graphs, node, view, action), strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs)
    goal = goals[:, 0]
    expert = town.expert(*tensors(node, view, goal))
    np.testing.assert_array_equal(expert.numpy(), panoramic_expert(graphs, node, view, goal))


def test_distances_are_those_of_the_graphs(world, agents):
    graphs, _, town = world
    node, _, goals = agents
    np.testing.assert_array_equal(town.distance(*tensors(node, goals[:, 0])), graphs.distance(node, goals[:, 0]))
    np.testing.assert_array_equal(town.next_hop(*tensors(node, goals[:, 0])), graphs.next_hop(node, goals[:, 0]))
    goals = np.where(np.arange(300)[:, None] % 3 < [3, 2], goals, -1)
    metres, goal = town.nearest(*tensors(node, goals))
    expected, column = nearest(graphs, node, goals)
    np.testing.assert_array_equal(metres, expected)
    np.testing.assert_array_equal(goal, goals[np.arange(300), column])


def test_nothing_leads_to_another_part_of_the_graph():
    graphs = street()
    town = Town.build(graphs, ArrayViews(np.zeros((7, 36, 2), np.float32)), angle_size=4)
    node, view, goal = tensors(np.array([0, 5, 0]), np.full(3, 12), np.array([5, 0, 0]))
    assert town.expert(node, view, goal).tolist() == [0, 0, 0]
    assert town.distance(node, goal).tolist() == [np.inf, np.inf, 0]
    metres, nearer = town.nearest(node, torch.tensor([[-1, -1], [0, -1], [5, 2]]))
    assert metres.tolist() == [np.inf, np.inf, 8]
    assert nearer.tolist() == [0, 0, 2]
    assert town.slot_to(node[:1], view[:1], torch.tensor([3])).tolist() == [0]  # no neighbour


def test_panoramas_have_pictures_and_relative_headings(world, agents):
    _, views, town = world
    node, view, _ = agents
    panorama = town.panorama(*tensors(node, view)).numpy()
    np.testing.assert_array_equal(panorama[..., :6], views.gather(node))
    heading, elevation = pose_of(np.arange(36))
    angles = angle_features(heading - STEP * (view % 12)[:, None], elevation, 8)
    np.testing.assert_allclose(panorama[..., 6:], angles, atol=1e-6)
    np.testing.assert_array_equal(town.gaze(torch.from_numpy(view)), angle_features(*pose_of(view), 8))


@pytest.mark.parametrize("layout", ["block", "tiled"])
def test_candidates_have_the_view_that_shows_them_and_their_own_angles(world, agents, layout):
    graphs, views, _ = world
    town = Town.build(graphs, views, 8, layout)
    node, view, _ = agents
    found = town.candidate_features(*tensors(node, view)).numpy()
    for n, v, row in zip(node[:60], view[:60], found[:60], strict=True):
        degree = graphs.degrees[n]
        assert not row[0].any()
        assert not row[degree + 1 :].any()
        for rank, column in enumerate(graphs.ranked[n, v % 12, :degree], start=1):
            np.testing.assert_array_equal(row[rank, :6], views.gather(n)[graphs.candidate_view[n, column]])
            relative = graphs.candidate_heading[n, column] - STEP * (v % 12)
            expected = angle_features(relative, graphs.candidate_elevation[n, column], 8, layout)
            np.testing.assert_allclose(row[rank, 6:], expected, atol=1e-6)


def test_a_mask_changes_the_pictures_only(world, agents):
    _, _, town = world
    node, view, _ = tensors(*agents)
    mask = torch.tensor([0.0, 2.0, 1.0, 1.0, 0.5, 3.0])
    plain, masked = town.observe(node, view), town.observe(node, view, mask)
    factors = torch.cat([mask, torch.ones(8)])
    torch.testing.assert_close(masked.panorama, plain.panorama * factors)
    torch.testing.assert_close(masked.candidates, plain.candidates * factors)
    torch.testing.assert_close(masked.panorama, town.panorama(node, view, mask))
    torch.testing.assert_close(masked.candidates, town.candidate_features(node, view, mask))


def test_shapes_of_paths_serve_as_well_as_rows_of_agents(world, agents):
    _, _, town = world
    node, view, goals = tensors(*agents)
    flat, grid = town.observe(node, view), town.observe(node.view(100, 3), view.view(100, 3))
    for one, other in zip(flat, grid, strict=True):
        assert torch.equal(one, other.flatten(0, 1))
    expert = town.expert(node.view(100, 3), view.view(100, 3), goals[:, 0].view(100, 3))
    assert torch.equal(expert.flatten(), town.expert(node, view, goals[:, 0]))


def test_walks_are_those_of_the_environment(houses, world):
    _, _, town = world
    table = houses.table("val_unseen")
    env = NavigationVectorEnv(table, 32, horizon=50)
    seen, _ = env.reset(seed=3)
    node, view = tensors(table.start[env.episode], view_of(table.heading[env.episode]))
    random = np.random.default_rng(0)
    for _ in range(20):
        action = 1 + (random.random(32) * (seen["action_mask"].sum(axis=1) - 1)).astype(np.int64)
        seen, *_ = env.step(action)
        node, view = town.move(node, view, torch.from_numpy(action))
        np.testing.assert_array_equal(node, seen["node"])
        np.testing.assert_array_equal(view, seen["view"])


def test_features_on_disk_are_gathered_where_they_are(world, agents, tmp_path, monkeypatch):
    graphs, views, town = world
    np.save(tmp_path / "views.npy", views.features)
    mapped = ArrayViews(np.load(tmp_path / "views.npy", mmap_mode="r"))
    monkeypatch.setattr("genera.navigation.town.LARGEST", 1)
    large = Town.build(graphs, mapped, angle_size=8)
    assert large.features is None
    node, view, _ = tensors(*agents)
    for one, other in zip(town.observe(node, view), large.observe(node, view), strict=True):
        assert torch.equal(one, other)


def test_missing_rows_read_as_zeros(world):
    graphs, views, _ = world
    rows = np.arange(len(graphs))
    rows[5] = -1
    town = Town.build(graphs, ArrayViews(views.features, rows), angle_size=8)
    pictures = town.panorama(*tensors(np.array([5, 6]), np.array([0, 0])))[..., :6]
    assert not pictures[0].any()
    np.testing.assert_array_equal(pictures[1], views.gather(np.array(6)))


def test_a_town_moves_once_for_each_device(world):
    _, _, town = world
    there = town.to("meta")
    assert there.slot_node.device.type == "meta"
    assert there.features.device.type == "meta"
    assert town.to("meta") is there
    assert there.to("cpu") is town
    assert town.to("cpu") is town
