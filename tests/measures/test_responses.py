"""Measures of several responses to a context."""

import math

import numpy as np
import pytest

from genera.errors import GeneraError
from genera.measures import responses as measured
from genera.measures.word_vectors import WordVectors

REFERENCE = "It is a guide to action that ensures that the military will forever heed Party commands"
HYPOTHESIS = "It is a guide to action which ensures that the military always obeys the commands of the party"


def test_bleu_is_that_of_nltk():
    """0.4905 is the figure in NLTK's documentation of method 7, for BLEU-4 of these sentences."""
    assert measured.sentence_bleu(HYPOTHESIS, REFERENCE, order=4) == pytest.approx(0.4905, abs=5e-5)


def test_bleu_of_the_same_sentence_in_closed_form():
    """All precisions are 1: method 5 makes 4/3, 10/9 and 28/27 of them."""
    assert measured.sentence_bleu("a b c d e f", "a b c d e f") == pytest.approx((4 / 3 * 10 / 9 * 28 / 27) ** (1 / 3))


def test_bleu_of_one_shared_word_in_closed_form():
    p1, p2, p3 = 1 / 4, math.log(4) / (2 * 5 * 3), math.log(4) / (4 * 5 * 2)
    m1 = (p1 + 1 + p1 + p2) / 3
    m2 = (m1 + p2 + p3) / 3
    m3 = (m2 + p3 + 0) / 3
    expected = math.exp(1 - 5 / 4) * (m1 * m2 * m3) ** (1 / 3)
    assert measured.sentence_bleu("a x y z", "a b c d e") == pytest.approx(expected)


@pytest.mark.parametrize(("hypothesis", "reference"), [("", "a b"), ("x y", "a b"), ("a", "")])
def test_nothing_shared_is_zero(hypothesis, reference):
    assert measured.sentence_bleu(hypothesis, reference) == 0


def test_recall_takes_the_best_and_precision_all():
    given, wanted = [["a b c", "x y z"], ["a b c", "a b c"]], [["a b c"], ["a b c", "x y z"]]
    recall, precision = measured.bleu_recall_precision(given, wanted)
    one = measured.sentence_bleu("a b c", "a b c")
    assert recall.value == pytest.approx((one + (one + 0) / 2) / 2)
    assert precision.value == pytest.approx((one / 2 + (one + 0) / 2) / 2)
    assert recall.n == 2
    assert measured.f1(0.2, 0.3) == pytest.approx(0.24)
    assert measured.f1(0, 0) == 0


def vectors():
    return WordVectors({"a": 0, "b": 1, "c": 2}, np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 1.0]]))


def test_similarities_in_closed_form():
    v = vectors()
    assert v.average("a b", "b") == pytest.approx(1 / math.hypot(0.5, 1))
    assert v.extrema("a c", "c") == pytest.approx(1.0)
    assert v.extrema("a b", "a") == pytest.approx(1 / math.hypot(1, 2))
    assert v.greedy("a b", "b") == pytest.approx(((0 + 1) / 2 + 1) / 2)
    for kind in (v.average, v.extrema, v.greedy):
        assert kind("a b c", "a b c") == pytest.approx(1)
        assert kind("unknown", "a") == kind("a", "") == 0


def test_the_best_response_counts():
    found = measured.embedding_similarity([["b", "a"]], [["a", "b a"]], vectors())
    assert found["average"].value == pytest.approx((1 + max(1, 2) / math.hypot(1, 2)) / 2)


def test_vectors_of_texts_bring_words_of_one_kind_together():
    texts = [f"the {animal} eats {food} ." for animal in ("dog", "cat") for food in ("bread", "rice", "fish")] * 5
    texts += [f"we saw a {colour} car today" for colour in ("red", "blue")] * 9
    v = WordVectors.of_texts(texts)
    assert v.average("dog", "cat") > v.average("dog", "car") + 0.3
    assert v.average("red", "blue") > v.average("red", "rice") + 0.3
    with pytest.raises(GeneraError, match="texts of several words"):
        WordVectors.of_texts(["a", "b"])


def test_vectors_from_a_file(tmp_path):
    file = tmp_path / "glove.txt"
    file.write_text("a 1 0\nother 5 5\nb 0 2\n")
    v = WordVectors.read(file, ["a b"])
    assert v.average("a b", "b") == pytest.approx(1 / math.hypot(0.5, 1))
    assert v.average("other", "other") == 0
    file.write_text("a 1 0\nb 1\n")
    with pytest.raises(GeneraError, match=r"glove\.txt:2 has 1 numbers after the word; 2 were expected"):
        WordVectors.read(file, ["a b"])
    file.write_text("a 1 x\n")
    with pytest.raises(GeneraError, match=r"glove\.txt:1 is not a word vector"):
        WordVectors.read(file, ["a"])
    file.write_text("z 1 2\n")
    with pytest.raises(GeneraError, match="no vector for any of the words"):
        WordVectors.read(file, ["a"])


def test_distinct_within_and_across():
    given = [["a a b", "a a b"], ["c d e f", "g"]]
    assert measured.distinct_within(given, 1).value == pytest.approx((2 / 3 + 2 / 3 + 1 + 1) / 4)
    assert measured.distinct_within(given, 2).value == pytest.approx(1)
    assert measured.distinct_within([["a", "b"]], 2).value == 0
    assert measured.distinct_across(given, 1).value == pytest.approx((2 / 6 + 5 / 5) / 2)


def test_valid_and_covered():
    given, right = [["a", "a", "b", "x"], ["y", "y", "y", "y"]], [("a", "b", "c"), ("z",)]
    assert measured.valid(given, right).value == pytest.approx(3 / 8)
    assert measured.valid_covered(given, right).value == pytest.approx((2 / 3 + 0) / 2)
