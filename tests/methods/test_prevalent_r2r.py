"""The agent of R2R: walks, what they teach, and what reads the instruction."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from genera.measures.navigation import score, summary
from genera.methods.prevalent.agents.finetuning import arrival, imitation_loss
from genera.methods.prevalent.agents.network import Reader, final_states
from genera.methods.prevalent.agents.r2r import actor_critic, returns, views_along_paths
from genera.methods.prevalent.agents.rollouts import (
    draw_actions,
    greedy,
    rollout,
    sampled,
    scheduled_sampling,
    teacher_forced,
)
from genera.methods.prevalent.speaker.config import SpeakerConfig
from genera.methods.prevalent.speaker.training import build_speaker
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.environments import NavigationVectorEnv
from genera.navigation.episodes import Episode, EpisodeTable
from genera.navigation.graphs import enumerate_paths
from genera.navigation.simulator import views_along
from genera.navigation.trajectories import check_trajectories
from navigation_agents import learn, r2r_agent, step_of


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig(limit=60))


def batch_of(agent, data, rows=range(8), split="train"):
    return agent.episodes(data.table(split), data).batch(torch.tensor(list(rows)))


def walk(agent, batch, policy=teacher_forced, horizon=10, **options):
    return rollout(agent.network, agent.instructions(batch), batch, policy, horizon, **options)


# -- walks ------------------------------------------------------------------------------------------------------------


def test_the_teacher_walks_the_reference_and_stops(data):
    agent = r2r_agent(data.assets)
    batch = batch_of(agent, data, range(20))
    trace = walk(agent, batch)
    edges = (batch.paths >= 0).sum(1) - 1
    for nodes, path, count in zip(trace.nodes, batch.paths, edges, strict=True):
        assert nodes[: count + 1].tolist() == path[: count + 1].tolist()
        assert (nodes[count:] == nodes[count]).all()
    assert trace.active.sum(1).tolist() == (edges + 1).tolist()
    assert trace.rewards.sum(1).tolist() == (edges + 2).tolist()
    views = views_along(data.graphs, batch.paths.numpy(), data.table("train").heading[:20])
    known = batch.paths >= 0
    assert (views_along_paths(batch, torch.ones(20, dtype=bool))[known] == torch.from_numpy(views)[known]).all()


def test_walks_and_rewards_are_those_of_the_environment(data):
    agent = r2r_agent(data.assets)
    table = data.table("train")
    batch = batch_of(agent, data, range(30))
    trace = walk(agent, batch, sampled(torch.rand(30, 10)))
    env = NavigationVectorEnv(table, 30, horizon=10)
    env.reset(options={"episodes": np.arange(30)})
    for t in range(trace.actions.shape[1]):
        seen, rewards, *_ = env.step(trace.actions[:, t].numpy())
        np.testing.assert_array_equal(seen["node"], trace.nodes[:, t + 1])
        np.testing.assert_array_equal(seen["view"], trace.views[:, t + 1])
        np.testing.assert_array_equal(rewards, trace.rewards[:, t])


def test_walks_end_early_or_at_the_horizon_with_the_same_losses(data):
    agent = r2r_agent(data.assets)
    batch = batch_of(agent, data)
    one, other = (walk(agent, batch, horizon=horizon) for horizon in (9, 30))
    assert_close(imitation_loss(one), imitation_loss(other))
    cut = walk(agent, batch, horizon=2)
    assert cut.actions.shape[1] == 2
    assert_close(imitation_loss(cut), F.cross_entropy(cut.logits.mT, cut.teacher, reduction="none").sum(1))


def test_the_state_after_the_walk_is_there_for_those_who_were_cut_off(data):
    agent = r2r_agent(data.assets)
    batch = batch_of(agent, data)
    assert not walk(agent, batch, bootstrap=True).hidden[:, -1].any()  # all have stopped
    cut, longer = walk(agent, batch, horizon=2, bootstrap=True), walk(agent, batch, horizon=3)
    assert_close(cut.hidden, longer.hidden[:, :3])


def test_drawn_actions_have_the_agent_s_distribution():
    logits = torch.tensor([0.5, -1.0, 2.0, -torch.inf, -torch.inf]).expand(20_000, 5)
    drawn = draw_actions(logits, torch.rand(20_000, generator=torch.Generator().manual_seed(0)))
    shares = torch.bincount(drawn, minlength=5) / 20_000
    assert_close(shares, logits[0].softmax(0), atol=0.015, rtol=0)
    assert draw_actions(logits[:2], torch.tensor([0.0, 1 - 2**-24])).tolist() == [0, 2]


def test_scheduled_sampling_takes_the_drawn_action_where_the_coin_says_so():
    logits = torch.tensor([[0.0, 9.0], [0.0, 9.0]])
    choose = scheduled_sampling(torch.full((2, 1), 0.5), 0.2, torch.tensor([[0.1], [0.3]]))
    assert choose(0, logits, torch.tensor([0, 0])).tolist() == [1, 0]


# -- what reads -------------------------------------------------------------------------------------------------------


def test_text_layers_run_once_and_change_nothing(data):
    agent = r2r_agent(data.assets)
    batch = batch_of(agent, data)
    cached = agent.instructions(batch)
    for node, view in ((batch.node, batch.view), (batch.goals[:, 0], batch.view + 1)):
        panorama = batch.town.panorama(node, view % 36)
        states = agent.encoder(batch.tokens, batch.tokens != 0, panorama)
        expected = agent.network.reader(states, batch.tokens != 0)
        assert_close(cached.at(panorama, torch.ones(8, dtype=bool)).states, expected.states)
        some = torch.arange(8) % 3 > 0
        found = cached.at(panorama, some)
        assert_close(found.states, expected.states * some[:, None, None])
        assert torch.equal(found.mask, expected.mask)


def test_padding_of_an_instruction_changes_nothing(data):
    for reader in ("prevalent", "own"):
        agent = r2r_agent(data.assets, reader=reader)
        batch = batch_of(agent, data)
        padded = replace(batch, tokens=F.pad(batch.tokens, (0, 7)))
        assert_close(walk(agent, batch).logits, walk(agent, padded).logits)


def test_the_last_states_of_both_directions_are_those_of_a_packed_lstm():
    torch.manual_seed(0)
    reader = Reader(5, 6, 0.0)
    x, lengths = torch.randn(3, 4, 5), torch.tensor([4, 2, 1])
    reading = reader(x, torch.arange(4) < lengths[:, None])
    for row, length in enumerate(lengths):
        _, (ahead, _) = reader.lstm.forwards(x[row : row + 1, :length])
        _, (back, _) = reader.lstm.backwards(x[row : row + 1, :length].flip(1))
        assert_close(final_states(reading)[row], torch.cat([ahead[0, 0], back[0, 0]]))


def test_blind_agents_do_not_perceive_what_they_must_not(data):
    deaf = r2r_agent(data.assets, modality="vision")
    assert batch_of(deaf, data).tokens.shape == (8, 2)
    blind = r2r_agent(data.assets, modality="language")
    batch = batch_of(blind, data)
    other = replace(batch, town=replace(batch.town, features=torch.randn_like(batch.town.features.float())))
    assert_close(walk(blind, batch).logits, walk(blind, other).logits)
    seeing = batch_of(r2r_agent(data.assets), data)
    assert not torch.allclose(walk(blind, batch).logits, walk(blind, seeing).logits)


# -- learning ---------------------------------------------------------------------------------------------------------


def test_returns_are_the_discounted_sums():
    rewards, after = torch.randn(3, 6), torch.tensor([0.0, 2.0, -1.0])
    expected, later = [], after
    for t in reversed(range(6)):
        later = rewards[:, t] + 0.9 * later
        expected.insert(0, later)
    assert_close(returns(rewards, after, 0.9), torch.stack(expected, 1))
    assert_close(returns(rewards, after, 0.0), rewards)


def test_actor_critic_is_that_of_the_published_loop(data):
    """Step by step from the end, as EnvDrop's agent computes it, with its mask and its bootstrap."""
    agent = r2r_agent(data.assets)
    batch = batch_of(agent, data)
    trace = walk(agent, batch, sampled(torch.rand(8, 4)), horizon=4, bootstrap=True)
    going = trace.active[:, -1] & (trace.actions[:, -1] != 0)
    assert going.any()
    assert not going.all()
    values = agent.critic(trace.hidden)
    discounted = values[:, -1].detach() * going
    policy, critic, entropy = torch.zeros(8), torch.zeros(8), torch.zeros(8)
    for t in reversed(range(trace.actions.shape[1])):
        discounted = trace.rewards[:, t] + 0.9 * discounted
        chances = torch.distributions.Categorical(logits=trace.logits[:, t])
        active = trace.active[:, t].float()
        policy -= chances.log_prob(trace.actions[:, t]) * (discounted - values[:, t]).detach() * active
        critic += (discounted - values[:, t]).square() * active
        entropy += chances.entropy() * active
    found = actor_critic(trace, agent.critic, 0.9)
    for ours, theirs in zip(found, (policy, critic, entropy), strict=True):
        assert_close(ours, theirs / trace.active.sum(1))


