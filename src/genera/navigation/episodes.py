"""Episodes of the instruction-following tasks: R2R, NDH (from CVDN) and HANNA, read from their JSON, plain or .gz."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError
from genera.files import parse_json, read_bytes
from genera.navigation.config import History, Supervision
from genera.navigation.graphs import Graphs


@dataclass(frozen=True)
class Episode:
    """One instruction and the path that it describes."""

    id: str
    scan: str
    path: tuple[str, ...]
    """the viewpoints of the reference path; only the start in test splits"""
    heading: float
    """initial heading of the agent, radians"""
    instruction: str
    goals: tuple[str, ...]
    """viewpoints at which to stop, any of them; empty in test splits"""


@dataclass(frozen=True)
class DialogueEpisode(Episode):
    """An NDH instance: continue from the start, given the dialogue so far. `path` is the chosen supervision."""

    target: str
    """the target object"""
    turns: tuple[tuple[str, str], ...]
    """(role, message), role "navigator" or "oracle", in order; may be empty"""
    end_panos: tuple[str, ...]
    """viewpoints of the goal region; progress is measured to the nearest of them"""


@dataclass(frozen=True)
class Route:
    """One answer of HANNA's simulated helper: a short path with an instruction."""

    id: str
    scan: str
    split: str
    path: tuple[str, ...]
    view: int
    """view index of the image shown with it"""
    instruction: str


# -- R2R --------------------------------------------------------------------------------------------------------------


def read_r2r(path: Path) -> list[Episode]:
    """One episode for each instruction of an R2R file. Raises GeneraError with the file, entry and field.

    A test split, whose goals are hidden, has only the start of every path. A single viewpoint beside longer paths is a
    path of length 0, and its goal is its start.
    """
    episodes = []
    routes = [(where, entry, _names(entry, "path", where)) for where, entry in _entries(path)]
    hidden = all(len(route) == 1 for _, _, route in routes)
    for where, entry, route in routes:
        for j, instruction in enumerate(_instructions(entry, where)):
            episodes.append(
                Episode(
                    id=f"{_key(entry, 'path_id', where)}_{j}",
                    scan=_text(entry, "scan", where),
                    path=route,
                    heading=_number(entry, "heading", where),
                    instruction=instruction,
                    goals=() if hidden else route[-1:],
                )
            )
    return _unique(episodes, path)


# -- NDH --------------------------------------------------------------------------------------------------------------

TAGS = {"navigator": "<NAV>", "oracle": "<ORA>", "target": "<TAR>"}
"""What precedes the turns of each role and the target in the text of an NDH dialogue."""


def read_ndh(path: Path, supervision: Supervision = "trusted") -> list[Episode]:
    """The instances of an NDH file.

    supervision: the reference path: "planner" (Oracle in published tables), "player" (Navigator), or "trusted"
    (Mixed): the player path if it visits the end of the planner path after its start, else the planner path.
    """
    if supervision not in get_args(Supervision):
        raise GeneraError(f"unknown supervision {supervision!r}; known: {', '.join(get_args(Supervision))}.")
    episodes: list[Episode] = []
    for where, entry in _entries(path):
        start = _field(entry, "start_pano", where, dict, "an object with heading and pano")
        here = _text(start, "pano", f"{where} start_pano")
        if "planner_path" in entry:
            planner, player = _names(entry, "planner_path", where), _names(entry, "player_path", where)
            trusted = player if planner[-1] in player[1:] else planner
            reference = {"planner": planner, "player": player, "trusted": trusted}[supervision]
            end_panos = _names(entry, "end_panos", where)
        else:  # the test split
            reference, end_panos = (here,), ()
        if reference[0] != here:
            raise GeneraError(f"{where}: the path starts at {reference[0]} but start_pano is {here}.")
        target = _text(entry, "target", where)
        turns = _turns(entry, where)
        episodes.append(
            DialogueEpisode(
                id=_key(entry, "inst_idx", where),
                scan=_text(entry, "scan", where),
                path=reference,
                heading=_number(start, "heading", f"{where} start_pano"),
                instruction=dialogue_text(turns, target),
                goals=reference[-1:] if end_panos else (),
                target=target,
                turns=turns,
                end_panos=end_panos,
            )
        )
    return _unique(episodes, path)


