"""The likeliest routes of a follower, against a search of one agent with a heap, and against walks along them."""

import heapq

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genera.methods.prevalent.agents.rollouts import decide, rollout, stop_features
from genera.methods.prevalent.agents.search import likeliest_routes
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.trajectories import check_trajectories
from navigation_agents import learn, r2r_agent

EPISODES = range(24)


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig(limit=60))


@pytest.fixture(scope="module")
def agent(data):
    """An agent that has learnt a little: some ways are much likelier than others."""
    agent = r2r_agent(data.assets, reinforcement=0.0)
    learn(agent, agent.episodes(data.table("train"), data).batch(torch.arange(16)), 12)
    agent.network.eval()
    return agent


def batch_of(agent, data, rows):
    return agent.episodes(data.table("train"), data).batch(torch.tensor(list(rows)))


def routes_of(agent, data, count, horizon=10, rows=EPISODES):
    batch = batch_of(agent, data, rows)
    return batch, likeliest_routes(agent.network, agent.instructions(batch), batch, count, horizon)


@torch.no_grad()
def one_by_one(agent, batch, count, horizon):
    """[(score, nodes)] of a batch of one episode, the likeliest first, by a heap of open ways and of ended routes."""
    instructions, town = agent.instructions(batch), batch.town
    heap = [(0.0, 0, [int(batch.node)], batch.view, None)]
    ended, closed, found = {}, set(), []
    while heap and len(found) < count:
        cost, ends, nodes, view, state = heapq.heappop(heap)
        if ends:
            found.append((-cost, nodes))
            continue
        if nodes[-1] in closed:
            continue
        closed.add(nodes[-1])
        here, active = torch.tensor([nodes[-1]]), torch.ones(1, dtype=torch.bool)
        decision, _ = decide(agent.network, instructions, batch, here, view, stop_features(batch), state, active)
        logs = decision.logits.log_softmax(-1)[0]
        there, views, valid = (x[0] for x in town.candidates(here, view))
        ended[nodes[-1]] = cost - float(logs[0])
        heapq.heappush(heap, (cost - float(logs[0]), 1, nodes, view, None))
        for slot in range(1, len(logs)):
            if valid[slot] and int(there[slot]) not in closed and len(nodes) < horizon:
                way = [*nodes, int(there[slot])]
                heapq.heappush(heap, (cost - float(logs[slot]), 0, way, views[slot : slot + 1], decision.state))
    return found


@pytest.mark.parametrize(("count", "horizon"), [(1, 10), (6, 10), (60, 10), (60, 3)])
def test_the_routes_of_a_batch_are_those_of_each_agent_alone(agent, data, count, horizon):
    _, routes = routes_of(agent, data, count, horizon)
    for row in EPISODES:
        expected = one_by_one(agent, batch_of(agent, data, [row]), count, horizon)
        found = [[node for node in way if node >= 0] for way in routes.nodes[row].tolist()]
        found = [way for way in found if way]
        assert found == [way for _, way in expected]
        assert_close(routes.scores[row, : len(found)].tolist(), [cost for cost, _ in expected], atol=1e-4, rtol=1e-4)


def along(ways, batch):
    """Chooses the actions that lead along ways (B, T), and then STOP."""
    views = [batch.view]

    def choose(t, logits, teacher):
        here = ways[:, t].clamp(min=0)
        there = ways[:, t + 1] if t + 1 < ways.shape[1] else here
        slot = batch.town.slot_to(here, views[-1], torch.where(there >= 0, there, here))
        views.append(batch.town.move(here, views[-1], slot)[1])
        return slot

    return choose


def test_a_score_is_the_likelihood_of_the_walk_along_the_route(agent, data):
    batch, routes = routes_of(agent, data, 5)
    for ways, scores in zip(routes.nodes.unbind(1), routes.scores.unbind(1), strict=True):
        with torch.no_grad():
            trace = rollout(agent.network, agent.instructions(batch), batch, along(ways, batch), ways.shape[1])
        logs = trace.logits.log_softmax(-1).gather(2, trace.actions[..., None])[..., 0]
        assert_close((logs * trace.active).sum(1), scores, atol=1e-4, rtol=1e-4)


def test_routes_end_at_different_nodes_and_move_along_edges(agent, data):
    _, routes = routes_of(agent, data, 8)
    table = data.table("train")
    for k in range(8):
        episodes = type(table)(table.graphs, tuple(table.episodes[row] for row in EPISODES))
        check_trajectories(episodes, routes.nodes[:, k].numpy())
    assert (routes.scores.diff(dim=1) <= 0).all()
    last = routes.nodes.gather(2, (routes.nodes >= 0).sum(2, keepdim=True) - 1)[..., 0]
    assert all(len(set(row)) == 8 for row in last.tolist())
    explored = [[node for node in row if node >= 0] for row in routes.explored.tolist()]
    assert all(len(set(row)) == len(row) >= 8 for row in explored)
    assert [row[0] for row in explored] == table.start[list(EPISODES)].tolist()


def test_more_routes_than_there_are_nodes(agent, data):
    _, routes = routes_of(agent, data, 500, rows=range(3))
    sizes = np.diff(data.graphs.first)[data.graphs.scan_of[data.table("train").start[:3]]]
    assert routes.scores.isfinite().sum(1).tolist() == sizes.tolist()
    assert (routes.nodes[~routes.scores.isfinite()] == -1).all()
