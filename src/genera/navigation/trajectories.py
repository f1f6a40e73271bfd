"""Trajectories in the submission format of the benchmarks: a list of {instr_id, trajectory: [[viewpoint, heading,
elevation], …]}. NDH calls the id inst_idx; HANNA calls the trajectory agent_pose and adds agent_ask, 1 for a request.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError
from genera.files import write_json
from genera.navigation.episodes import EpisodeTable, load_json
from genera.navigation.graphs import Graphs
from genera.navigation.simulator import pose_of, views_along
from genera.numerals import integer

Trajectory: TypeAlias = Sequence[tuple[str, float, float]]  # viewpoint, heading and elevation in radians

_SHOWN = 3  # ids named in a message


class Submission(NamedTuple):
    rows: NDArray[np.int64]
    """(B,) the submitted episodes, as rows of their table"""
    paths: NDArray[np.int64]
    """(B, T) nodes, -1 after the last"""
    requests: NDArray[np.int64]
    """(B,) help requests"""


def write_submission(
    path: Path,
    trajectories: Mapping[str, Trajectory],
    key: str = "instr_id",
    requests: Mapping[str, int] | None = None,
) -> None:
    """Write trajectories, episode id → trajectory. key: "inst_idx" for NDH, whose ids are numbers. requests: number of
    help requests; selects the HANNA format, with a 1 for each request."""
    ids = {name: integer(name) if key == "inst_idx" and integer(name) is not None else name for name in trajectories}
    steps = "trajectory" if requests is None else "agent_pose"
    entries: list[dict[str, Any]] = [{key: ids[name], steps: list(map(list, t))} for name, t in trajectories.items()]
    if requests is not None:
        entries = [{**entry, "agent_ask": [1] * requests[name]} for entry, name in zip(entries, ids, strict=True)]
    write_json(path, entries)


def write_walks(
    path: Path,
    table: EpisodeTable,
    walks: NDArray[np.int64],
    task: str,
    requests: NDArray[np.int64] | None = None,
) -> None:
    """Write rollouts (E, T; nodes, -1 after the last) of the episodes of a table as the submission of a task. The pose
    at each viewpoint is that of the view that showed it."""
    headings, elevations = pose_of(views_along(table.graphs, walks, table.heading))
    names, trajectories = table.graphs.names, {}
    for episode, *rows in zip(table.episodes, walks.tolist(), headings.tolist(), elevations.tolist(), strict=True):
        steps = [(names[node], *pose) for node, *pose in zip(*rows, strict=True) if node >= 0]
        trajectories[episode.id] = steps
    asked = None if requests is None else dict(zip(trajectories, requests.tolist(), strict=True))
    write_submission(path, trajectories, "inst_idx" if task == "ndh" else "instr_id", asked)


def read_submission(path: Path, table: EpisodeTable, partial: bool = False, expand: bool = False) -> Submission:
    """The trajectories of a submission file, plain or .gz, in the order of the table.

    partial: allow missing episodes. expand: replace jumps between viewpoints that are not neighbours (agents with
    global actions return to places that they have seen) by the shortest path.

    Raises GeneraError for missing, unknown or repeated ids, and for a trajectory that does not start where its episode
    starts or has a move that is not an edge; staying is allowed.
    """
    entries = load_json(path)
    if not isinstance(entries, list):
        raise GeneraError(f"{path} is not a list of {{instr_id, trajectory}}.")
    row_of = {episode.id: row for row, episode in enumerate(table.episodes)}
    answers: dict[int, tuple[list[str], int]] = {}
    unknown_ids = []
    for i, entry in enumerate(entries):
        name, viewpoints, requests = _entry(entry, f"{path}: entry {i}")
        if name not in row_of:
            unknown_ids.append(name)
        elif row_of[name] in answers:
            raise GeneraError(f"{path}: the episode id {name} occurs twice.")
        else:
            answers[row_of[name]] = viewpoints, requests
    if unknown_ids:
        raise GeneraError(f"{path} has {_some(unknown_ids)} that this split does not have; check the split.")
    if not partial and len(answers) < len(table):
        missing = [episode.id for row, episode in enumerate(table.episodes) if row not in answers]
        raise GeneraError(f"{path} lacks {_some(missing)} of {len(table)}; every episode of the split is needed.")
    rows = np.array(sorted(answers), np.int64)
    chosen = EpisodeTable(table.graphs, tuple(table.episodes[row] for row in rows))
    nodes = chosen.nodes([answers[row][0] for row in rows])
    if expand:
        nodes = expanded(table.graphs, nodes)
    check_trajectories(chosen, nodes)
    return Submission(rows, nodes, np.array([answers[row][1] for row in rows], np.int64))


def expanded(graphs: Graphs, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Paths (B, T; -1 after the last) with every jump replaced by the shortest path. Raises GeneraError when there is
    no path."""
    ways = []
    for row in nodes.tolist():
        way = row[:1]
        for here, there in pairwise(node for node in row if node >= 0):
            way += [there] if here == there else graphs.shortest_path(here, there)[1:]
        ways.append(way)
    filled = np.full((len(ways), max(map(len, ways), default=1)), -1)
    for row, way in zip(filled, ways, strict=True):
        row[: len(way)] = way
    return filled


