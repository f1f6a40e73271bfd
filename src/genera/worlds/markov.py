"""A source of known entropy: symbols whose distribution depends on the two before them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

SYMBOLS = "abcdefghijklmnopqrstuvwxyzABCDEF"
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Markov:
    """Texts of `length` symbols, separated by spaces. Each pair of symbols allows four successors, in a random order,
    with the probabilities `chances`; before a text stands the pair of the first symbol twice, unwritten.

    Every draw is a pure function of its arguments, and no two splits share their random numbers. A language model's
    mean negative log-likelihood per symbol cannot be below `per_symbol`. That of a bigram model is near 3.27 nats, that
    of a uniform one ln 32 = 3.47: only a model that reads both symbols before comes near the entropy.
    """

    name: str
    length: int = 64
    chances: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)
    symbols: str = SYMBOLS

    @cached_property
    def per_symbol(self) -> float:
        """Exact entropy in nats per symbol: −Σ p ln p."""
        return float(-sum(p * np.log(p) for p in self.chances))

    @cached_property
    def entropy(self) -> float:
        """Exact entropy of a text in nats; its end is certain."""
        return self.length * self.per_symbol

    @cached_property
    def successors(self) -> NDArray[np.int64]:
        """(S, S, 4): the successors of each pair of symbols, in the order of `chances`."""
        count = len(self.symbols)
        return np.random.default_rng(0).random((count, count, count)).argsort(-1)[..., : len(self.chances)]

    def sentences(self, count: int, *, seed: int = 0, split: str = "train") -> list[str]:
        """`count` independent texts."""
        random = np.random.default_rng([1, seed, SPLITS.index(split)])
        choices = random.choice(len(self.chances), (count, self.length), p=self.chances)
        codes = np.zeros((count, self.length + 2), np.int64)
        for place in range(self.length):
            codes[:, place + 2] = self.successors[codes[:, place], codes[:, place + 1], choices[:, place]]
        letters = np.array(list(self.symbols))[codes[:, 2:]]
        return [" ".join(row) for row in letters]

    def log_probability(self, sentence: str) -> float:
        """log p(text) in nats; -inf if the source cannot generate it."""
        symbols = sentence.split()
        if len(symbols) != self.length or not set(symbols) <= set(self.symbols):
            return -np.inf
        codes = np.array([0, 0, *map(self.symbols.index, symbols)])
        hits = self.successors[codes[:-2], codes[1:-1]] == codes[2:, None]
        p = (hits * np.array(self.chances)).sum(1)
        return float(np.log(p).sum()) if p.all() else -np.inf

    def factors_of(self, sentence: str) -> dict[str, str] | None:
        """{} if the source can generate the text, else None: it has no factors."""
        return {} if self.log_probability(sentence) > -np.inf else None


MARKOV = Markov("markov")
