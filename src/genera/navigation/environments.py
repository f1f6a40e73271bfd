"""Gymnasium environments over navigation graphs, batched (with array gathers) and single.

An observation contains the `node` and `view` of the agent. In the panoramic action space it also contains the node that
each of the A slots leads to (`slots`; STOP first) and the view that shows it (`slot_views`). `action_mask` marks valid
actions. With view features it also contains the panorama, `views` (36, F). Rewards follow Tan et al. 2019: +1 or -1 for
a move towards or away from the goal; for STOP, +2 within 3 m of the goal, else -2. An invalid action has no effect but
counts as a step. `info` contains the `episode` (a row of the table) and the `goal_distance` in metres.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError, unknown
from genera.navigation.episodes import EpisodeTable
from genera.navigation.features import Views
from genera.navigation.graphs import HEADINGS, VIEWS
from genera.navigation.simulator import ahead, look, panoramic_move, slots, view_of

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
except ImportError:
    raise GeneraError("the environments need gymnasium: pip install 'genera[navigation]'.") from None

ActionSpace: TypeAlias = Literal["panoramic", "low-level"]
Observation: TypeAlias = dict[str, NDArray[Any]]

STOP, LEFT, RIGHT, UP, DOWN, FORWARD = range(6)
LOW_LEVEL = ("stop", "left", "right", "up", "down", "forward")
RADIUS = 3.0  # metres from the goal within which STOP succeeds

_TURN = np.array([0, -1, 1, 0, 0, 0])
_TILT = np.array([0, 0, 0, 1, -1, 0])


class NavigationVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """B agents in B episodes, stepped together with array gathers.

    Agents whose episode has ended do not change until `reset(options={"reset_mask": (B,) bool})`. A reset draws an
    episode for each agent from the agent's seed, or uses `options["episodes"]`, (B,) rows of the table.
    """

    def __init__(
        self,
        table: EpisodeTable,
        num_envs: int,
        *,
        actions: ActionSpace = "panoramic",
        horizon: int = 35,
        views: Views | None = None,
    ) -> None:
        """horizon: steps until an episode is truncated. Raises GeneraError for an empty table or unknown actions."""
        if not len(table):
            raise GeneraError("an environment needs at least one episode.")
        if actions not in ("panoramic", "low-level"):
            raise unknown("action space", actions, ("panoramic", "low-level"))
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
        self.table, self.graphs, self.horizon, self.views = table, table.graphs, horizon, views
        self.num_envs = num_envs
        self.panoramic = actions == "panoramic"
        self._slots = slots(self.graphs) if self.panoramic else None
        self._ahead = None if self.panoramic else ahead(self.graphs)
        count = self._slots.node.shape[1] if self._slots else len(LOW_LEVEL)
        self._actions = count
        self.single_action_space = spaces.Discrete(count)
        self.single_observation_space = self._space(count)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)

        self.node, self.view, self.episode, self.steps = np.zeros((4, num_envs), np.int64)
        self.terminated, self.truncated = np.zeros((2, num_envs), bool)
        self.goal_distance = np.zeros(num_envs)
        self._goals = np.zeros((num_envs, table.goals.shape[1]), np.int64)
        self._keys = np.random.default_rng().integers(0, 1 << 63, num_envs, dtype=np.uint64)
        self._draws = np.zeros(num_envs, np.uint64)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """seed: of agent 0 (agent i gets seed + i), or one per agent; None continues the random streams."""
        options = options or {}
        if seed is not None:
            seeds = np.arange(self.num_envs) + seed if isinstance(seed, int | np.integer) else np.asarray(seed)
            self._keys, self._draws = seeds.astype(np.uint64), np.zeros_like(self._draws)
        chosen = np.asarray(options.get("reset_mask", np.ones(self.num_envs, bool)))
        if "episodes" in options:
            episode = np.broadcast_to(np.asarray(options["episodes"], np.int64), self.num_envs)
            if (episode[chosen] < 0).any() or (episode[chosen] >= len(self.table)).any():
                raise GeneraError(f"options['episodes'] must be rows of the table, 0 … {len(self.table) - 1}.")
        else:
            episode = (_random_bits(self._keys, self._draws) % np.uint64(len(self.table))).astype(np.int64)
            self._draws += chosen
        self.episode = np.where(chosen, episode, self.episode)
        self.node = np.where(chosen, self.table.start[self.episode], self.node)
        self.view = np.where(chosen, view_of(self.table.heading[self.episode]), self.view)
        self.steps = np.where(chosen, 0, self.steps)
        self.terminated, self.truncated = self.terminated & ~chosen, self.truncated & ~chosen
        self._goals = self.table.goals[self.episode]
        self.goal_distance = self._distance()
        return self._observe(), self._info()

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """actions: (B,) integers of the action space; those of agents whose episode has ended are not used. Raises
        GeneraError for others."""
        actions = self._checked(actions)
        running = ~(self.terminated | self.truncated)
        stops = running & (actions == STOP)
        self._move(np.where(running, actions, STOP))
        self.steps = self.steps + running
        self.terminated = self.terminated | stops
        self.truncated = self.truncated | (running & ~stops & (self.steps >= self.horizon))

        before, self.goal_distance = self.goal_distance, self._distance()
        nearer = (self.goal_distance < before).astype(np.float64) - (self.goal_distance > before)
        rewards = np.where(stops, np.where(self.goal_distance < RADIUS, 2.0, -2.0), nearer)
        return self._observe(), rewards, self.terminated.copy(), self.truncated.copy(), self._info()

    def _checked(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        given, last = np.asarray(actions), self._actions - 1
        if given.shape != (self.num_envs,) or given.dtype.kind not in "iu":
            raise GeneraError(
                f"actions must be {self.num_envs} integers, one per agent; got {given.dtype} of shape {given.shape}."
            )
        if wrong := given[(given < 0) | (given > last)].tolist():
            raise GeneraError(f"action {wrong[0]} does not exist; the actions of this environment are 0 … {last}.")
        return given

    def _move(self, action: NDArray[np.int64]) -> None:
        if self.panoramic:
            self.node, self.view = panoramic_move(self.graphs, self.node, self.view, action)
        else:
            assert self._ahead is not None
            there = self._ahead[self.node, self.view]
            self.node = np.where((action == FORWARD) & (there >= 0), there, self.node)
            self.view = look(self.view, _TURN[action], _TILT[action])

    def _distance(self) -> NDArray[np.float64]:
        known = self._goals >= 0
        metres = self.graphs.distance(self.node[:, None], np.where(known, self._goals, self.node[:, None]))
        return np.where(known, metres, np.inf).min(axis=1)

    def _observe(self) -> Observation:
        seen: Observation = {"node": self.node.copy(), "view": self.view.copy()}
        if self._slots is not None:
            row = self.node * HEADINGS + self.view % HEADINGS
            seen["slots"], seen["slot_views"] = self._slots.node[row], self._slots.view[row]
            seen["action_mask"] = self._slots.valid[row]
        else:
            assert self._ahead is not None
            level, here = self.view // HEADINGS, np.ones(self.num_envs, bool)
            forward = self._ahead[self.node, self.view] >= 0
            seen["action_mask"] = np.stack([here, here, here, level < 2, level > 0, forward], axis=1).astype(np.int8)
        if self.views is not None:
            seen["views"] = self.views.gather(self.node)
        return seen

    def _info(self) -> dict[str, Any]:
        return {"episode": self.episode.copy(), "goal_distance": self.goal_distance.copy()}

    def _space(self, actions: int) -> spaces.Dict:
        known: dict[str, spaces.Space[Any]] = {
            "node": spaces.Discrete(len(self.graphs)),
            "view": spaces.Discrete(VIEWS),
        }
        if self.panoramic:
            known["slots"] = spaces.MultiDiscrete(np.full(actions, len(self.graphs), np.int32), dtype=np.int32)
            known["slot_views"] = spaces.MultiDiscrete(np.full(actions, VIEWS, np.int8), dtype=np.int8)
        known["action_mask"] = spaces.MultiBinary(actions)
        if self.views is not None:
            known["views"] = spaces.Box(-np.inf, np.inf, (VIEWS, self.views.size), np.float32)
        return spaces.Dict(known)


class NavigationEnv(gymnasium.Env[Observation, np.int64]):
    """One agent: the batched environment with a batch of one and the same rules, seeds and options."""

    def __init__(
        self,
        table: EpisodeTable,
        *,
        actions: ActionSpace = "panoramic",
        horizon: int = 35,
        views: Views | None = None,
    ) -> None:
        self.batched = NavigationVectorEnv(table, 1, actions=actions, horizon=horizon, views=views)
        self.metadata = {"render_modes": []}
        self.action_space = self.batched.single_action_space
        self.observation_space = self.batched.single_observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """options: {"episodes": row} selects an episode. `info` also contains the `instruction`."""
        super().reset(seed=seed)
        seen, info = self.batched.reset(seed=seed, options=options)
        episode = self.batched.table.episodes[info["episode"][0]]
        return _only(seen), {**_only(info), "instruction": episode.instruction}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        seen, rewards, terminated, truncated, info = self.batched.step(np.array([action]))
        return _only(seen), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), _only(info)


def _only(batch: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {name: values[0] for name, values in batch.items()}


def _random_bits(keys: NDArray[np.uint64], draws: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(B,) draw number `draws` of each of B independent streams: splitmix64 (Steele et al. 2014), twice."""
    bits = keys
    for shift in (np.uint64(0), draws):
        bits = bits + (shift + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = bits ^ (bits >> np.uint64(31))
    return bits
