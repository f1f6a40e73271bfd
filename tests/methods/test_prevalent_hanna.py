"""The agent of HANNA: what happens when it asks, what it should have done, and what it learns."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genera.measures.navigation import score, summary
from genera.methods.prevalent.agents.hanna_rollouts import HannaStep
from genera.methods.prevalent.agents.hanna_teacher import help_labels, repeated_mistakes
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.trajectories import check_trajectories
from navigation_agents import hanna_agent, learn, step_of


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig(data="world:houses-hanna", limit=60, max_tokens=50))


def batch_of(agent, data, rows=range(12), split="train"):
    return agent.episodes(data.table(split), data).batch(torch.tensor(list(rows)))


def scripted(agent, walks, asks):
    """Replaces the agent's decisions by given ones, (B, T) each; the agent still computes."""
    inner = agent.network

    class Script(torch.nn.Module):
        def read(self, *arguments):
            return inner.read(*arguments)

        def forward(self, reading, seen, memory):
            found = inner(reading, seen, memory)
            t = 0 if memory is None else memory.shape[1]
            walk = torch.full_like(found.walk, -9.0).scatter(1, walks[:, t : t + 1], 9.0)
            ask = torch.stack([1.0 - 2 * asks[:, t], 2.0 * asks[:, t] - 1], 1).masked_fill(
                torch.stack([torch.zeros_like(seen.may_ask), ~seen.may_ask], 1), -torch.inf
            )
            readings.append((reading, seen))
            return found._replace(walk=walk.masked_fill(~seen.valid, -torch.inf), ask=ask)

    readings = []
    agent.network = Script()
    return readings


# -- asking -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answered(data):
    """Twelve agents that ask at once where they may, then stop and stop again; what they were told."""
    agent = hanna_agent(data.assets)
    table = data.table("train")
    batch = batch_of(agent, data, range(60))
    rows = torch.from_numpy(np.flatnonzero(batch.assistant.helper.can_request[table.start[:60]]))[:12]
    batch = batch_of(agent, data, rows.tolist())
    found = batch.assistant.helper.answer(batch.node.numpy(), batch.goals.numpy())
    readings = scripted(agent, torch.zeros(12, 12, dtype=torch.int64), torch.eye(12)[:1].expand(12, -1))
    return agent, batch, found, agent.rollout(batch, 12), readings


def test_who_asks_is_put_on_the_route_and_reads_it(answered):
    _, batch, found, trace, readings = answered
    assert trace.steps.asked[:, 0].all()
    assert trace.nodes[:, 1].tolist() == found.start.tolist()
    assert trace.steps.route[:, 0].tolist() == [-1] * 12
    assert trace.steps.route[:, 1].tolist() == found.route.tolist()
    for row, route in enumerate(found.route):
        described = batch.assistant.tokens[route]
        assert readings[1][0].mask[row].sum() == (described != 0).sum()
        assert readings[0][0].mask[row].sum() == (batch.tokens[row] != 0).sum()


def test_the_target_on_a_route_is_where_to_leave_it(answered):
    _, batch, found, trace, readings = answered
    depart = torch.from_numpy(found.depart)
    assert_close(trace.steps.metres[:, 1], batch.town.distance(trace.steps.node[:, 1], depart))
    assert_close(trace.steps.metres[:, 0], batch.town.nearest(batch.node, batch.goals)[0])
    assert not readings[0][1].target.any()
    assert_close(readings[1][1].target[..., :32], batch.town.panorama(depart, batch.view)[..., :32])


def test_stop_on_a_route_goes_back_to_the_task_and_stop_there_ends(answered):
    *_, trace, readings = answered
    assert trace.steps.actions.shape[1] == 3
    assert trace.steps.active.all()
    assert (trace.steps.route[:, 2] == -1).all()
    assert trace.steps.segment.tolist() == [[0, 1, 2]] * 12
    assert_close(readings[2][0].states, readings[0][0].states)


def test_help_is_had_only_where_there_is_some(data):
    agent = hanna_agent(data.assets)
    batch = batch_of(agent, data, range(40))
    trace = agent.rollout(batch, 10, torch.rand(40, 10, 3))
    assert trace.steps.asked.any()
    assert not (trace.steps.asked & ~trace.steps.may_ask).any()
    assert not (trace.steps.asked & ~trace.steps.active).any()
    here, there = trace.nodes[:, :-1], trace.nodes[:, 1:]
    moved = here != there
    assert torch.equal(moved, moved & trace.steps.active)
    assert data.graphs.is_edge(here[moved].numpy(), there[moved].numpy()).all()


