"""The agent of HANNA: what happens when it asks, what it should have done, and what it learns."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genera.measures.navigation import score, summary
from genera.methods.prevalent.agents.hanna import Course, hindsight, repeats
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.trajectories import check_trajectories
from navigation_agents import helped, learn, step_of


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig(data="world:houses-hanna", limit=60, max_tokens=50))


def batch_of(walking, data, rows=range(12), split="train"):
    return walking.episodes(data.table(split), data).batch(torch.tensor(list(rows)))


def scripted(walking, walks, asks):
    """Replaces the agent's decisions by given ones, (B, T) each; the agent still computes."""
    inner = walking.agent

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
    walking.agent = Script()
    return readings


# -- asking -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answered(data):
    """Twelve agents that ask at once where they may, then stop and stop again; what they were told."""
    walking = helped(data.assets)
    table = data.table("train")
    batch = batch_of(walking, data, range(60))
    rows = torch.from_numpy(np.flatnonzero(batch.aid.helper.can_request[table.start[:60]]))[:12]
    batch = batch_of(walking, data, rows.tolist())
    found = batch.aid.helper.answer(batch.node.numpy(), batch.goals.numpy())
    readings = scripted(walking, torch.zeros(12, 12, dtype=torch.int64), torch.eye(12)[:1].expand(12, -1))
    return walking, batch, found, walking.walk(batch, 12), readings


def test_who_asks_is_put_on_the_route_and_reads_it(answered):
    _, batch, found, course, readings = answered
    assert course.asked[:, 0].all()
    assert course.nodes[:, 1].tolist() == found.start.tolist()
    assert course.route[:, 0].tolist() == [-1] * 12
    assert course.route[:, 1].tolist() == found.route.tolist()
    for row, route in enumerate(found.route):
        described = batch.aid.tokens[route]
        assert readings[1][0].mask[row].sum() == (described != 0).sum()
        assert readings[0][0].mask[row].sum() == (batch.tokens[row] != 0).sum()


def test_the_target_on_a_route_is_where_to_leave_it(answered):
    _, batch, found, course, readings = answered
    depart = torch.from_numpy(found.depart)
    assert_close(course.metres[:, 1], batch.town.distance(course.here[:, 1], depart))
    assert_close(course.metres[:, 0], batch.town.nearest(batch.node, batch.goals)[0])
    assert not readings[0][1].target.any()
    assert_close(readings[1][1].target[..., :32], batch.town.panorama(depart, batch.view)[..., :32])


def test_stop_on_a_route_goes_back_to_the_task_and_stop_there_ends(answered):
    *_, course, readings = answered
    assert course.actions.shape[1] == 3
    assert course.active.all()
    assert (course.route[:, 2] == -1).all()
    assert course.part.tolist() == [[0, 1, 2]] * 12
    assert_close(readings[2][0].states, readings[0][0].states)


def test_help_is_had_only_where_there_is_some(data):
    walking = helped(data.assets)
    batch = batch_of(walking, data, range(40))
    course = walking.walk(batch, 10, torch.rand(40, 10, 3))
    assert course.asked.any()
    assert not (course.asked & ~course.may_ask).any()
    assert not (course.asked & ~course.active).any()
    here, there = course.nodes[:, :-1], course.nodes[:, 1:]
    moved = here != there
    assert torch.equal(moved, moved & course.active)
    assert data.graphs.is_edge(here[moved].numpy(), there[moved].numpy()).all()


def test_states_that_were_kept_are_those_of_the_text_layers(data, monkeypatch):
    walking = helped(data.assets)
    kept = batch_of(walking, data, range(30))
    assert kept.aid.states.shape == (*kept.aid.tokens.shape, walking.encoder.size)
    monkeypatch.setattr("genera.methods.prevalent.agents.hanna.LARGEST", 1000)
    anew = batch_of(walking, data, range(30))
    assert anew.aid.states is None
    uniform = torch.rand(30, 10, 3)
    one, other = walking.walk(kept, 10, uniform), walking.walk(anew, 10, uniform)
    assert one.asked.any()
    assert_close(one.walk, other.walk)
    assert_close(one.attention, other.attention)


def test_the_memory_is_read_by_the_last_step_as_by_all(data):
    """The history layer asks for the last step alone: what the whole layer gives there."""
    agent = helped(data.assets).agent
    memory = torch.randn(3, 7, 32)
    assert_close(agent.history(memory[:, -1:], context=memory), agent.history(memory)[:, -1:])


def test_training_routes_alone_help_in_training(data):
    walking = helped(data.assets)
    splits = walking.data(data, None).splits
    assert {route.split for route in splits["train"].aid.helper.routes} == {"train"}
    assert {route.split for route in splits["valid"].aid.helper.routes} == {"train", "val_unseen"}


# -- hindsight --------------------------------------------------------------------------------------------------------


def course_of(**given):
    """A walk of 5 steps in which nothing special happens, with these changes of row 0."""
    steps = 5
    values = {
        "walk": torch.tensor([[0.0, 9.0, -9.0]]).expand(steps, 3).clone(),
        "ask": torch.zeros(steps, 2),
        "reasons": torch.zeros(steps, 3),
        "attention": torch.full((steps, 2), 0.5),
        "actions": torch.ones(steps, dtype=torch.int64),
        "asked": torch.zeros(steps, dtype=torch.bool),
        "teacher": torch.ones(steps, dtype=torch.int64),
        "active": torch.ones(steps, dtype=torch.bool),
        "may_ask": torch.ones(steps, dtype=torch.bool),
        "here": torch.arange(steps),
        "slots": torch.arange(steps)[:, None] + torch.arange(3),
        "metres": torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]),
        "part": torch.zeros(steps, dtype=torch.int64),
        "route": torch.full((steps,), -1),
        "nodes": torch.arange(steps + 1),
    }
    given = {name: torch.as_tensor(value, dtype=values[name].dtype) for name, value in given.items()}
    return Course(**{name: value[None] for name, value in (values | given).items()})


