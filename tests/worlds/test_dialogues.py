"""The world of dialogues: every right response is known, and splits share no context."""

import math
from collections import Counter

import pytest

from genera import worlds
from genera.errors import GeneraError
from genera.worlds.dialogues import COLOUR, THANKS, WELCOME

WORLD = worlds.load("dialogues")


def test_every_turn_of_a_dialogue_is_a_right_response():
    for dialogue in WORLD.dialogues(300):
        assert all(dialogue[i] in WORLD.responses(dialogue[:i]) for i in range(1, len(dialogue)))
        assert WORLD.responses(dialogue) == ()
        assert dialogue[-2:] == (THANKS, WELCOME)


def test_right_responses_are_equally_likely():
    said = Counter(d[1].split()[-2] for d in WORLD.dialogues(6000) if d[0].startswith("what"))
    assert len(said) == 10
    expected = said.total() / 10
    # Σ (n - e)² / e is chi-squared with 9 degrees of freedom: above 27.9 once in a thousand.
    assert sum((n - expected) ** 2 / expected for n in said.values()) < 27.9


def test_an_answer_may_need_what_was_said_before():
    turns = ["what is the actress hiding near the castle ?", "she is hiding an umbrella .", COLOUR]
    assert "the umbrella is red ." in WORLD.responses(turns)
    assert "the guitar is red ." not in WORLD.responses(turns)
    assert set(WORLD.responses(turns[:2])) == {COLOUR, "when did you see her ?", THANKS}


def test_the_pronoun_and_the_action_are_those_of_the_question():
    answers = WORLD.responses(["where is the sailor selling a kite ?"])
    assert len(answers) == 32
    assert all(answer.startswith("he is ") for answer in answers)
    assert all(a.startswith("she is fixing ") for a in WORLD.responses(["what is the queen fixing near the school ?"]))


@pytest.mark.parametrize("context", [[], ["hello ."], ["what is the table fixing near the school ?"]])
def test_nothing_is_right_outside_the_world(context):
    assert WORLD.responses(context) == ()


def test_no_opening_is_in_two_splits():
    parts = [{d[0] for d in WORLD.dialogues(2000, split=split)} for split in ("train", "valid", "test")]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts))


def test_dialogues_depend_on_the_arguments_alone():
    assert WORLD.dialogues(20) == WORLD.dialogues(30)[:20]
    assert WORLD.dialogues(20) != WORLD.dialogues(20, seed=1)
    with pytest.raises(GeneraError, match="did you mean train"):
        WORLD.dialogues(1, split="trian")


def test_no_dialogue_is_in_the_style():
    style = worlds.load("dialogues-style")
    sentences = style.sentences(200)
    assert all(style.factors_of(sentence) is not None for sentence in sentences)
    assert all(math.isinf(style.log_probability(turn)) for d in WORLD.dialogues(100) for turn in d)