def check_trajectories(table: EpisodeTable, nodes: NDArray[np.int64]) -> None:
    """Raises GeneraError when a row of nodes (E, T) starts elsewhere than its episode or has a move that is not an
    edge."""
    names = table.graphs.names
    for row in np.flatnonzero(nodes[:, 0] != table.start)[:1]:
        raise GeneraError(
            f"the trajectory of {table.episodes[row].id} starts at {names[nodes[row, 0]]}; "
            f"its episode starts at {names[table.start[row]]}."
        )
    here, there = nodes[:, :-1], nodes[:, 1:]
    lawful = (there < 0) | (here == there) | table.graphs.is_edge(here, there)
    for row, step in np.argwhere(~lawful)[:1]:
        raise GeneraError(
            f"the trajectory of {table.episodes[row].id} moves from {names[here[row, step]]} to "
            f"{names[there[row, step]]} at step {step + 1}, which is not an edge; include every viewpoint on the path."
        )


def _entry(entry: Any, where: str) -> tuple[str, list[str], int]:
    """Id, viewpoints and number of help requests."""
    keys = set(entry) if isinstance(entry, dict) else set()
    if not keys & {"instr_id", "inst_idx"} or not keys & {"trajectory", "agent_pose"}:
        raise GeneraError(f"{where} is not an object with instr_id (or inst_idx) and trajectory.")
    name = str(entry["instr_id"] if "instr_id" in entry else entry["inst_idx"])
    steps = entry["trajectory"] if "trajectory" in entry else entry["agent_pose"]
    if not isinstance(steps, list) or not steps:
        raise GeneraError(f"{where}: the trajectory of {name} is empty; it must begin with the start viewpoint.")
    viewpoints = [step[0] if isinstance(step, list) and step else step for step in steps]
    if not all(isinstance(viewpoint, str) for viewpoint in viewpoints):
        raise GeneraError(f"{where}: each step of {name} must be [viewpoint, heading, elevation].")
    for number, step in enumerate(steps, start=1):
        pose = step[1:] if isinstance(step, list) else []
        if not all(isinstance(angle, int | float) and abs(angle) < np.inf for angle in pose):
            raise GeneraError(
                f"{where}: step {number} of {name} has the heading and elevation {pose}; finite numbers were expected."
            )
    asked = entry.get("agent_ask", [])
    if not isinstance(asked, list):
        raise GeneraError(f"{where}: agent_ask of {name} must be a list, with a 1 for each request.")
    return name, viewpoints, asked.count(1)


def _some(ids: list[str]) -> str:
    shown = ", ".join(ids[:_SHOWN])
    return f"{len(ids)} episode ids ({shown}{', …' if len(ids) > _SHOWN else ''})"
