import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from genera.errors import GeneraError
from genera.navigation.environments import DOWN, FORWARD, LEFT, RIGHT, STOP, UP, NavigationEnv, NavigationVectorEnv
from genera.navigation.episodes import EpisodeTable
from genera.navigation.scenery import imagined_scenery, synthetic_views
from genera.navigation.simulator import panoramic_expert
from small_graphs import street, table_of

BOTH = pytest.mark.parametrize("actions", ["panoramic", "low-level"])


@pytest.fixture(scope="module")
def table(houses):
    return houses.table("val_unseen")


def pair():
    """v0 → v2, and v4 → v0."""
    return table_of(street(), ["v0", "v1", "v2"], ["v4", "v1", "v0"])


@BOTH
@pytest.mark.filterwarnings("ignore:.*render modes.*")
def test_single_environment_passes_the_checker(table, actions):
    check_env(NavigationEnv(table, actions=actions))


@pytest.mark.filterwarnings("ignore:.*render modes.*", "ignore:.*A Box observation space.*")
def test_single_environment_with_features_passes_the_checker():
    table = pair()
    views = synthetic_views(table.graphs, imagined_scenery(table.graphs), size=4)
    env = NavigationEnv(table, views=views)
    check_env(env)
    seen, _ = env.reset(seed=0)
    np.testing.assert_array_equal(seen["views"], views.gather(np.array(seen["node"])))


@BOTH
def test_batch_equals_the_single_environments_step_for_step(table, actions):
    batch, horizon = 7, 9
    ours = NavigationVectorEnv(table, batch, actions=actions, horizon=horizon)
    theirs = SyncVectorEnv(
        [lambda: NavigationEnv(table, actions=actions, horizon=horizon)] * batch, autoreset_mode=AutoresetMode.DISABLED
    )
    random = np.random.default_rng(0)
    seen, info = ours.reset(seed=11)
    expected, _ = theirs.reset(seed=11)
    assert ours.single_action_space == theirs.single_action_space
    assert ours.observation_space == theirs.observation_space
    finished = np.zeros(batch, bool)
    for _ in range(40):
        for name in seen:
            np.testing.assert_array_equal(seen[name], expected[name])
        assert ours.observation_space.contains(seen)
        if finished.any():
            mask = {"reset_mask": finished}
            (seen, info), (expected, _) = ours.reset(options=dict(mask)), theirs.reset(options=dict(mask))
            finished = np.zeros(batch, bool)
            continue
        chances = seen["action_mask"] / seen["action_mask"].sum(axis=1, keepdims=True)
        action = np.array([random.choice(len(row), p=row) for row in chances])
        seen, rewards, terminated, truncated, info = ours.step(action)
        expected, *rest, _ = theirs.step(action)
        for got, wanted in zip((rewards, terminated, truncated), rest, strict=True):
            np.testing.assert_array_equal(got, wanted)
        finished = terminated | truncated
    assert set(info) == {"episode", "goal_distance"}


def test_rewards_stop_and_horizon():
    table = pair()
    env = NavigationVectorEnv(table, 2, horizon=3)
    seen, info = env.reset(options={"episodes": [0, 1]})
    assert seen["node"].tolist() == [0, 4]
    assert info["goal_distance"].tolist() == [8, 8]
    assert seen["slots"][0, :2].tolist() == [0, 1]
    seen, rewards, terminated, truncated, info = env.step(np.array([1, STOP]))
    assert rewards.tolist() == [1, -2]  # nearer; stopped 8 m away
    assert terminated.tolist() == [False, True]
    seen, rewards, *_ = env.step(np.array([1, 1]))
    assert seen["node"].tolist() == [2, 4]  # who stopped stays
    assert rewards.tolist() == [1, 0]
    seen, rewards, terminated, truncated, info = env.step(np.array([2, 0]))
    assert rewards.tolist() == [-1, 0]
    assert truncated.tolist() == [True, False]
    assert terminated.tolist() == [False, True]
    seen, rewards, *_ = env.step(np.array([1, 1]))
    assert rewards.tolist() == [0, 0]
    assert seen["node"].tolist() == [1, 4]  # who was cut off stays, too


def test_stopping_at_the_goal_and_forbidden_slots():
    env = NavigationVectorEnv(pair(), 1)
    env.reset(options={"episodes": [0]})
    seen, rewards, *_ = env.step(np.array([13]))  # padding
    assert (seen["node"].tolist(), rewards.tolist()) == ([0], [0])
    env.step(np.array([1]))
    env.step(np.array([1]))
    _, rewards, terminated, _, info = env.step(np.array([STOP]))
    assert (rewards.tolist(), terminated.tolist(), info["goal_distance"].tolist()) == ([2], [True], [0])