def test_gradients_are_finite_and_reach_every_part(data):
    agent = r2r_agent(data.assets)
    agent.loss(batch_of(agent, data), step_of(agent), unfrozen=False)["loss"].backward()
    for name, parameter in agent.network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name
    assert all(parameter.grad is None for parameter in agent.encoder.parameters())


def test_only_the_cross_layers_are_unfrozen(data):
    agent = r2r_agent(data.assets, unfreeze=0.5)
    first, second = agent.stages(1.0)
    assert (first.name, first.share, second.name, second.share) == ("finetune", 0.5, "unfreeze", 0.5)
    before = {name: p.detach().clone() for name, p in agent.encoder.named_parameters()}
    learn(agent, batch_of(agent, data), 2)
    assert all(torch.equal(p, before[name]) for name, p in agent.encoder.named_parameters())
    learn(agent, batch_of(agent, data), 2, unfrozen=True)
    moved = {name for name, p in agent.encoder.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.startswith("layers.") and not name.startswith("layers.1.image")}
    rates = [agent.players(unfrozen)["agent"].optimiser.param_groups[0]["lr"] for unfrozen in (False, True)]
    assert rates == [agent.config.lr, agent.config.unfrozen_lr]


def test_what_is_frozen_drops_nothing(data):
    agent = r2r_agent(data.assets)
    agent.encoder.dropout = agent.encoder.words.size.dropout
    for block in agent.encoder.modules():
        if hasattr(block, "dropout"):
            block.dropout = 0.5
    agent.encoder.train()
    losses = [agent.loss(batch_of(agent, data), step_of(agent), False)["imitation"] for _ in range(2)]
    assert losses[0] != losses[1]
    agent.update(batch_of(agent, data), step := step_of(agent), unfrozen=False)
    one = step.averages()["imitation"]
    again = r2r_agent(data.assets)
    again.update(batch_of(again, data), step := step_of(again), unfrozen=False)
    assert one == pytest.approx(step.averages()["imitation"], rel=1e-5)
    assert agent.encoder.training