def test_states_that_were_kept_are_those_of_the_text_layers(data, monkeypatch):
    agent = hanna_agent(data.assets)
    kept = batch_of(agent, data, range(30))
    assert kept.assistant.states.shape == (*kept.assistant.tokens.shape, agent.encoder.size)
    monkeypatch.setattr("genera.methods.prevalent.agents.hanna.LARGEST", 1000)
    anew = batch_of(agent, data, range(30))
    assert anew.assistant.states is None
    uniform = torch.rand(30, 10, 3)
    one, other = agent.rollout(kept, 10, uniform), agent.rollout(anew, 10, uniform)
    assert one.steps.asked.any()
    assert_close(one.steps.walk, other.steps.walk)
    assert_close(one.steps.attention, other.steps.attention)


def test_the_memory_is_read_by_the_last_step_as_by_all(data):
    """The history layer asks for the last step alone: what the whole layer gives there."""
    agent = hanna_agent(data.assets).network
    memory = torch.randn(3, 7, 32)
    assert_close(agent.history(memory[:, -1:], context=memory), agent.history(memory)[:, -1:])


def test_training_routes_alone_help_in_training(data):
    agent = hanna_agent(data.assets)
    splits = agent.data(data, None).splits
    assert {route.split for route in splits["train"].assistant.helper.routes} == {"train"}
    assert {route.split for route in splits["valid"].assistant.helper.routes} == {"train", "val_unseen"}


# -- hindsight --------------------------------------------------------------------------------------------------------


def steps_of(**given):
    """A walk of 5 steps in which nothing special happens, with these changes of row 0."""
    count = 5
    values = {
        "walk": torch.tensor([[0.0, 9.0, -9.0]]).expand(count, 3).clone(),
        "ask": torch.zeros(count, 2),
        "reasons": torch.zeros(count, 3),
        "attention": torch.full((count, 2), 0.5),
        "actions": torch.ones(count, dtype=torch.int64),
        "asked": torch.zeros(count, dtype=torch.bool),
        "teacher": torch.ones(count, dtype=torch.int64),
        "active": torch.ones(count, dtype=torch.bool),
        "may_ask": torch.ones(count, dtype=torch.bool),
        "node": torch.arange(count),
        "neighbours": torch.arange(count)[:, None] + torch.arange(3),
        "metres": torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]),
        "segment": torch.zeros(count, dtype=torch.int64),
        "route": torch.full((count,), -1),
    }
    given = {name: torch.as_tensor(value, dtype=values[name].dtype) for name, value in given.items()}
    return HannaStep(**{name: value[None] for name, value in (values | given).items()})


def reasons(steps, uncertain=0.25):
    request, why = help_labels(steps, uncertain)
    return request[0].int().tolist(), why[0].int().T.tolist()


def test_nobody_needs_help_on_the_way():
    assert reasons(steps_of()) == ([0] * 5, [[0] * 5] * 3)


def test_lost_after_the_step_nearest_to_the_target_of_each_part():
    request, (lost, *_) = reasons(steps_of(metres=[5.0, 3.0, 4.0, 3.0, 6.0]))
    assert lost == [0, 0, 0, 0, 1] == request
    parted = steps_of(metres=[3.0, 4.0, 4.0, 9.0, 8.0], segment=[0, 0, 0, 1, 1])
    assert reasons(parted)[1][0] == [0, 1, 1, 0, 0]
    ended = steps_of(metres=[3.0, 4.0, 5.0, 1.0, 1.0], active=[1, 1, 1, 0, 0])
    assert reasons(ended)[1][0][:3] == [0, 1, 1]


def test_uncertain_only_where_also_wrong():
    flat = steps_of().walk[0].clone()
    flat[1] = torch.tensor([0.0, 0.1, -0.1])  # the likeliest is right
    flat[2] = torch.tensor([0.1, 0.0, -0.1])  # and here it is not
    flat[3] = torch.tensor([9.0, 0.0, -9.0])  # wrong, and sure of it
    request, (_, unsure, _) = reasons(steps_of(walk=flat))
    assert unsure == [0, 0, 1, 0, 0] == request
    entropy = -(flat[2].softmax(0) * flat[2].log_softmax(0)).sum() / math.log(37)
    assert reasons(steps_of(walk=flat), float(entropy) + 1e-3)[1][1] == [0] * 5
    assert reasons(steps_of(walk=flat), float(entropy) - 1e-3)[1][1] == [0, 0, 1, 0, 0]


