"""Episodes in procedural houses, in the JSON formats of R2R, NDH and HANNA."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np

from genera.navigation.graphs import Graphs, enumerate_paths
from genera.worlds.house_language import answer, instruction, question, request
from genera.worlds.house_plans import Dice, Place

Entries = list[dict[str, Any]]

_HOPS_BETWEEN_QUESTIONS = 3
_SHOWN_STEPS = 5  # of the shortest path, shown to the oracle
_MOST_TURNS = 4
_NOISE = 0.2  # share of random moves of the navigator
_ROUTE_EDGES = (3, 5)


@dataclass(frozen=True)
class Neighbourhood:
    """Graphs of houses, with the room and landmark of each node."""

    graphs: Graphs
    places: list[Place]
    """of each node"""

    def names(self, path: list[int]) -> list[str]:
        return [self.graphs.names[node] for node in path]

    def scan(self, node: int) -> str:
        return self.graphs.scans[self.graphs.scan_of[node]]

    def nodes(self, scan: str) -> list[int]:
        return list(self.graphs.nodes_of(scan).values())

    def path(self, here: int, there: int) -> list[int]:
        return self.graphs.shortest_path(here, there)


def paths_of(town: Neighbourhood, scans: list[str], dice: Dice) -> list[list[int]]:
    """All paths in these houses that satisfy the path rule of R2R, shuffled."""
    paths = enumerate_paths(town.graphs, scans)
    return dice.shuffled([[node for node in row if node >= 0] for row in paths.tolist()])


def r2r_entries(town: Neighbourhood, paths: list[list[int]], first_id: int, dice: Dice) -> Entries:
    """One entry per path, with three instructions."""
    entries = []
    for number, path in enumerate(paths, start=first_id):
        heading = 2 * pi * dice.unit()
        metres = town.graphs.distance(path[:-1], path[1:]).sum()
        entries.append(
            {
                "path_id": number,
                "scan": town.scan(path[0]),
                "heading": round(heading, 3),
                "path": town.names(path),
                "distance": round(float(metres), 2),
                "instructions": [instruction(town.graphs, path, town.places, heading, dice) for _ in range(3)],
            }
        )
    return entries


def ndh_entries(town: Neighbourhood, paths: list[list[int]], first_id: int, dice: Dice) -> Entries:
    """One instance for each dialogue turn on the way from the start of a path to the room at its end."""
    numbers = iter(range(first_id, first_id + _MOST_TURNS * len(paths)))
    return [entry for game, path in enumerate(paths) for entry in _dialogue(town, path, game, numbers, dice)]


def _dialogue(
    town: Neighbourhood, path: list[int], game: int, numbers: Iterator[int], dice: Dice
) -> Iterator[dict[str, Any]]:
    scan, places = town.scan(path[0]), town.places
    region = [node for node in town.nodes(scan) if places[node].room == places[path[-1]].room]
    turns: list[dict[str, Any]] = []
    walked: list[int] = []
    here, heading = path[0], 2 * pi * dice.unit()
    for _ in range(_MOST_TURNS):
        goal = min(region, key=lambda node: float(town.graphs.distance(here, node)))
        planned = town.path(here, goal)[: _SHOWN_STEPS + 1]
        if walked:
            asked = {"nav_idx": len(walked), "role": "navigator", "message": question(town.graphs, here, places, dice)}
            said = answer(town.graphs, planned, places, heading, dice)
            turns = [*turns, asked, {"nav_idx": len(walked), "role": "oracle", "message": said}]
        player = _noisy_walk(town, here, goal, dice)
        yield {
            "inst_idx": next(numbers),
            "game_idx": game,
            "scan": scan,
            "target": places[path[-1]].landmark,
            "start_pano": {"heading": heading, "elevation": 0.0, "pano": town.graphs.names[here]},
            "nav_camera": [],
            "nav_history": town.names(walked),
            "dialog_history": turns,
            "planner_path": town.names(planned),
            "player_path": town.names(player),
            "end_panos": town.names(region),
        }
        walked = [*walked, *player[:-1]]
        before, here = player[-2], player[-1]
        if here in region:
            return
        column = np.flatnonzero(town.graphs.candidates[before] == here)[0]
        heading = float(town.graphs.candidate_heading[before, column])


def _noisy_walk(town: Neighbourhood, here: int, goal: int, dice: Dice) -> list[int]:
    walk = [here]
    while len(walk) <= _HOPS_BETWEEN_QUESTIONS and (walk[-1] != goal or len(walk) == 1):
        neighbours = town.graphs.candidates[walk[-1]]
        strays = walk[-1] == goal or dice.unit() < _NOISE
        chosen = dice.choice(neighbours[neighbours >= 0].tolist()) if strays else town.graphs.next_hop(walk[-1], goal)
        walk.append(int(chosen))
    return walk


def hanna_entries(town: Neighbourhood, paths: list[list[int]], first_id: int, dice: Dice) -> Entries:
    """A request for the landmark at the end of each path, issued at its start. The goals are all rooms with such a
    landmark (of the requested kind, if the request names one)."""
    entries = []
    for number, path in enumerate(paths, start=first_id):
        scan, end = town.scan(path[0]), town.places[path[-1]]
        kind = end.kind if dice.unit() < 0.7 else None
        nodes = town.nodes(scan)
        rooms = {
            p.room for p in (town.places[n] for n in nodes) if p.landmark == end.landmark and kind in (None, p.kind)
        }
        ways = [town.path(path[0], node) for node in nodes if town.places[node].room in rooms]
        if town.places[path[0]].room in rooms:
            continue
        entries.append(
            {
                "path_id": number,
                "scan": scan,
                "heading": round(2 * pi * dice.unit(), 3),
                "paths": [town.names(way) for way in ways],
                "instructions": [request(end.landmark, kind)],
            }
        )
    return entries


def help_routes(town: Neighbourhood, scans: list[str], split: str, count: int, dice: Dice) -> dict[str, Entries]:
    """scan → `count` routes of 3 to 5 edges."""
    fewest, most = _ROUTE_EDGES
    routes: dict[str, Entries] = {}
    for scan in scans:
        paths = enumerate_paths(town.graphs, [scan], fewest, most, shortest=0.0)
        routes[scan] = []
        for i, row in enumerate(dice.shuffled(paths.tolist())[:count]):
            path = [node for node in row if node >= 0]
            column = np.flatnonzero(town.graphs.candidates[path[-2]] == path[-1])[0]
            heading = 2 * pi * dice.unit()
            routes[scan].append(
                {
                    "path_id": f"{scan}_{i}",
                    "scan": scan,
                    "split": split,
                    "path": town.names(path),
                    "view_id": int(town.graphs.candidate_view[path[-2], column]),
                    "instruction": instruction(town.graphs, path, town.places, heading, dice),
                }
            )
    return routes
