"""An interpolated Kneser-Ney trigram model of sentences (Kneser & Ney 1995; Chen & Goodman 1999). Imports no torch.

Every string has a probability: a word that the training sentences contain at most once is an unknown word, whose
spelling a second trigram model, of characters, predicts. Perplexities per word therefore compare with those of models
that write words in pieces. The end of a sentence is predicted, its beginning is given.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

BEGIN, END, UNKNOWN = 0, 1, 2
"""Symbols of every vocabulary; only BEGIN is never predicted."""
MOST_SYMBOLS = 2_000_000
"""Three of them still fit into an int64."""
CODE_POINTS = 0x110000

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Trigrams:
    """Interpolated Kneser-Ney over sequences of the symbols 3 ≤ s < `symbols`, and UNKNOWN.

    The distribution after any two symbols is over END, UNKNOWN and all others: `symbols` − 1 outcomes. The discount of
    each order is n₁ / (n₁ + 2 n₂). Lower orders count the different symbols in front of an n-gram; n-grams that begin a
    sentence have none, so their own count stands (Heafield 2013, KenLM).
    """

    def __init__(self, flat: Integers, lengths: Integers, symbols: int) -> None:
        """flat: all sequences, one after the other. lengths: (N,), their lengths."""
        self.symbols = symbols
        before, previous, symbol = _windows(flat, lengths)
        self._trigrams, counts = np.unique(self._key(before, previous, symbol), return_counts=True)
        bigrams = self._trigrams % (symbols * symbols)
        begins = bigrams // symbols == BEGIN
        self._bigrams, places = np.unique(bigrams, return_inverse=True)
        continuations = np.bincount(places, np.where(begins, counts, 1))
        previous, symbol = np.divmod(self._bigrams, symbols)

        each = np.bincount(symbol, minlength=symbols).astype(float)
        discount = _discount(each)
        unseen = discount * np.count_nonzero(each) / each.sum()
        self._unigram = np.maximum(each - discount, 0) / each.sum() + unseen / (symbols - 1)
        self._unigram[BEGIN] = 0

        discount = _discount(continuations)
        self._bigram = np.maximum(continuations - discount, 0)
        self._after_one = np.bincount(previous, continuations, symbols)
        self._backoff_one = discount * np.bincount(previous, minlength=symbols)

        discount = _discount(counts)
        self._trigram = np.maximum(counts - discount, 0)
        contexts = self._trigrams // symbols
        self._contexts, places, types = np.unique(contexts, return_inverse=True, return_counts=True)
        self._after_two = np.bincount(places, counts)
        self._backoff_two = discount * types

    def log_probabilities(self, flat: Integers, lengths: Integers) -> Floats:
        """(N,) natural log probability of each sequence with its end."""
        probability = self.probabilities(*_windows(flat, lengths))
        ends = np.cumsum(lengths + 1)
        return np.add.reduceat(np.log(probability), ends - lengths - 1) if len(lengths) else np.zeros(0)

    def probabilities(self, before: Integers, previous: Integers, symbol: Integers) -> Floats:
        """p(symbol | before, previous) of N triples of symbols."""
        lower = self._unigram[symbol]
        seen = self._after_one[previous] > 0
        count = _look_up(self._bigrams, self._bigram, previous * self.symbols + symbol)
        total = np.where(seen, self._after_one[previous], 1)
        lower = np.where(seen, (count + self._backoff_one[previous] * lower) / total, lower)
        context = before * self.symbols + previous
        total = _look_up(self._contexts, self._after_two, context)
        backoff = _look_up(self._contexts, self._backoff_two, context)
        count = _look_up(self._trigrams, self._trigram, self._key(before, previous, symbol))
        return np.where(total > 0, (count + backoff * lower) / np.maximum(total, 1), lower)

    def _key(self, before: Integers, previous: Integers, symbol: Integers) -> Integers:
        return (before * self.symbols + previous) * self.symbols + symbol


class SentenceModel:
    """Fitted to sentences; gives nats of any others, by trigrams or by single words."""

    def __init__(self, sentences: Sequence[str]) -> None:
        """Raises ValueError without a single word."""
        counts = Counter(chain.from_iterable(map(str.split, sentences)))
        if not counts:
            raise ValueError("a model of sentences needs at least one word")
        kept = [word for word, count in counts.most_common(MOST_SYMBOLS) if count > 1]
        self._words = {word: number for number, word in enumerate(kept, UNKNOWN + 1)}
        rare = [word for word in counts if word not in self._words] or list(counts)
        self._characters = {c: n for n, c in enumerate(sorted(set(chain.from_iterable(rare))), UNKNOWN + 1)}
        self._spelling = Trigrams(*_numbers(rare, self._characters), UNKNOWN + 1 + len(self._characters))
        flat, lengths = _numbers(map(str.split, sentences), self._words)
        self._trigrams = Trigrams(flat, lengths, UNKNOWN + 1 + len(self._words))
        # Laplace: an unknown word has a probability even where every training word occurs twice.
        each = np.bincount(flat, minlength=self._trigrams.symbols) + 1
        each[BEGIN], each[END] = 0, len(lengths) + 1
        self._single = np.log(np.maximum(each, 1e-300) / each.sum())

    def nats(self, sentences: Sequence[str]) -> Floats:
        """(N,) −log p of each sentence with its end, under the trigram model."""
        flat, lengths = _numbers(map(str.split, sentences), self._words)
        return self._spelled(sentences, flat, lengths) - self._trigrams.log_probabilities(flat, lengths)

    def unigram_nats(self, sentences: Sequence[str]) -> Floats:
        """The same under independent words."""
        flat, lengths = _numbers(map(str.split, sentences), self._words)
        words = np.concatenate([[0.0], np.cumsum(self._single[flat])])
        ends = np.cumsum(lengths)
        return self._spelled(sentences, flat, lengths) - (words[ends] - words[ends - lengths]) - self._single[END]

    def _spelled(self, sentences: Sequence[str], flat: Integers, lengths: Integers) -> Floats:
        """(N,) nats of the spelling of each sentence's unknown words."""
        places = np.flatnonzero(flat == UNKNOWN)
        if not len(places):
            return np.zeros(len(lengths))
        every = list(chain.from_iterable(map(str.split, sentences)))
        words, occurrences = np.unique(np.array([every[place] for place in places], object), return_inverse=True)
        numbers, sizes = _numbers(words, self._characters)
        strange = np.concatenate([[0], np.cumsum(numbers == UNKNOWN)])
        ends = np.cumsum(sizes)
        each = -self._spelling.log_probabilities(numbers, sizes)
        each += (strange[ends] - strange[ends - sizes]) * math.log(CODE_POINTS)
        rows = np.repeat(np.arange(len(lengths)), lengths)[places]
        return np.bincount(rows, each[occurrences], len(lengths)).astype(np.float64)


def _numbers(sequences: Iterable[Iterable[str]], known: dict[str, int]) -> tuple[Integers, Integers]:
    """All symbols of the sequences in a row, and the length of each sequence."""
    rows = [[known.get(symbol, UNKNOWN) for symbol in sequence] for sequence in sequences]
    flat = np.fromiter(chain.from_iterable(rows), np.int64)
    return flat, np.array([len(row) for row in rows], np.int64)


def _windows(flat: Integers, lengths: Integers) -> tuple[Integers, Integers, Integers]:
    """Every predicted symbol, ends included, with the two symbols before it: BEGIN BEGIN at first."""
    sizes = lengths + 3
    place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    last = np.repeat(sizes - 1, sizes)
    stream = np.full(len(place), BEGIN, np.int64)
    stream[(place > 1) & (place < last)] = flat
    stream[place == last] = END
    predicted = np.flatnonzero(place > 1)
    return stream[predicted - 2], stream[predicted - 1], stream[predicted]


def _discount(counts: NDArray) -> float:
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    return once / (once + 2 * twice) if once else 0.5


def _look_up(keys: Integers, values: NDArray, wanted: Integers) -> Floats:
    """The value of each wanted key, 0 for a missing one. keys: sorted."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0.0)
