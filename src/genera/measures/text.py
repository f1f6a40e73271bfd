"""Measures of sentences. Words are what white space separates; sentences are compared with it normalised.

Imports no torch.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from genera.errors import GeneraError
from genera.measures.estimate import mean_estimate
from genera.measures.schema import Estimate

R = TypeVar("R", str, str | None)


class World(Protocol):
    """The interface of a world, a source of sentences with known factors, for these measures."""

    @property
    def factors(self) -> Mapping[str, tuple[str, ...]]: ...

    def factors_of(self, sentence: str) -> dict[str, str] | None:
        """The factor values of `sentence`, or None if the world cannot generate it."""
        ...

    def log_probability(self, sentence: str) -> float: ...


def normalised(sentence: str) -> str:
    return " ".join(sentence.split())


# Reconstruction


def exact_match(outputs: Sequence[str], references: Sequence[str]) -> Estimate:
    """Share of outputs that equal their reference."""
    return mean_estimate(
        [normalised(a) == normalised(b) for a, b in _pairs(outputs, references)],
    )


def corpus_bleu(outputs: Sequence[str], references: Sequence[str], *more: Sequence[str | None]) -> float:
    """Corpus BLEU-4, 0..100: sacrebleu with the 13a tokeniser and exponential smoothing.

    more: the second references of the outputs, the third, and so on; None for an output without.
    """
    from sacrebleu.metrics.bleu import BLEU

    for stream in (references, *more):
        _pairs(outputs, stream)
    streams: list[Sequence[str | None]] = [list(references), *map(list, more)]
    return BLEU(force=True).corpus_score(list(outputs), streams).score  # type: ignore[arg-type]


def multi_reference_bleu(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU-4, 0..100, as `corpus_bleu`; references[i] are all references of outputs[i], one or more."""
    most = max(map(len, references))
    first, *more = ([texts[i] if i < len(texts) else None for texts in references] for i in range(most))
    return corpus_bleu(outputs, [text or "" for text in first], *more)


# Diversity and novelty of samples


def self_bleu(sentences: Sequence[str]) -> Estimate:
    """Mean sentence BLEU, 0..100, of each sentence against all the others (Zhu et al. 2018); low means diverse.

    The number sacrebleu gives for each sentence against the other N − 1, in time linear in N: an n-gram's
    clip for sentence i is its greatest count elsewhere, so its two greatest counts serve all i.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.helpers import extract_all_word_ngrams

    if len(sentences) < 2:
        raise GeneraError(f"self-BLEU compares sentences with each other: at least 2 are needed, got {len(sentences)}.")
    tokenize = BLEU().tokenizer
    counted = [extract_all_word_ngrams(tokenize(s.rstrip()), 1, 4) for s in sentences]
    first: Counter[tuple[str, ...]] = Counter()
    second: Counter[tuple[str, ...]] = Counter()
    for ngrams, _ in counted:
        for ngram, count in ngrams.items():
            first[ngram], second[ngram] = sorted((first[ngram], second[ngram], count), reverse=True)[:2]
    lengths = Counter(length for _, length in counted)
    scores = []
    for ngrams, length in counted:
        elsewhere = {g: second[g] if first[g] == count else first[g] for g, count in ngrams.items()}
        lengths[length] -= 1
        closest = _closest(length, sorted(n for n, count in lengths.items() if count))
        lengths[length] += 1
        scores.append(_sentence_bleu(ngrams, length, elsewhere, closest))
    return mean_estimate(scores)


def bleu_against(sentences: Sequence[str], references: Sequence[str]) -> Estimate:
    """Mean sentence BLEU, 0..100, of each sentence against all `references` at once.

    The number sacrebleu gives for each sentence with N references, in time linear in N.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.helpers import extract_all_word_ngrams

    if not references:
        raise GeneraError("BLEU needs at least one reference, got none.")
    tokenize = BLEU().tokenizer
    greatest: dict[tuple[str, ...], int] = {}
    lengths = set()
    for reference in references:
        ngrams, length = extract_all_word_ngrams(tokenize(reference.rstrip()), 1, 4)
        lengths.add(length)
        for ngram, count in ngrams.items():
            greatest[ngram] = max(count, greatest.get(ngram, 0))
    ordered, scores = sorted(lengths), []
    for sentence in sentences:
        ngrams, length = extract_all_word_ngrams(tokenize(sentence.rstrip()), 1, 4)
        scores.append(_sentence_bleu(ngrams, length, greatest, _closest(length, ordered)))
    return mean_estimate(scores)