def test_nobody_asks_twice_at_a_place_or_where_there_is_no_help():
    steps = steps_of(metres=[1.0, 2.0, 3.0, 4.0, 5.0], node=[0, 7, 7, 8, 7], asked=[0, 1, 0, 0, 0])
    request, (lost, _, already) = reasons(steps)
    assert lost == [0, 1, 1, 1, 1]
    assert already == [0, 0, 1, 0, 1]
    assert request == [0, 1, 0, 1, 0]
    assert reasons(steps_of(metres=[1.0, 2.0, 3.0, 4.0, 5.0], may_ask=[1, 0, 1, 0, 1]))[0] == [0, 0, 1, 0, 1]


def test_mistakes_made_before_at_the_same_place_are_penalised():
    """At step 0 slot 2 leads to node 50 and is wrong; later the same neighbour is another slot."""
    slots = [[9, 40, 50], [1, 2, 3], [9, 50, 40], [9, 50, 40], [9, 50, 40]]
    steps = steps_of(
        node=[9, 1, 9, 9, 9],
        neighbours=slots,
        actions=[2, 1, 0, 1, 0],
        teacher=[1, 1, 2, 2, 2],
        route=[-1, -1, -1, 4, -1],
    )
    logs = steps.walk[0].log_softmax(-1)
    expected = torch.stack([
        torch.tensor(0.0), torch.tensor(0.0),
        logs[2, 1],  # the neighbour of step 0
        torch.tensor(0.0),  # another instruction
        (logs[4, 1] + logs[4, 0]) / 2,  # that, and the STOP of step 2
    ])  # fmt: skip
    assert_close(repeated_mistakes(steps)[0], expected)
    assert not repeated_mistakes(steps._replace(asked=torch.ones_like(steps.asked))).any()


# -- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["prevalent", "own"])
def test_every_part_of_the_agent_learns(data, reader):
    agent = hanna_agent(data.assets, reader=reader)
    agent.loss(batch_of(agent, data, range(30)), step_of(agent), False)["loss"].backward()
    for name, parameter in agent.network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_the_text_layers_alone_read(data):
    agent = hanna_agent(data.assets)
    batch = batch_of(agent, data)
    before = agent.rollout(batch, 3).steps.walk
    for parameter in agent.encoder.layers.parameters():
        parameter.data.normal_()
    assert_close(agent.rollout(batch, 3).steps.walk, before)


def test_a_batch_is_learnt(data):
    agent = hanna_agent(data.assets, reader="own", repeat_penalty=0.0, horizon=6, lr=5e-3)
    batch = batch_of(agent, data, range(6))
    before = learn(agent, batch, 10)
    after = learn(agent, batch, 60)
    assert after["walk"] < 0.6 * before["walk"]
    assert after["reasons"] < 0.8 * before["reasons"]


def test_the_words_of_the_task_and_of_the_routes_are_heeded(data):
    agent = hanna_agent(data.assets)
    table = replace(data.table("valid"), episodes=data.table("valid").episodes[:70])
    found = agent.navigate(table, data)
    episodes = agent.episodes(table, data)
    routes = {tuple(pieces(data, row)) for row in episodes.assistant.tokens}
    followed = 0
    for row, (weights, words) in enumerate(zip(found.attention, found.words, strict=True)):
        assert (found.paths[row] >= 0).sum() - len(weights) in (0, 1)  # nothing is decided after the horizon
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
        begins = [place for place, word in enumerate(words) if word == "[CLS]"]
        texts = [tuple(words[a:b]) for a, b in pairwise([*begins, len(words)])]
        assert set(texts) <= {tuple(pieces(data, episodes.tokens[row])), *routes}
        read = np.add.reduceat(weights > 0, begins, axis=1) > 0
        assert (read.sum(axis=1) == 1).all()  # one text at a time
        followed += not routes.isdisjoint(texts)
    assert followed


def pieces(data, tokens):
    return data.assets.tokeniser.pieces(tokens[tokens != 0].tolist())


def test_walks_on_request_are_scored_by_their_requests(data):
    agent = hanna_agent(data.assets)
    table = replace(data.table("valid"), episodes=data.table("valid").episodes[:70])
    found = agent.navigate(table, data)
    check_trajectories(table, found.paths)
    figures = summary(score("hanna", table, found.paths, found.requests))
    with torch.no_grad():
        batch = batch_of(agent, data, range(70), "valid")
        terms = agent.validate(batch, step_of(agent))
    assert terms["success"] == pytest.approx(figures["SR"])
    assert terms["spl"] == pytest.approx(figures["SPL"])
    assert terms["requests"] == pytest.approx(figures["requests"])