def dialogue_text(turns: Sequence[tuple[str, str]], target: str, history: History = "all") -> str:
    """The dialogue as one text: each turn after <NAV> or <ORA>, then <TAR> and the target.

    history: "none" (an empty text), "target", "oracle_ans" (the last answer), "nav_q_oracle_ans" (the last question and
    its answer) or "all". Without turns, the text is only the target.
    """
    if history == "none":
        return ""
    last_answer = [(role, text) for role, text in turns if role == "oracle"][-1:]
    kept = {"target": (), "oracle_ans": last_answer, "nav_q_oracle_ans": turns[-2:], "all": turns}[history]
    return " ".join([*(f"{TAGS[role]} {text}" for role, text in kept), f"{TAGS['target']} {target}"])


def _turns(entry: dict[str, Any], where: str) -> tuple[tuple[str, str], ...]:
    turns = []
    for i, turn in enumerate(_field(entry, "dialog_history", where, list, "a list of turns")):
        place = f"{where} dialog_history {i}"
        role = _text(turn, "role", place)
        if role not in ("navigator", "oracle"):
            raise GeneraError(f"{place}: the role {role!r} is neither navigator nor oracle.")
        turns.append((role, _field(turn, "message", place, str, "a text")))
    return tuple(turns)


# -- HANNA ------------------------------------------------------------------------------------------------------------


def read_hanna(path: Path) -> list[Episode]:
    """One episode for each request of a HANNA file. Its goals are the ends of `paths`, its path the first of
    `paths`."""
    episodes = []
    for where, entry in _entries(path):
        paths = [
            _strings(way, f"paths {i}", where) for i, way in enumerate(_field(entry, "paths", where, list, "a list"))
        ]
        if not paths or len({way[0] for way in paths}) > 1:
            raise GeneraError(f"{where}: the field 'paths' must contain at least one path, all from the same start.")
        for j, instruction in enumerate(_instructions(entry, where)):
            episodes.append(
                Episode(
                    id=f"{_key(entry, 'path_id', where)}_{j}",
                    scan=_text(entry, "scan", where),
                    path=paths[0],
                    heading=_number(entry, "heading", where),
                    instruction=instruction,
                    goals=tuple(dict.fromkeys(way[-1] for way in paths)),
                )
            )
    return _unique(episodes, path)


def read_routes(path: Path) -> list[Route]:
    """The helper's routes: a JSON object of scan → list of routes."""
    content = load_json(path)
    if not isinstance(content, dict) or not all(isinstance(entries, list) for entries in content.values()):
        raise GeneraError(f"{path} is not an object of scan → list of routes.")
    return [
        Route(
            id=_key(entry, "path_id", f"{path}: {scan} {i}"),
            scan=scan,
            split=_text(entry, "split", f"{path}: {scan} {i}"),
            path=_names(entry, "path", f"{path}: {scan} {i}"),
            view=int(_number(entry, "view_id", f"{path}: {scan} {i}")),
            instruction=_text(entry, "instruction", f"{path}: {scan} {i}"),
        )
        for scan, entries in content.items()
        for i, entry in enumerate(entries)
    ]