def _sentence_bleu(ngrams: Counter, length: int, most: Mapping[tuple[str, ...], int], closest: int) -> float:
    """BLEU-4 of a sentence's n-grams, clipped at the `most` a reference has, against the `closest` length."""
    from sacrebleu.metrics.bleu import BLEU

    correct, total = [0] * 4, [0] * 4
    for ngram, count in ngrams.items():
        correct[len(ngram) - 1] += min(count, most.get(ngram, 0))
        total[len(ngram) - 1] += count
    return BLEU.compute_bleu(correct, total, length, closest, smooth_method="exp", effective_order=True).score


def _closest(length: int, others: list[int]) -> int:
    """The nearest of the sorted `others`, the shorter of two equally near ones, as in BLEU."""
    place = bisect_left(others, length)
    return min(others[max(0, place - 1) : place + 1], key=lambda other: (abs(other - length), other))


def distinct(sentences: Iterable[str], n: int) -> float:
    """distinct-n: different n-grams of words over all n-grams, pooled over the sentences (Li et al. 2016)."""
    ngrams = [
        ngram
        for words in map(str.split, sentences)
        for ngram in zip(*(words[shift:] for shift in range(n)), strict=False)
    ]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def novel(sentences: Sequence[str], training: Iterable[str]) -> Estimate:
    """Share of sentences that are not in the training set, which is streamed once."""
    return mean_estimate(is_novel(sentences, training))


def is_novel(sentences: Sequence[str], training: Iterable[str]) -> list[bool]:
    """Whether each sentence is absent from the training set, which is streamed once."""
    wanted = {normalised(s) for s in sentences}
    seen = {s for s in map(normalised, training) if s in wanted}
    return [normalised(s) not in seen for s in sentences]


def vocabulary_coverage(sentences: Iterable[str], references: Iterable[str]) -> float:
    """Share of the references' different words that occur among the sentences."""
    known = {word for s in references for word in s.split()}
    used = {word for s in sentences for word in s.split()}
    return len(known & used) / len(known) if known else 0.0


# Interpolation


def word_overlap(a: str, b: str) -> float:
    """2 |a ∩ b| / (|a| + |b|) of the two bags of words, 0..1; 1 for two empty sentences."""
    first, second = Counter(a.split()), Counter(b.split())
    size = first.total() + second.total()
    return 2 * (first & second).total() / size if size else 1.0


def progress(path: Sequence[str], start: str, end: str) -> list[float]:
    """For each sentence on a path: word overlap with the end minus word overlap with the start, −1..1."""
    return [word_overlap(s, end) - word_overlap(s, start) for s in path]


def distinct_on_path(path: Iterable[str]) -> int:
    """Number of distinct sentences on a path."""
    return len({normalised(s) for s in path})


# Against a world's truth


def grammatical(sentences: Sequence[str], world: World) -> Estimate:
    """Share of sentences that the world can generate."""
    return mean_estimate([world.factors_of(s) is not None for s in sentences])


def entropy_floor(sentences: Sequence[str], world: World) -> Estimate:
    """Mean −log p(x) under the world itself, nats per sentence: a lower bound for the average of any valid bound."""
    return mean_estimate([-world.log_probability(s) for s in sentences])


def _pairs(outputs: Sequence[str], references: Sequence[R]) -> list[tuple[str, R]]:
    if len(outputs) != len(references):
        raise GeneraError(f"outputs and references must pair up, got {len(outputs)} and {len(references)}.")
    return list(zip(outputs, references, strict=True))
