"""The agent of NDH: what it reads of a dialogue, and what it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from genera.errors import GeneraError
from genera.measures.navigation import score, summary
from genera.methods.prevalent.agents.ndh import HISTORY_TOKENS
from genera.methods.prevalent.agents.rollouts import rollout, scheduled_sampling
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from navigation_agents import learn, ndh_agent, step_of


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig(data="world:houses-ndh", limit=200, max_tokens=300))


def batch_of(agent, data, rows=range(8), split="train"):
    return agent.episodes(data.table(split), data).batch(torch.tensor(list(rows)))


def read(agent, data, row):
    """What the agent reads of a training episode, without the special tokens."""
    tokens = batch_of(agent, data, [row]).tokens
    assert tokens[0, 0] == data.assets.tokeniser.bos
    return data.assets.tokeniser.decode_batch(tokens[:, 1:].numpy())[0]


@pytest.fixture(scope="module")
def row(data):
    """An episode after two turns at least."""
    return next(i for i, episode in enumerate(data.table("train").episodes) if len(episode.turns) > 2)


def test_five_histories(data, row):
    episode = data.table("train").episodes[row]
    texts = {history: read(ndh_agent(data.assets, history=history), data, row) for history in HISTORY_TOKENS}
    last_question, last_answer = (text for _, text in episode.turns[-2:])
    assert texts["none"] == ""
    assert texts["target"].endswith(episode.target.split()[-1])
    assert "ORA" not in texts["target"]
    assert texts["oracle_ans"].count("<ORA>") == 1
    assert "NAV" not in texts["oracle_ans"]
    assert last_answer.split()[1] in texts["oracle_ans"]
    assert (texts["nav_q_oracle_ans"].count("<NAV>"), texts["nav_q_oracle_ans"].count("<ORA>")) == (1, 1)
    assert last_question.split()[0] in texts["nav_q_oracle_ans"]
    assert texts["all"].count("<NAV>") == len(episode.turns) // 2


def test_long_dialogues_keep_the_first_token_and_the_newest_words(data, row):
    agent = ndh_agent(data.assets)
    whole = batch_of(agent, data, [row]).tokens[0]
    short = replace(data, config=replace(data.config, max_tokens=12))
    cut = batch_of(agent, short, [row]).tokens[0]
    assert cut.tolist() == [whole[0].item(), *whole[-11:].tolist()]


def test_a_dialogue_without_turns_is_its_target(data):
    row = next(i for i, episode in enumerate(data.table("train").episodes) if not episode.turns)
    episode = data.table("train").episodes[row]
    assert read(ndh_agent(data.assets), data, row) == f"<TAR> {episode.target}"


def test_instructions_are_no_dialogues():
    data = NavigationData.open(NavigationConfig(limit=5))
    with pytest.raises(GeneraError, match="reads dialogues; give --data ndh:DIR"):
        batch_of(ndh_agent(data.assets), data, [0])


def test_the_loss_is_the_teacher_s_likelihood_on_walks_with_drawn_steps(data):
    agent = ndh_agent(data.assets, sampled=0.5)
    batch = batch_of(agent, data)
    step = step_of(agent)
    loss = agent.loss(batch, step, False)["loss"]
    step = step_of(agent)
    choose = scheduled_sampling(step.uniform(8, 10), 0.5, step.uniform(8, 10))
    walk = rollout(agent.network, agent.instructions(batch), batch, choose, 10)
    assert (walk.actions != walk.teacher)[walk.active].any()
    means = [
        F.cross_entropy(logits[active], teacher[active])
        for logits, teacher, active in zip(walk.logits, walk.teacher, walk.active, strict=True)
    ]
    assert_close(loss, torch.stack(means).mean())


def test_it_sees_every_second_view(data):
    agent = ndh_agent(data.assets)
    batch = batch_of(agent, data)
    seen = []
    inner = agent.instructions(batch)

    class Spy:
        def at(self, panorama, active):
            seen.append(panorama)
            return inner.at(panorama, active)

    rollout(agent.network, Spy(), batch, lambda t, logits, teacher: teacher, 2)
    assert_close(seen[0], batch.town.panorama(batch.node, batch.view)[:, ::2])


def test_every_part_of_the_agent_learns(data):
    agent = ndh_agent(data.assets)
    agent.loss(batch_of(agent, data), step_of(agent), False)["loss"].backward()
    assert all(parameter.grad.any() for parameter in agent.network.parameters())


def test_a_batch_is_learnt_by_heart(data):
    agent = ndh_agent(data.assets, sampled=0.0, lr=2e-2)
    batch = batch_of(agent, data)
    before = agent.loss(batch, step_of(agent), False)["loss"]
    after = learn(agent, batch, 60)["loss"]
    assert after < 0.3 * before


def test_validation_measures_the_progress(data):
    agent = ndh_agent(data.assets)
    table = replace(data.table("valid"), episodes=data.table("valid").episodes[:40])
    agent.network.eval()
    with torch.no_grad():
        found = agent.validate(batch_of(agent, data, range(40), "valid"), step_of(agent))
    figures = summary(score("ndh", table, agent.navigate(table, data).paths))
    assert found["goal_progress"] == pytest.approx(figures["goal_progress"], abs=1e-5)
    assert found["loss"] == -found["goal_progress"]


def test_supervision_changes_the_goal():
    goals = []
    for supervision in ("planner", "player"):
        config = NavigationConfig(data="world:houses-ndh", limit=50, supervision=supervision)
        data = NavigationData.open(config)
        goals.append(batch_of(ndh_agent(data.assets), data, range(50)).goals.numpy())
    assert not np.array_equal(*goals)
