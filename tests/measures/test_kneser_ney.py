"""The trigram model against a second implementation in plain dictionaries, and as a distribution."""

import gzip
import math
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest

from genera import worlds
from genera.measures.kneser_ney import BEGIN, END, UNKNOWN, SentenceModel, Trigrams

SEQUENCES = [[3, 4, 5], [3, 4, 4, 5], [5], [], [3, 4], [4, 4, 4, 3, 6], [6, 5, 3], [3, 4, 5, 5]]
SYMBOLS = 8  # 7 is never seen


def flat(sequences):
    return np.array([s for sequence in sequences for s in sequence], np.int64), np.array(list(map(len, sequences)))


class Slow:
    """Interpolated Kneser-Ney as its formula reads, in exact fractions."""

    def __init__(self, sequences, symbols):
        self.outcomes = symbols - 1
        grams = Counter()
        for sequence in sequences:
            padded = [BEGIN, BEGIN, *sequence, END]
            grams.update(zip(padded, padded[1:], padded[2:], strict=False))
        self.counts = [None, None, None, grams]
        for order in (2, 1):
            lower, before = Counter(), defaultdict(set)
            for gram in self.counts[order + 1]:
                before[gram[1:]].add(gram[0])
            for gram, symbols_before in before.items():
                raw = self.counts[order + 1][BEGIN, *gram] if gram[0] == BEGIN else 0
                lower[gram] = raw or len(symbols_before)
            self.counts[order] = lower

    def discount(self, order):
        values = list(self.counts[order].values())
        once, twice = values.count(1), values.count(2)
        return Fraction(once, once + 2 * twice) if once else Fraction(1, 2)

    def probability(self, *gram):
        if not gram:
            return Fraction(1, self.outcomes)
        counts, context = self.counts[len(gram)], gram[:-1]
        following = [count for other, count in counts.items() if other[:-1] == context]
        lower = self.probability(*gram[1:])
        if not following:
            return lower
        discount = self.discount(len(gram))
        first = max(counts[gram] - discount, Fraction(0)) if gram in counts else Fraction(0)
        return (first + discount * len(following) * lower) / sum(following)


@pytest.fixture(scope="module")
def trigrams():
    return Trigrams(*flat(SEQUENCES), SYMBOLS)


def test_it_equals_the_slow_one(trigrams):
    slow = Slow(SEQUENCES, SYMBOLS)
    contexts = [(BEGIN, BEGIN), (BEGIN, 3), (3, 4), (4, 4), (7, 4), (4, 7), (7, 7), (UNKNOWN, 3), (5, 6)]
    for before, previous in contexts:
        for symbol in range(1, SYMBOLS):
            fast = trigrams.probabilities(*(np.array([s]) for s in (before, previous, symbol)))[0]
            assert fast == pytest.approx(float(slow.probability(before, previous, symbol)), rel=1e-12)
    for sequence in ([3, 4, 5], [7], [], [4, 4, 6, 7, 3]):
        padded = [BEGIN, BEGIN, *sequence, END]
        grams = zip(padded, padded[1:], padded[2:], strict=False)
        wanted = sum(math.log(slow.probability(*gram)) for gram in grams)
        assert trigrams.log_probabilities(*flat([sequence]))[0] == pytest.approx(wanted, rel=1e-12)


def test_every_context_has_a_distribution(trigrams):
    symbols = np.arange(1, SYMBOLS)
    for before in range(SYMBOLS):
        for previous in range(SYMBOLS):
            given = (np.full_like(symbols, s) for s in (before, previous))
            assert trigrams.probabilities(*given, symbols).sum() == pytest.approx(1, abs=1e-12)


def test_many_sequences_are_scored_as_one_by_one(trigrams):
    together = trigrams.log_probabilities(*flat(SEQUENCES))
    apart = [trigrams.log_probabilities(*flat([sequence]))[0] for sequence in SEQUENCES]
    np.testing.assert_allclose(together, apart)


def test_unknown_words_are_spelled():
    model = SentenceModel(["a cat sat", "a cat ran", "a dog sat", "the end"])
    cat, ran, odd, foreign = model.nats(["a cat sat", "a cat ran", "a cat gnat", "a cat 猫"])
    assert cat < ran
    assert foreign > odd > ran + 2
    assert foreign > math.log(0x110000)
    single = model.unigram_nats(["a cat sat", "sat cat a", ""])
    assert single[0] == pytest.approx(single[1])
    # 12 of 5 known outcomes: a 3, cat 2, sat 2, three words once, four ends; one more of each
    counts = {"a": 4, "cat": 3, "sat": 3, "unknown": 5, "end": 5}
    assert single[2] == pytest.approx(-math.log(5 / 20))
    assert single[0] == pytest.approx(-sum(math.log(counts[w] / 20) for w in ("a", "cat", "sat", "end")))


def test_it_knows_order_and_beats_single_words():
    world = worlds.load("captions")
    model = SentenceModel(world.sentences(3000))
    held_out = world.sentences(200, split="test")
    shuffled = [" ".join(reversed(sentence.split())) for sentence in held_out]
    real, odd, single = model.nats(held_out), model.nats(shuffled), model.unigram_nats(held_out)
    assert real.mean() < 0.6 * single.mean()
    assert odd.mean() > 1.5 * real.mean()
    floor = -np.mean([world.log_probability(sentence) for sentence in held_out])
    assert real.mean() > floor


def test_real_sentences(real_data):
    train, valid = (
        gzip.decompress((real_data("ptb") / f"ptb.{split}.txt.gz").read_bytes()).decode().splitlines()
        for split in ("train", "valid")
    )
    model = SentenceModel(train)
    nats, words = model.nats(valid), sum(len(line.split()) + 1 for line in valid)

    assert 120 < math.exp(nats.sum() / words) < 200  # 148.3 of an interpolated KN trigram, known words alone
    assert 600 < math.exp(model.unigram_nats(valid).sum() / words) < 900