def four_ways(data):
    """Four episodes from one place, each to another room, with a word each."""
    graphs = data.graphs
    paths = enumerate_paths(graphs, graphs.scans[:1])
    paths = paths[paths[:, 0] == paths[0, 0]]
    ends = paths[np.arange(len(paths)), (paths >= 0).sum(1) - 1]
    apart = graphs.distance(ends[:, None], ends[None]) > 3
    chosen = [0]
    for row in range(len(paths)):
        if apart[row, chosen].all():
            chosen.append(row)
    episodes = [
        Episode(word, graphs.scans[0], names := tuple(graphs.names[n] for n in path if n >= 0), 0.0, word, names[-1:])
        for word, path in zip(("kitchen", "bedroom", "left", "sofa"), paths[chosen], strict=False)
    ]
    assert len(episodes) == 4
    return EpisodeTable(graphs, tuple(episodes))


@pytest.mark.parametrize("reader", ["prevalent", "own"])
def test_four_ways_are_learnt_by_heart_and_lost_with_their_words(data, reader):
    agent = r2r_agent(data.assets, reader=reader, reinforcement=0.0, lr=1e-2)
    batch = agent.episodes(four_ways(data), data).batch(torch.arange(4))
    figures = learn(agent, batch, 100)
    assert figures["imitation"] < 0.5
    agent.network.eval()
    with torch.no_grad():
        there = arrival(walk(agent, batch, greedy).nodes, batch)[0]
        shuffled = replace(batch, tokens=batch.tokens.roll(1, 0))
        confused = arrival(walk(agent, shuffled, greedy).nodes, batch)[0]
    assert (there < 3).all()
    assert (confused >= 3).all()


def test_rewards_alone_teach(data):
    agent = r2r_agent(data.assets, reader="own", imitation=0.0, entropy=0.0, horizon=6, lr=1e-3)
    batch = batch_of(agent, data, range(4))
    before = learn(agent, batch, 12)["reward"]
    after = learn(agent, batch, 150)["reward"]
    assert after > before + 2


