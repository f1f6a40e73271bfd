"""Small dialogues with known truth: one asks about a scene, the other answers, and every right response is known.

    what is the sailor carrying near the museum ?      a question begins it; its answer is open
    he is carrying a guitar .                          one of ten right answers
    what colour is it ?                                one of three right ways to go on
    the guitar is red .                                needs what was said two turns ago

All responses that are right after a context are equally likely, so log p(response | context) is exact.
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
    """Immutable; every draw is a pure function of its arguments. The opening question decides a dialogue's split, so
    that no context of one split occurs in another."""

    name: str

    @cached_property
    def openings(self) -> tuple[str, ...]:
        """Every question that may begin a dialogue."""
        who = sorted(_HE + _SHE)
        what = (f"what is the {w} {a} {r} the {p} ?" for w, a, r, p in product(who, _ACTIONS, _RELATIONS, _PLACES))
        where = (f"where is the {w} {a} {_a(o)} ?" for w, a, o in product(who, _ACTIONS, _OBJECTS))
        return (*what, *where)

    def responses(self, context: Sequence[str]) -> tuple[str, ...]:
        """All right responses to the turns of `context`, equally likely; none where the dialogue is over, or the world
        could not have said it."""
        if not context or not (scene := _scene(context)):
            return ()
        who, him = ("he", "him") if scene["who"] in _HE else ("she", "her")
        last, when = context[-1], f"when did you see {him} ?"
        if len(context) % 2 == 0:  # the one who asks goes on
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
        """`count` independent dialogues of a split, 4 to 8 turns each."""
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
    """Who does what with what, as far as the context says; None where it is none of this world's."""
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
"""Sentences about the same scenes in an old manner, which no dialogue has: the style of StyleFusion."""
