"""Small dialogues with known ground truth: one speaker asks about a scene, the other answers.

    what is the sailor carrying near the museum ?      an opening question
    he is carrying a guitar .                          one of ten correct answers
    what colour is it ?                                one of three correct continuations
    the guitar is red .                                depends on a turn further back

All correct responses to a context are known and equally likely, so log p(response | context) is exact.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from genera.errors import unknown
from genera.worlds.grammar import SPLITS, World

_HE = ["man", "sailor", "farmer", "actor", "waiter", "thief"]
_SHE = ["woman", "nurse", "waitress", "actress", "queen", "dancer"]
_ACTIONS = ["carrying", "holding", "painting", "cleaning", "hiding", "selling", "fixing", "watching"]
_OBJECTS = ["guitar", "bicycle", "umbrella", "ladder", "kite", "suitcase", "drum", "camera", "armchair", "accordion"]
_RELATIONS = ["near", "behind", "outside", "inside"]
_PLACES = ["museum", "station", "library", "church", "castle", "school", "bakery", "airport"]
_COLOURS = ["red", "blue", "green", "yellow", "black", "orange"]
_TIMES = ("at dawn", "at midnight", "on sunday", "in winter")

THANKS, WELCOME, COLOUR = "thank you .", "you are welcome .", "what colour is it ?"

_WHAT = re.compile(rf"what is the (?P<who>\w+) (?P<action>\w+) (?:{'|'.join(_RELATIONS)}) the \w+ \?")
_WHERE = re.compile(r"where is the (?P<who>\w+) (?P<action>\w+) an? (?P<object>\w+) \?")
_ANSWER = re.compile(r"s?he is \w+ an? (?P<object>\w+) \.")


@dataclass(frozen=True)
class DialogueWorld:
    """Immutable; every draw is a pure function of its arguments. The opening question determines the split of a
    dialogue, so no context occurs in two splits."""

    name: str

    @cached_property
    def openings(self) -> tuple[str, ...]:
        """All opening questions."""
        who = sorted(_HE + _SHE)
        what = (f"what is the {w} {a} {r} the {p} ?" for w, a, r, p in product(who, _ACTIONS, _RELATIONS, _PLACES))
        where = (f"where is the {w} {a} {_a(o)} ?" for w, a, o in product(who, _ACTIONS, _OBJECTS))
        return (*what, *where)

    def responses(self, context: Sequence[str]) -> tuple[str, ...]:
        """All correct responses to the turns of `context`, equally likely; empty if the dialogue is over or `context`
        is not from this world."""
        if not context or not (scene := _scene(context)):
            return ()
        who, him = ("he", "him") if scene["who"] in _HE else ("she", "her")
        last, when = context[-1], f"when did you see {him} ?"
        if len(context) % 2 == 0:  # the asking speaker continues
            return () if last == WELCOME else (*(q for q in (COLOUR, when) if q not in context), THANKS)
        if last == THANKS:
            return (WELCOME,)
        if last == COLOUR:
            return tuple(f"the {scene['object']} is {colour} ." for colour in _COLOURS)
        if last == when:
            return tuple(f"i saw {him} {time} ." for time in _TIMES)
        if scene["object"] is None:
            return tuple(f"{who} is {scene['action']} {_a(thing)} ." for thing in _OBJECTS)
        return tuple(f"{who} is {relation} the {place} ." for relation, place in product(_RELATIONS, _PLACES))

    def dialogues(self, count: int, seed: int = 0, split: str = "train") -> list[tuple[str, ...]]:
        """`count` independent dialogues of a split, with 4 to 8 turns."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        bits = np.random.PCG64([seed, list(SPLITS).index(split)])
        openings = [opening for opening in self.openings if _of(opening, split)]
        return [tuple(self._dialogue(openings, bits)) for _ in range(count)]

    def _dialogue(self, openings: Sequence[str], bits: np.random.BitGenerator) -> Iterator[str]:
        turns: list[str] = []
        possible: Sequence[str] = openings
        while possible:
            turns.append(possible[int(bits.random_raw()) % len(possible)])
            yield turns[-1]
            possible = self.responses(turns)


def _scene(context: Sequence[str]) -> dict[str, str | None] | None:
    """Who does what with which object, as far as the context says; None if it is not from this world."""
    opening, *others = context
    match = _WHAT.fullmatch(opening) or _WHERE.fullmatch(opening)
    if match is None or match["who"] not in _HE + _SHE:
        return None
    scene: dict[str, str | None] = {"object": None, **match.groupdict()}
    if scene["object"] is None and others and (answer := _ANSWER.fullmatch(others[0])):
        scene["object"] = answer["object"]
    return scene


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _of(opening: str, split: str) -> bool:
    low, high = SPLITS[split]
    return low <= hashlib.blake2b(opening.encode(), digest_size=8).digest()[0] * 10 // 256 < high


DIALOGUES = DialogueWorld("dialogues")

STYLE = World(
    name="dialogues-style",
    template=("{oath} , the {subject} {number} {action} a {object} {relation} the {place} [{time}] , {address} ."),
    words={
        "number": {"singular": "is|is", "plural": "are|are"},
        "oath": "verily forsooth alas behold",
        "address": "my_lord good_sir gentle_friend",
        "subject": " ".join(f"{noun}|{noun}s" for noun in ("sailor", "farmer", "actor", "nurse", "dancer", "queen")),
        "action": " ".join(_ACTIONS),
        "object": " ".join(_OBJECTS),
        "relation": " ".join(_RELATIONS),
        "place": " ".join(_PLACES),
        "time": " ".join(time.replace(" ", "_") for time in _TIMES),
    },
)
"""Archaic sentences about the same scenes, unlike any dialogue turn: the target style for StyleFusion."""
