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
from genera.methods.prevalent.agents.rollouts import mixed, rollout
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from navigation_agents import dialogues, learn, step_of


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig(data="world:houses-ndh", limit=200, max_tokens=300))


def batch_of(walking, data, rows=range(8), split="train"):
    return walking.episodes(data.table(split), data).batch(torch.tensor(list(rows)))


def read(walking, data, row):
    """What the agent reads of a training episode, without the special tokens."""
    tokens = batch_of(walking, data, [row]).tokens
    assert tokens[0, 0] == data.assets.tokeniser.bos
    return data.assets.tokeniser.decode_batch(tokens[:, 1:].numpy())[0]


@pytest.fixture(scope="module")
def row(data):
    """An episode after two turns at least."""
    return next(i for i, episode in enumerate(data.table("train").episodes) if len(episode.turns) > 2)


def test_five_histories(data, row):
    episode = data.table("train").episodes[row]
    texts = {history: read(dialogues(data.assets, history=history), data, row) for history in HISTORY_TOKENS}
    last_question, last_answer = (text for _, text in episode.turns[-2:])
    assert texts["none"] == ""
    assert texts["target"].endswith(episode.target.split()[-1])
    assert "ORA" not in texts["target"]
    assert texts["oracle_ans"].count("< ORA >") == 1
    assert "NAV" not in texts["oracle_ans"]
    assert last_answer.split()[1] in texts["oracle_ans"]
    assert (texts["nav_q_oracle_ans"].count("< NAV >"), texts["nav_q_oracle_ans"].count("< ORA >")) == (1, 1)
    assert last_question.split()[0] in texts["nav_q_oracle_ans"]
    assert texts["all"].count("< NAV >") == len(episode.turns) // 2


def test_long_dialogues_keep_the_first_token_and_the_newest_words(data, row):
    walking = dialogues(data.assets)
    whole = batch_of(walking, data, [row]).tokens[0]
    short = replace(data, config=replace(data.config, max_tokens=12))
    cut = batch_of(walking, short, [row]).tokens[0]
    assert cut.tolist() == [whole[0].item(), *whole[-11:].tolist()]


def test_a_dialogue_without_turns_is_its_target(data):
    row = next(i for i, episode in enumerate(data.table("train").episodes) if not episode.turns)
    episode = data.table("train").episodes[row]
    assert read(dialogues(data.assets), data, row) == f"< TAR > {episode.target}"


def test_instructions_are_no_dialogues():
    data = NavigationData.open(NavigationConfig(limit=5))
    with pytest.raises(GeneraError, match="reads dialogues; give --data ndh:DIR"):
        batch_of(dialogues(data.assets), data, [0])


def test_the_loss_is_the_teacher_s_likelihood_on_walks_with_drawn_steps(data):
    walking = dialogues(data.assets, sampled=0.5)
    batch = batch_of(walking, data)
    step = step_of(walking)
    loss = walking.loss(batch, step, False)["loss"]
    step = step_of(walking)
    choose = mixed(step.uniform(8, 10), 0.5, step.uniform(8, 10))
    walk = rollout(walking.agent, walking.instructions(batch), batch, choose, 10)
    assert (walk.actions != walk.teacher)[walk.active].any()
    means = [
        F.cross_entropy(logits[active], teacher[active])
        for logits, teacher, active in zip(walk.logits, walk.teacher, walk.active, strict=True)
    ]
    assert_close(loss, torch.stack(means).mean())


def test_it_sees_every_second_view(data):
    walking = dialogues(data.assets)
    batch = batch_of(walking, data)
    seen = []
    inner = walking.instructions(batch)

    class Spy:
        def at(self, panorama, active):
            seen.append(panorama)
            return inner.at(panorama, active)

    rollout(walking.agent, Spy(), batch, lambda t, logits, teacher: teacher, 2)
    assert_close(seen[0], batch.town.panorama(batch.node, batch.view)[:, ::2])


def test_every_part_of_the_agent_learns(data):
    walking = dialogues(data.assets)
    walking.loss(batch_of(walking, data), step_of(walking), False)["loss"].backward()
    assert all(parameter.grad.any() for parameter in walking.agent.parameters())


def test_a_batch_is_learnt_by_heart(data):
    walking = dialogues(data.assets, sampled=0.0, lr=2e-2)
    batch = batch_of(walking, data)
    before = walking.loss(batch, step_of(walking), False)["loss"]
    after = learn(walking, batch, 60)["loss"]
    assert after < 0.3 * before


def test_validation_measures_the_progress(data):
    walking = dialogues(data.assets)
    table = replace(data.table("valid"), episodes=data.table("valid").episodes[:40])
    walking.agent.eval()
    with torch.no_grad():
        found = walking.validate(batch_of(walking, data, range(40), "valid"), step_of(walking))
    figures = summary(score("ndh", table, walking.navigate(table, data).paths))
    assert found["goal_progress"] == pytest.approx(figures["goal_progress"], abs=1e-5)
    assert found["loss"] == -found["goal_progress"]


def test_supervision_changes_the_goal():
    goals = []
    for supervision in ("planner", "player"):
        config = NavigationConfig(data="world:houses-ndh", limit=50, supervision=supervision)
        data = NavigationData.open(config)
        goals.append(batch_of(dialogues(data.assets), data, range(50)).goals.numpy())
    assert not np.array_equal(*goals)
