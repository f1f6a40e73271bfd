"""Measures of sentences, on a tiny world and against sacrebleu itself."""

import math
import random

import pytest
from sacrebleu.metrics.bleu import BLEU

from genera.errors import GeneraError
from genera.measures import text
from genera.measures.paths import monotone_steps

FACTORS = {
    "number": ("a", "two"),
    "colour": ("red", "blue", "green"),
    "animal": ("dog", "cat"),
    "time": ("today", "none"),
}
CHANCES = {"red": 0.5, "blue": 0.25, "green": 0.25}


class Colours:
    """'NUMBER COLOUR ANIMAL [today]': red twice as likely as blue or green."""

    factors = FACTORS

    def factors_of(self, sentence):
        words = sentence.split()
        values = dict(zip(FACTORS, [*words, "none"], strict=False))
        fits = len(words) in (3, 4) and all(values[n] in choices for n, choices in FACTORS.items())
        return values if fits else None

    def log_probability(self, sentence):
        return math.log(CHANCES[self.factors_of(sentence)["colour"]] / 8)


WORLD = Colours()


def random_sentences(count, seed=0):
    draw = random.Random(seed)
    words = ["the", "a", "dog", "cat", "saw", ",", "big", "red", "house", "and", "ran"]
    return [" ".join(draw.choices(words, k=draw.randint(1, 9))) + " ." for _ in range(count)]


def test_exact_match_forgives_white_space_only():
    estimate = text.exact_match(["a  dog", "a cat", "A dog"], ["a dog ", "a cow", "a dog"])
    assert (estimate.value, estimate.n) == (pytest.approx(1 / 3), 3)


def test_corpus_bleu_is_100_for_copies_and_falls_with_changes():
    references = random_sentences(50)
    changed = [s.replace("dog", "cow").replace("big", "small") for s in references]
    assert text.corpus_bleu(references, references) == pytest.approx(100)
    assert 0 < text.corpus_bleu(changed, references) < 95
    with pytest.raises(GeneraError, match="pair up"):
        text.corpus_bleu(changed, references[1:])


def test_corpus_bleu_counts_the_best_of_several_references():
    outputs = ["walk past the sofa and stop", "turn left at the plant ."]
    first, second = ["go past the sofa and wait", outputs[1]], [outputs[0], None]
    assert text.corpus_bleu(outputs, first) < 95
    assert text.corpus_bleu(outputs, first, second) == pytest.approx(100)


def test_self_bleu_is_the_mean_of_sacrebleu_against_the_others():
    sentences = [*random_sentences(40), "a red dog", "a red dog", "unheard of", "!"]
    expected = [
        BLEU(effective_order=True).sentence_score(s, sentences[:i] + sentences[i + 1 :]).score
        for i, s in enumerate(sentences)
    ]
    estimate = text.self_bleu(sentences)
    assert estimate.value == pytest.approx(sum(expected) / len(expected), abs=1e-9)
    assert estimate.n == 44


def test_bleu_against_is_sacrebleu_with_all_references():
    references = ["the cat sat on the mat .", "a dog ran home .", "the the the cat ."]
    sentences = ["the cat ran home .", "the the cat sat", "blue kites fly high above us all today", "a dog ran home ."]
    oracle = BLEU(effective_order=True)
    expected = [oracle.sentence_score(sentence, references).score for sentence in sentences]
    estimate = text.bleu_against(sentences, references)
    assert estimate.value == pytest.approx(sum(expected) / 4)
    assert text.bleu_against(references, references).value == pytest.approx(100)
    with pytest.raises(GeneraError, match="at least one reference"):
        text.bleu_against(sentences, [])


def test_self_bleu_tells_repetition_from_variety():
    assert text.self_bleu(["the dog ran home ."] * 5).value == pytest.approx(100)
    assert text.self_bleu(["a b c d", "e f g h", "i j k l"]).value == 0
    with pytest.raises(GeneraError, match="at least 2"):
        text.self_bleu(["alone"])


def test_distinct_counts_pooled_ngrams():
    assert text.distinct(["a b a", "b a"], 1) == pytest.approx(2 / 5)
    assert text.distinct(["a b a", "b a"], 2) == pytest.approx(2 / 3)
    assert text.distinct(["a"], 2) == 0


def test_novel_reads_the_training_set_once():
    training = (s for s in ["a dog", "a cat"])
    estimate = text.novel(["a  dog", "a cow", "a cow", "two dogs"], training)
    assert estimate.value == pytest.approx(3 / 4)


def test_vocabulary_coverage_ignores_words_that_are_not_known():
    assert text.vocabulary_coverage(["a dog ran"], ["a dog", "a cat"]) == pytest.approx(2 / 3)
    assert text.vocabulary_coverage([], ["a dog"]) == 0


def test_word_overlap_counts_each_word_as_often_as_it_occurs():
    assert text.word_overlap("a a b", "a b") == pytest.approx(4 / 5)
    assert text.word_overlap("a", "b") == 0
    assert text.word_overlap("", "") == 1


def test_a_straight_path_is_monotone_and_a_wandering_one_is_not():
    start, end = "a red dog", "two blue cat"
    straight = [start, "two red dog", "two red dog", "two blue dog", end]
    wandering = [start, end, start, end, start]
    assert text.progress([start, end], start, end) == [-1, 1]
    assert monotone_steps(text.progress(straight, start, end)) == 1
    assert monotone_steps(text.progress(wandering, start, end)) == 0.5
    assert text.distinct_on_path(straight) == 4
    with pytest.raises(GeneraError, match="at least 2"):
        monotone_steps(text.progress([start], start, end))


def test_grammatical_share_and_entropy_floor():
    assert text.grammatical(["a red dog", "red a dog", "two blue cat today"], WORLD).value == pytest.approx(2 / 3)
    draw = random.Random(0)
    sentences = [f"a {draw.choices(list(CHANCES), CHANCES.values())[0]} dog" for _ in range(4000)]
    estimate = text.entropy_floor(sentences, WORLD)
    entropy = math.log(8) + 1.5 * math.log(2)
    assert estimate.value == pytest.approx(entropy, abs=4 * estimate.error)


def test_multi_reference_bleu_takes_as_many_references_as_each_output_has():
    references = [["go to the big door now", "walk to the door and stop"], ["turn left at the plant ."]]
    assert text.multi_reference_bleu([references[0][1], references[1][0]], references) == pytest.approx(100)
    assert text.multi_reference_bleu([references[1][0], references[0][1]], references) < 20