def test_stop_at_the_last_step_is_terminated_not_truncated():
    env = NavigationVectorEnv(pair(), 1, horizon=1)
    env.reset(seed=0)
    *_, terminated, truncated, _ = env.step(np.array([STOP]))
    assert (terminated.tolist(), truncated.tolist()) == ([True], [False])


def test_low_level_actions():
    env = NavigationVectorEnv(pair(), 1, actions="low-level")
    seen, _ = env.reset(options={"episodes": [0]})
    assert seen["action_mask"].tolist() == [[1, 1, 1, 1, 1, 1]]
    views = [
        int(env.step(np.array([action]))[0]["view"][0]) for action in (RIGHT, RIGHT, LEFT, UP, UP, DOWN, DOWN, DOWN)
    ]
    assert views == [13, 14, 13, 25, 25, 13, 1, 1]
    seen, *_ = env.step(np.array([FORWARD]))
    assert seen["node"].tolist() == [1]
    assert seen["view"].tolist() == [1]
    assert seen["action_mask"].tolist() == [[1, 1, 1, 1, 0, 1]]


def test_expert_succeeds_everywhere(table):
    env = NavigationVectorEnv(table, len(table))
    seen, _ = env.reset(options={"episodes": np.arange(len(table))})
    total = np.zeros(len(table))
    while True:
        action = panoramic_expert(table.graphs, seen["node"], seen["view"], table.goals[:, 0])
        seen, rewards, terminated, truncated, info = env.step(action)
        total += rewards
        if (terminated | truncated).all():
            break
    assert terminated.all()
    assert (info["goal_distance"] == 0).all()
    edges = (table.reference >= 0).sum(axis=1) - 1
    assert (total == edges + 2).all()


def test_seeds_and_masks(table):
    one, other = (NavigationVectorEnv(table, 4) for _ in range(2))
    assert one.reset(seed=5)[1]["episode"].tolist() == other.reset(seed=[5, 6, 7, 8])[1]["episode"].tolist()
    before = one.episode.copy()
    mask = np.array([True, False, False, True])
    _, info = one.reset(options={"reset_mask": mask})
    assert (info["episode"][~mask] == before[~mask]).all()
    assert other.reset()[1]["episode"][mask].tolist() == info["episode"][mask].tolist()
    drawn = np.concatenate([one.reset()[1]["episode"] for _ in range(500)])
    counts = np.bincount(drawn, minlength=len(table))
    assert abs(counts.mean() - counts.var()) < 1.5  # as if uniform: Poisson, mean 4.4
    assert len(set(map(tuple, (one.reset()[1]["episode"] for _ in range(20))))) == 20


def test_single_environment_tells_the_instruction():
    env = NavigationEnv(pair())
    seen, info = env.reset(options={"episodes": 1})
    assert info["instruction"] == "go there"
    assert info["episode"] == 1
    assert seen["node"] == 4


def test_several_goals_count_by_the_nearest():
    table = table_of(street(), ["v0", "v1"], goals=[["v3", "v4"]])
    env = NavigationVectorEnv(table, 1)
    _, info = env.reset()
    assert info["goal_distance"].tolist() == [8]


def test_a_split_without_goals_has_no_progress():
    table = table_of(street(), ["v0"], goals=[[]])
    env = NavigationVectorEnv(table, 1)
    env.reset()
    assert env.step(np.array([1]))[1].tolist() == [0]


@pytest.mark.parametrize(("actions", "last"), [("panoramic", 13), ("low-level", 5)])
def test_actions_that_do_not_exist_are_refused(actions, last):
    env = NavigationEnv(pair(), actions=actions)
    env.reset(seed=0)
    for wrong in (99, -1, last + 1):
        with pytest.raises(GeneraError, match=f"action {wrong} does not exist; the actions .* are 0 … {last}"):
            env.step(wrong)
    env.step(last)
    several = NavigationVectorEnv(pair(), 2, actions=actions)
    several.reset(seed=0)
    with pytest.raises(GeneraError, match=f"action {last + 1} does not exist"):
        several.step(np.array([0, last + 1]))
    for wrong in ([1], [0.5, 1.0], [[0, 1]]):
        with pytest.raises(GeneraError, match="actions must be 2 integers, one per agent"):
            several.step(np.array(wrong))


def test_bad_settings():
    with pytest.raises(GeneraError, match="at least one episode"):
        NavigationVectorEnv(EpisodeTable(street(), ()), 1)
    with pytest.raises(GeneraError, match="unknown action space 'panorama'; did you mean panoramic"):
        NavigationVectorEnv(pair(), 1, actions="panorama")
    with pytest.raises(GeneraError, match="must be rows of the table, 0 … 1"):
        NavigationVectorEnv(pair(), 1).reset(options={"episodes": [2]})