def reasons(course, uncertain=0.25):
    request, why = hindsight(course, uncertain)
    return request[0].int().tolist(), why[0].int().T.tolist()


def test_nobody_needs_help_on_the_way():
    assert reasons(course_of()) == ([0] * 5, [[0] * 5] * 3)


def test_lost_after_the_step_nearest_to_the_target_of_each_part():
    request, (lost, *_) = reasons(course_of(metres=[5.0, 3.0, 4.0, 3.0, 6.0]))
    assert lost == [0, 0, 0, 0, 1] == request
    parted = course_of(metres=[3.0, 4.0, 4.0, 9.0, 8.0], part=[0, 0, 0, 1, 1])
    assert reasons(parted)[1][0] == [0, 1, 1, 0, 0]
    ended = course_of(metres=[3.0, 4.0, 5.0, 1.0, 1.0], active=[1, 1, 1, 0, 0])
    assert reasons(ended)[1][0][:3] == [0, 1, 1]


def test_uncertain_only_where_also_wrong():
    flat = course_of().walk[0].clone()
    flat[1] = torch.tensor([0.0, 0.1, -0.1])  # the likeliest is right
    flat[2] = torch.tensor([0.1, 0.0, -0.1])  # and here it is not
    flat[3] = torch.tensor([9.0, 0.0, -9.0])  # wrong, and sure of it
    request, (_, unsure, _) = reasons(course_of(walk=flat))
    assert unsure == [0, 0, 1, 0, 0] == request
    entropy = -(flat[2].softmax(0) * flat[2].log_softmax(0)).sum() / math.log(37)
    assert reasons(course_of(walk=flat), float(entropy) + 1e-3)[1][1] == [0] * 5
    assert reasons(course_of(walk=flat), float(entropy) - 1e-3)[1][1] == [0, 0, 1, 0, 0]


def test_nobody_asks_twice_at_a_place_or_where_there_is_no_help():
    course = course_of(metres=[1.0, 2.0, 3.0, 4.0, 5.0], here=[0, 7, 7, 8, 7], asked=[0, 1, 0, 0, 0])
    request, (lost, _, already) = reasons(course)
    assert lost == [0, 1, 1, 1, 1]
    assert already == [0, 0, 1, 0, 1]
    assert request == [0, 1, 0, 1, 0]
    assert reasons(course_of(metres=[1.0, 2.0, 3.0, 4.0, 5.0], may_ask=[1, 0, 1, 0, 1]))[0] == [0, 0, 1, 0, 1]


def test_mistakes_made_before_at_the_same_place_are_penalised():
    """At step 0 slot 2 leads to node 50 and is wrong; later the same neighbour is another slot."""
    slots = [[9, 40, 50], [1, 2, 3], [9, 50, 40], [9, 50, 40], [9, 50, 40]]
    course = course_of(
        here=[9, 1, 9, 9, 9], slots=slots, actions=[2, 1, 0, 1, 0], teacher=[1, 1, 2, 2, 2], route=[-1, -1, -1, 4, -1]
    )
    logs = course.walk[0].log_softmax(-1)
    expected = torch.stack([
        torch.tensor(0.0), torch.tensor(0.0),
        logs[2, 1],  # the neighbour of step 0
        torch.tensor(0.0),  # another instruction
        (logs[4, 1] + logs[4, 0]) / 2,  # that, and the STOP of step 2
    ])  # fmt: skip
    assert_close(repeats(course)[0], expected)
    assert not repeats(course._replace(asked=torch.ones_like(course.asked))).any()


# -- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["prevalent", "own"])
def test_every_part_of_the_agent_learns(data, reader):
    walking = helped(data.assets, reader=reader)
    walking.loss(batch_of(walking, data, range(30)), step_of(walking), False)["loss"].backward()
    for name, parameter in walking.agent.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_the_text_layers_alone_read(data):
    walking = helped(data.assets)
    batch = batch_of(walking, data)
    before = walking.walk(batch, 3).walk
    for parameter in walking.encoder.layers.parameters():
        parameter.data.normal_()
    assert_close(walking.walk(batch, 3).walk, before)


def test_a_batch_is_learnt(data):
    walking = helped(data.assets, reader="own", repeat_penalty=0.0, horizon=6, lr=5e-3)
    batch = batch_of(walking, data, range(6))
    before = learn(walking, batch, 10)
    after = learn(walking, batch, 60)
    assert after["walk"] < 0.6 * before["walk"]
    assert after["reasons"] < 0.8 * before["reasons"]


def test_the_words_of_the_task_and_of_the_routes_are_heeded(data):
    walking = helped(data.assets)
    table = replace(data.table("valid"), episodes=data.table("valid").episodes[:70])
    found = walking.navigate(table, data)
    episodes = walking.episodes(table, data)
    routes = {tuple(pieces(data, row)) for row in episodes.aid.tokens}
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
    walking = helped(data.assets)
    table = replace(data.table("valid"), episodes=data.table("valid").episodes[:70])
    found = walking.navigate(table, data)
    check_trajectories(table, found.paths)
    figures = summary(score("hanna", table, found.paths, found.requests))
    with torch.no_grad():
        batch = batch_of(walking, data, range(70), "valid")
        terms = walking.validate(batch, step_of(walking))
    assert terms["success"] == pytest.approx(figures["SR"])
    assert terms["spl"] == pytest.approx(figures["SPL"])
    assert terms["requests"] == pytest.approx(figures["requests"])