def test_validation_figures_are_those_of_the_measures(data):
    agent = r2r_agent(data.assets)
    table = data.table("valid")
    agent.network.eval()
    with torch.no_grad():
        found = agent.validate(batch_of(agent, data, range(50), "valid"), step_of(agent))
    expected = agent.navigate(replace(table, episodes=table.episodes[:50]), data)
    figures = summary(score("r2r", replace(table, episodes=table.episodes[:50]), expected.paths))
    assert found["success"] == pytest.approx(figures["SR"])
    assert found["spl"] == pytest.approx(figures["SPL"])
    assert found["loss"] == pytest.approx(1 - figures["SPL"])


# -- back-translation -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def translating(data):
    torch.manual_seed(1)
    speaker = build_speaker(SpeakerConfig(hidden=16, embedding=8), data.assets)
    return r2r_agent(data.assets, back_translation=True, speaker=speaker, batch_size=8)


def test_every_second_row_is_synthetic_and_gets_words(data, translating):
    stream = translating.data(data, None).stream("train", 8, seed=0)
    batch = stream.batch(0)
    assert batch.synthetic.tolist() == [False, True] * 4
    assert not batch.tokens[batch.synthetic].any()
    ready = translating.prepare(batch, step_of(translating))
    real = ~batch.synthetic
    assert (ready.tokens[:, 0] == data.assets.tokeniser.bos).all()
    assert torch.equal(ready.tokens[real][:, : batch.tokens.shape[1]], batch.tokens[real])
    assert (ready.feature_factors[real] == 1).all()
    factors = ready.feature_factors[batch.synthetic]
    assert (factors == factors[0]).all()
    assert_close(factors.unique(), torch.tensor([0.0, 1 / 0.6]))
    assert translating.speaker.training


def test_what_is_dropped_is_the_same_however_the_batch_is_spread(data, translating):
    episodes = translating.data(data, None)
    whole = translating.prepare(episodes.stream("train", 8, seed=0).batch(3), step_of(translating, index=3))
    for rank in range(2):
        part = episodes.stream("train", 8, seed=0, rank=rank, ranks=2).batch(3)
        part = translating.prepare(part, step_of(translating, index=3))
        mine = whole[4 * rank : 4 * rank + 4]
        assert torch.equal(part.feature_factors, mine.feature_factors)
        width = min(part.tokens.shape[1], mine.tokens.shape[1])
        assert torch.equal(part.tokens[:, :width], mine.tokens[:, :width])
        assert not mine.tokens[:, width:].any()
    other = translating.prepare(episodes.stream("train", 8, seed=0).batch(3), step_of(translating, index=4))
    assert not torch.equal(other.feature_factors, whole.feature_factors)


def test_the_halves_have_their_own_weights(data, translating):
    batch = translating.data(data, None).stream("train", 8, seed=0).batch(0)
    ready = translating.prepare(batch, step_of(translating))
    plain = replace(translating.config, reinforcement=0.0)
    agent = r2r_agent(data.assets, plain, speaker=translating.speaker)
    terms = agent.loss(ready, step_of(agent), False)
    taught = imitation_loss(walk(agent, ready))
    expected = (0.2 * taught[~ready.synthetic].sum() + 0.6 * taught[ready.synthetic].sum()) / 8
    assert_close(terms["loss"], expected)


def test_synthetic_views_lose_their_features_once(data, translating):
    batch = translating.data(data, None).stream("train", 8, seed=0).batch(0)
    ready = translating.prepare(batch, step_of(translating))
    plain, dropping = (r2r_agent(data.assets, translating.config, feature_dropout=share) for share in (0.0, 0.9))
    one, other = (walk(agent, ready).logits[:, 0] for agent in (plain, dropping))
    synthetic = ready.synthetic
    assert_close(one[synthetic], other[synthetic])
    assert not torch.isclose(one[~synthetic][:, :2], other[~synthetic][:, :2]).all(dim=1).any()


# -- use --------------------------------------------------------------------------------------------------------------


def test_navigation_gives_walks_along_edges_and_the_words_they_heeded(data):
    agent = r2r_agent(data.assets)
    agent.network.eval()
    table = data.table("val_unseen")
    found = agent.navigate(table, data)
    check_trajectories(table, found.paths)
    assert found.paths.shape[0] == len(table) == len(found.words)
    for weights, words, path in zip(found.attention, found.words, found.paths, strict=True):
        assert weights.shape[1] == len(words)
        assert weights.shape[0] in ((path >= 0).sum(), agent.config.horizon)
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    assert found.words[0][0] == "[CLS]"
    assert found.words[0][-1] == "[SEP]"