# -- arrays -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EpisodeTable:
    """E episodes and their graphs."""

    graphs: Graphs
    episodes: tuple[Episode, ...]

    def __len__(self) -> int:
        return len(self.episodes)

    @cached_property
    def start(self) -> NDArray[np.int64]:
        """(E,) nodes."""
        return self.reference[:, 0]

    @cached_property
    def heading(self) -> NDArray[np.float64]:
        """(E,) radians."""
        return np.array([episode.heading for episode in self.episodes])

    @cached_property
    def reference(self) -> NDArray[np.int64]:
        """(E, R) nodes, -1 after the last."""
        return self.nodes([episode.path for episode in self.episodes])

    @cached_property
    def goals(self) -> NDArray[np.int64]:
        """(E, G) nodes, -1 after the last; all -1 if the goal is unknown."""
        return self.nodes([episode.goals for episode in self.episodes])

    @cached_property
    def end_panos(self) -> NDArray[np.int64]:
        """(E, P) nodes of NDH's goal regions, -1 after the last."""
        return self.nodes([getattr(episode, "end_panos", ()) for episode in self.episodes])

    def nodes(self, paths: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """(E, T) nodes of one list of viewpoints per episode. Raises GeneraError for unknown or excluded viewpoints."""
        table = np.full((len(paths), max([1, *map(len, paths)])), -1)
        for row, episode, path in zip(table, self.episodes, paths, strict=True):
            try:
                nodes = self.graphs.nodes_of(episode.scan)
                row[: len(path)] = [
                    nodes[name] if name in nodes else self.graphs.node(episode.scan, name) for name in path
                ]
            except GeneraError as error:
                raise GeneraError(f"episode {episode.id}: {error}") from None
        return table

    def goal_distance(self, nodes: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Metres from nodes (B,) to the nearest goal of episodes `rows` (B,); inf if none is known or reachable."""
        return nearest(self.graphs, nodes, self.goals[rows])[0]

    def check(self) -> None:
        """Raises GeneraError for a reference path that does not follow edges, and for unreachable goals."""
        ends = np.maximum(self.reference, 0)
        stays = self.graphs.is_edge(ends[:, :-1], ends[:, 1:]) | (self.reference[:, 1:] < 0)
        for row, step in np.argwhere(~stays)[:1]:
            a, b = (self.graphs.names[node] for node in self.reference[row, step : step + 2])
            raise GeneraError(f"episode {self.episodes[row].id}: its path goes from {a} to {b}, which is not an edge.")
        self.check_reachable()

    def check_reachable(self) -> None:
        """Raises GeneraError for an episode whose goals are known, but cannot be reached from its start."""
        lost = np.isinf(self.goal_distance(self.start, np.arange(len(self)))) & (self.goals[:, 0] >= 0)
        for row in np.flatnonzero(lost)[:1]:
            episode = self.episodes[row]
            raise GeneraError(
                f"episode {episode.id}: no path leads from its start {episode.path[0]} to its goal {episode.goals[0]} "
                f"in scan {episode.scan}; they are in disconnected parts of the graph."
            )


def nearest(
    graphs: Graphs, nodes: NDArray[np.int64], goals: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(B,) metres from nodes (B,) to the nearest of goals (B, G; -1 is no goal), inf if there is none, and (B,) its
    column."""
    known = goals >= 0
    metres = np.where(known, graphs.distance(nodes[:, None], np.where(known, goals, nodes[:, None])), np.inf)
    column = metres.argmin(axis=1)
    return metres[np.arange(len(metres)), column], column


# -- reading ----------------------------------------------------------------------------------------------------------


def load_json(path: Path) -> Any:
    """The value of a JSON file, plain or .gz. Raises GeneraError when it is missing or damaged."""
    if not path.exists():
        raise GeneraError(f"{path} does not exist.")
    try:
        return parse_json(read_bytes(path))
    except ValueError as error:
        raise GeneraError(f"{path} is damaged or not JSON ({error}); fetch it again.") from None


def _entries(path: Path) -> list[tuple[str, dict[str, Any]]]:
    content = load_json(path)
    if not isinstance(content, list) or not content:
        raise GeneraError(f"{path} is not a list of episodes.")
    return [(f"{path}: entry {i}", entry) for i, entry in enumerate(content)]


def _field(entry: Any, key: str, where: str, kind: type | tuple[type, ...], expected: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise GeneraError(f"{where} lacks the field {key!r}.")
    if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
        raise GeneraError(f"{where}: the field {key!r} is not {expected}.")
    return entry[key]


def _text(entry: Any, key: str, where: str) -> str:
    return _field(entry, key, where, str, "a text")


def _number(entry: Any, key: str, where: str) -> float:
    value = _field(entry, key, where, (int, float), "a number")
    if not abs(value) < 1e300:  # an integer may be larger than any float
        raise GeneraError(f"{where}: the field {key!r} is {value}; a finite number was expected.")
    return float(value)


def _key(entry: Any, key: str, where: str) -> str:
    return str(_field(entry, key, where, (int, str), "an id"))


def _names(entry: Any, key: str, where: str) -> tuple[str, ...]:
    return _strings(_field(entry, key, where, list, "a list of viewpoint ids"), key, where)


def _strings(values: Any, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise GeneraError(f"{where}: the field {key!r} is not a list of at least one viewpoint id.")
    return tuple(values)


def _instructions(entry: Any, where: str) -> list[str]:
    texts = _field(entry, "instructions", where, list, "a list of texts")
    for j, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise GeneraError(f"{where}: instruction {j} is empty; give it at least one word.")
    return texts


def _unique(episodes: list[Episode], path: Path) -> list[Episode]:
    seen: set[str] = set()
    for episode in episodes:
        if episode.id in seen:
            raise GeneraError(f"{path}: the episode id {episode.id} occurs twice.")
        seen.add(episode.id)
    return episodes


READERS: dict[str, tuple[str, Callable[..., list[Episode]]]] = {
    "r2r": ("R2R_", read_r2r),
    "ndh": ("", read_ndh),
    "hanna": ("hanna_", read_hanna),
}
"""task → prefix of its file names, before the split, and the function that reads them"""
