"""Factors of outputs against those of their targets: copies, chance, and items that no world could have made."""

import random

import pytest

from genera.errors import GeneraError
from genera.measures.factors import analogy_accuracy, analogy_chance, factor_accuracy, factor_chance, valid


def facts(sentence):
    """'NUMBER COLOUR ANIMAL [today]'; None of anything else."""
    words = sentence.split()
    if len(words) not in (3, 4):
        return None
    return dict(zip(("number", "colour", "animal", "time"), [*words, "none"], strict=False))


def read(*sentences):
    return [facts(sentence) for sentence in sentences]


def test_the_share_of_valid_items():
    assert valid(read("a red dog", "red", "two blue cat today")).value == pytest.approx(2 / 3)


def test_factor_accuracy_of_copies_of_one_item_is_chance():
    draw = random.Random(0)
    colours = draw.choices(["red", "blue", "green"], [0.5, 0.25, 0.25], k=300)
    targets = read(*(f"{draw.choice(['a', 'two'])} {colour} dog" for colour in colours))
    chance = factor_chance(targets)
    assert chance["colour"] == pytest.approx(0.5, abs=0.1)
    assert chance["animal"] == 1  # every target is a dog: being right about it shows nothing
    perfect = factor_accuracy(targets, targets)
    assert all(estimate.value == 1 and estimate.n == 300 for estimate in perfect.values())
    commonest = max(("a", "two"), key=lambda number: sum(t["number"] == number for t in targets))
    collapsed = factor_accuracy(read(*[f"{commonest} red dog"] * 300), targets)
    assert {name: e.value for name, e in collapsed.items()} == pytest.approx(chance)


def test_invalid_outputs_are_wrong_in_every_factor():
    accuracy = factor_accuracy(read("a red", "a red cat"), read("a red dog", "a red dog"))
    assert {n: e.value for n, e in accuracy.items()} == {"number": 0.5, "colour": 0.5, "animal": 0, "time": 0.5}
    with pytest.raises(GeneraError, match="must pair up"):
        factor_accuracy(read("a red dog"), [])


def test_analogy_accuracy_looks_at_the_changed_factor_alone():
    outputs = read("two blue dog", "a red dog", "two red cat today")
    targets = read("two red dog", "two red dog", "two red cat")
    accuracy = analogy_accuracy(outputs, targets, ["number", "number", "animal"])
    assert {n: e.value for n, e in accuracy.items()} == {"number": 0.5, "animal": 1}


def test_analogy_chance_counts_only_the_analogies_that_change_the_factor():
    targets = read("two red dog", "two red cat", "a red cat", "a blue dog today")
    changed = ["number", "number", "number", "time"]
    assert analogy_chance(targets, changed) == {"number": pytest.approx(2 / 3), "time": 1}
    accuracy = analogy_accuracy(read(*["two green dog"] * 4), targets, changed)
    assert accuracy["number"].value == pytest.approx(2 / 3)
