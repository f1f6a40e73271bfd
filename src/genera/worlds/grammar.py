"""A world of sentences: a grammar defined as data, with exact probabilities and invertible factors.

A grammar is a template and the words of its factors. In the template, `{factor}` stands for a word of the factor and
`[...]` for an optional phrase with probability 1/2; all other choices are uniform and independent:

    template  "{determiner} {subject} [in {colour} {garment}] {tense} {action} a {object} ."
    words     {"subject": "man|men woman|women", "tense": {"present": "is|are", "past": "was|were"}, ...}

A value whose words are written `singular|plural` agrees with the factor `number`. "a" becomes "an" before a vowel.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError, unknown

Codes: TypeAlias = NDArray[np.int64]  # (N, F): the index of each factor's value

ABSENT = "none"
NUMBER = "number"
SPLITS = {"train": (0, 8), "valid": (8, 9), "test": (9, 10)}  # tenths of all factor combinations
_BLOCK = 1 << 13


@dataclass(frozen=True)
class Analogy:
    """a is to b as c is to `answer`: the same change of one factor turns a into b and c into `answer`."""

    a: str
    b: str
    c: str
    answer: str
    factor: str


@dataclass(frozen=True)
class World:
    """Sentences of one grammar. Immutable; every draw is a pure function of its arguments.

    Each combination of factor values belongs to exactly one split (80 % train, 10 % valid, 10 % test, by a fixed
    hash), so no test sentence is a training sentence.
    """

    name: str
    template: str
    words: Mapping[str, Mapping[str, str] | str]
    """factor → its values and their words: `{value: words}`, or one string if each value is its first word
    (`"man|men woman|women"`; an underscore stands for a space, as in `"at_night"`)"""

    # -- the grammar ----------------------------------------------------------------------------------------------

    @cached_property
    def factors(self) -> dict[str, tuple[str, ...]]:
        """factor → its values; the first value of a factor in an optional phrase is "none"."""
        optional = {name for phrase in self._optional for name in phrase}
        return {name: ((ABSENT,) if name in optional else ()) + tuple(table) for name, table in self._table.items()}

    @cached_property
    def entropy(self) -> float:
        """Exact entropy of the sentences in nats: the lower bound of the mean negative log-likelihood of any model."""
        always = sum(np.log(len(self._table[name])) for name in self._always)
        phrases = (
            np.log(2) + 0.5 * sum(np.log(len(self._table[name])) for name in phrase) for phrase in self._optional
        )
        return float(always + sum(phrases))

    @cached_property
    def size(self) -> int:
        """Number of distinct sentences."""
        always = prod(len(self._table[name]) for name in self._always)
        return always * prod(1 + prod(len(self._table[name]) for name in phrase) for phrase in self._optional)

    @cached_property
    def _table(self) -> dict[str, dict[str, tuple[str, str]]]:
        """factor → value → its singular and plural words."""
        table = {}
        for name, words in self.words.items():
            if isinstance(words, str):
                words = {entry.split("|")[0].replace("_", " "): entry.replace("_", " ") for entry in words.split()}
            forms = {value: entry.split("|") for value, entry in words.items()}
            table[name] = {value: (form[0], form[-1]) for value, form in forms.items()}
        return table

    @cached_property
    def _optional(self) -> list[tuple[str, ...]]:
        """The factors of each optional phrase; either all of them are "none", or no factor is."""
        return [tuple(re.findall(r"{(\w+)}", phrase)) for phrase in re.findall(r"\[(.*?)\]", self.template)]

    @cached_property
    def _always(self) -> list[str]:
        optional = {name for phrase in self._optional for name in phrase}
        return [name for name in self._table if name not in optional]

    # -- one sentence -----------------------------------------------------------------------------------------------

    def render(self, factors: Mapping[str, str]) -> str:
        """The sentence with these factor values. Raises GeneraError when a factor or value is missing or unknown."""
        for name in factors:
            if name not in self.factors:
                raise unknown(f"factor of world {self.name}", name, self.factors)
        for name, values in self.factors.items():
            if name not in factors:
                raise GeneraError(f"the factor {name!r} of world {self.name} is missing; give one of {values}.")
            if factors[name] not in values:
                raise unknown(f"value of factor {name}", factors[name], values)
        for phrase in self._optional:
            if len({factors[name] == ABSENT for name in phrase}) > 1:
                raise GeneraError(f"the factors {' and '.join(phrase)} belong together: all {ABSENT!r} or none.")
        code = [self.factors[name].index(factors[name]) for name in self.factors]
        return self._render(np.array([code]))[0]

    def factors_of(self, sentence: str) -> dict[str, str] | None:
        """The factor values of `sentence`, or None if the grammar cannot generate it. The exact inverse of `render`."""
        plain = re.sub(r"\ban (?=[aeiou])", "a ", sentence)
        for number, pattern, values in self._patterns:
            if match := pattern.fullmatch(plain):
                factors = {
                    name: ABSENT if words is None else values[name][words] for name, words in match.groupdict().items()
                }
                factors[NUMBER] = number
                factors = {name: factors[name] for name in self.factors}
                return factors if self.render(factors) == sentence else None
        return None

    def log_probability(self, sentence: str) -> float:
        """log p(sentence) in nats; -inf if the grammar cannot generate it."""
        factors = self.factors_of(sentence)
        if factors is None:
            return -np.inf
        present = [name for name in self.factors if factors[name] != ABSENT]
        return float(-sum(np.log(len(self._table[name])) for name in present) - len(self._optional) * np.log(2))

    @cached_property
    def _patterns(self) -> list[tuple[str, re.Pattern[str], dict[str, dict[str, str]]]]:
        """For each number: its name, the pattern of all its sentences, and factor → words → value."""
        patterns = []
        for form, number in enumerate(self._table[NUMBER]):
            values = {
                name: {words[form]: value for value, words in table.items()} for name, table in self._table.items()
            }
            values[NUMBER] = {self._table[NUMBER][number][form]: number}

            pattern = re.escape(self.template).replace(r"\ ", " ").replace(r"\{", "{").replace(r"\}", "}")
            pattern = pattern.replace(r" \[", r"(?: ").replace(r"\]", ")?")
            for name, table in values.items():
                words = "|".join(map(re.escape, table))
                pattern = pattern.replace(f"{{{name}}}", f"(?P<{name}>{words})")
            patterns.append((number, re.compile(pattern), values))
        return patterns

    # -- many sentences -------------------------------------------------------------------------------------------

    def sentences(self, count: int, seed: int = 0, split: str = "train") -> list[str]:
        """`count` independent sentences of a split. With the same seed, a shorter list is a prefix of a longer one."""
        return self._render(self._draw(count, _bits(seed, split, "sentences"), split))

    def analogies(self, count: int, seed: int = 0, split: str = "test") -> list[Analogy]:
        """`count` analogies whose four sentences are all in `split`. a and c differ but share the value that changes.

        Candidates change each factor equally often; factors of an optional phrase are rejected more often, because both
        a and c must contain the phrase.
        """
        bits = _bits(seed, split, "analogies")
        names = list(self.factors)
        sizes = np.array([len(values) for values in self.factors.values()])
        paired = np.array([any(name in phrase and len(phrase) > 1 for phrase in self._optional) for name in names])
        changeable = np.flatnonzero(sizes - paired > 1)

        blocks: list[tuple[Codes, ...]] = []
        while not blocks or sum(len(block[0]) for block in blocks) < count:
            a, c = self._draw(_BLOCK, bits, split), self._draw(_BLOCK, bits, split)
            rows = np.arange(_BLOCK)
            factor = changeable[_below(bits, _BLOCK, len(changeable))]
            # A factor that shares its phrase with others cannot appear or vanish alone: skip its 0 ("none").
            lowest = paired[factor].astype(np.int64)
            value = lowest + bits.random_raw(_BLOCK).astype(np.uint64) % (sizes[factor] - lowest).astype(np.uint64)
            old = a[rows, factor]
            possible = (old >= lowest) & (c[rows, factor] >= lowest) & (value != old)
            c[rows, factor] = old
            b, answer = a.copy(), c.copy()
            b[rows, factor] = answer[rows, factor] = value
            possible &= (a != c).any(axis=1)
            for codes in (b, c, answer):
                possible &= self._of(codes, split)
            blocks.append(tuple(array[possible] for array in (a, b, c, answer, factor)))
        *codes_of_each, factors = (np.concatenate(column)[:count] for column in zip(*blocks, strict=True))
        each = zip(*map(self._render, codes_of_each), strict=True)
        return [Analogy(a, b, c, d, names[f]) for (a, b, c, d), f in zip(each, factors, strict=True)]

    def _draw(self, count: int, bits: np.random.BitGenerator, split: str) -> Codes:
        """(count, F) independent factor codes of a split, by rejection."""
        blocks = [np.empty((0, len(self.factors)), np.int64)]
        while sum(map(len, blocks)) < count:
            codes = np.zeros((_BLOCK, len(self.factors)), np.int64)
            index = {name: column for column, name in enumerate(self.factors)}
            for name in self._always:
                codes[:, index[name]] = _below(bits, _BLOCK, len(self._table[name]))
            for phrase in self._optional:
                said = _below(bits, _BLOCK, 2)
                for name in phrase:
                    codes[:, index[name]] = said * (1 + _below(bits, _BLOCK, len(self._table[name])))
            blocks.append(codes[self._of(codes, split)])
        return np.concatenate(blocks)[:count]

    def _of(self, codes: Codes, split: str) -> NDArray[np.bool_]:
        """Which rows belong to `split`, by a fixed hash (splitmix64) of the factor codes as a mixed-radix number."""
        low, high = SPLITS[split]
        sizes = [len(values) for values in self.factors.values()]
        number = np.zeros(len(codes), np.uint64)
        for column, size in enumerate(sizes):
            number = number * np.uint64(size) + codes[:, column].astype(np.uint64)
        number = number + np.uint64(0x9E3779B97F4A7C15)
        number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        tenth = (number ^ (number >> np.uint64(31))) % np.uint64(10)
        return (low <= tenth) & (tenth < high)

    def _render(self, codes: Codes) -> list[str]:
        column = {name: codes[:, i] for i, name in enumerate(self.factors)}
        plural = column[NUMBER]
        words = (forms[column[factor], plural] for factor, forms in self._pieces)
        sentences = map("".join, zip(*words, strict=True))
        return [re.sub(r"\ba (?=[aeiou])", "an ", sentence) for sentence in sentences]

    @cached_property
    def _pieces(self) -> list[tuple[str, NDArray[np.object_]]]:
        """The pieces of the template in order: a factor and its (values, 2) singular and plural words."""
        pieces = []
        phrases = iter(self._optional)
        for part in re.split(r"( ?\[.*?\])", self.template):
            phrase = next(phrases) if part.endswith("]") else ()
            for piece in re.split(r"({\w+})", part.replace("[", "").removesuffix("]")):
                if piece.startswith("{"):
                    factor = piece[1:-1]
                    forms = list(self._table[factor].values())
                else:  # fixed text, present if the first factor of its phrase is
                    factor = (*phrase, NUMBER)[0]
                    forms = [(piece, piece)] * len(self._table[factor])
                absent = [("", "")] if phrase else []
                pieces.append((factor, np.array(absent + forms, object)))
        return pieces


def _bits(seed: int, split: str, purpose: str) -> np.random.BitGenerator:
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    return np.random.PCG64([seed, list(SPLITS).index(split), ("sentences", "analogies").index(purpose)])


def _below(bits: np.random.BitGenerator, count: int, size: int) -> Codes:
    """Integers 0 … size-1 from the raw bit stream, which, unlike Generator, is stable across NumPy versions."""
    return (bits.random_raw(count) % np.uint64(size)).astype(np.int64)
