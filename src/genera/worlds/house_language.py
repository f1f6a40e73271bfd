"""Language in houses: instructions for paths, questions and answers during navigation, requests for objects."""

from itertools import pairwise

import numpy as np

from genera.navigation.graphs import Graphs, canonical
from genera.worlds.house_plans import Dice, Place

_GO = ("go", "walk", "head", "move")
_TURNS = {
    "straight": ("straight ahead", "forward", "straight on"),
    "left": ("to the left", "left"),
    "right": ("to the right", "right"),
    "around": ("back around", "behind you"),
    "up": ("up the stairs",),
    "down": ("down the stairs",),
}
_STOP = ("stop", "wait", "halt")
_BY = ("by", "near", "next to")
_PAST = ("past", "passing")
_DROPPED = 0.3  # share of clauses that an instruction omits
_STEEP = np.radians(20)


def direction(heading: float, towards: float, elevation: float = 0.0) -> str:
    """The direction of a neighbour relative to `heading` (radians): straight, left, right, around, up or down."""
    if abs(elevation) > _STEEP:
        return "up" if elevation > 0 else "down"
    turn = float(canonical(towards - heading))
    if abs(turn) <= np.pi / 4:
        return "straight"
    if abs(turn) > 3 * np.pi / 4:
        return "around"
    return "right" if turn > 0 else "left"


def clauses(graphs: Graphs, path: list[int], places: list[Place], heading: float, dice: Dice) -> list[str]:
    """One clause per hop: the true direction, the kind of a newly entered room, and sometimes the landmark there."""
    said = []
    for here, there in pairwise(path):
        column = int(np.flatnonzero(graphs.candidates[here] == there)[0])
        towards = float(graphs.candidate_heading[here, column])
        word = direction(heading, towards, float(graphs.candidate_elevation[here, column]))
        clause = f"{dice.choice(_GO)} {dice.choice(_TURNS[word])}"
        if places[there].room != places[here].room:
            clause += f" into the {places[there].kind}"
        if dice.unit() < 0.5:
            clause += f" {dice.choice(_PAST)} the {places[there].landmark}"
        said.append(clause)
        heading = towards
    return said


def instruction(graphs: Graphs, path: list[int], places: list[Place], heading: float, dice: Dice) -> str:
    """The path in words, with some clauses omitted, and where to stop."""
    said = [clause for clause in clauses(graphs, path, places, heading, dice) if dice.unit() >= _DROPPED]
    end = places[path[-1]]
    return " , ".join([*said, f"{dice.choice(_STOP)} in the {end.kind} {dice.choice(_BY)} the {end.landmark}"]) + " ."


def question(graphs: Graphs, here: int, places: list[Place], dice: Dice) -> str:
    """A navigator's question about a neighbouring viewpoint."""
    neighbours = graphs.candidates[here][graphs.candidates[here] >= 0]
    asked = places[int(dice.choice(neighbours.tolist()))]
    return f"i am in the {places[here].kind} . should i go towards the {asked.landmark} in the {asked.kind} ?"


def answer(graphs: Graphs, path: list[int], places: list[Place], heading: float, dice: Dice) -> str:
    """The next steps of the shortest path in words."""
    return " , then ".join(clauses(graphs, path, places, heading, dice)) + " ." if len(path) > 1 else "you are there ."


def request(landmark: str, kind: str | None) -> str:
    return f"find the {landmark}" + (f" in the {kind}" if kind else "")
