"""Measures of several responses to one context against its references. Words are separated by white space.

A reference is matched by the best of the responses (recall) or by all of them on average (precision); both are averaged
over the references of a context, then over contexts (Zhao et al., ACL 2017; Gu et al., ICLR 2019). Imports no torch.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from genera.measures.estimate import mean_estimate
from genera.measures.schema import Estimate
from genera.measures.text import distinct
from genera.measures.word_vectors import WordVectors

Responses = Sequence[Sequence[str]]
"""The responses to each context, or its references."""

_SMOOTHING = 5  # K of Chen & Cherry


def bleu_recall_precision(responses: Responses, references: Responses) -> tuple[Estimate, Estimate]:
    """Recall and precision of `sentence_bleu` over contexts."""
    return (_over_references(responses, references, sentence_bleu, best) for best in (max, _mean))  # type: ignore[return-value]


def f1(recall: float, precision: float) -> float:
    """Harmonic mean; 0 if both are 0."""
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def sentence_bleu(hypothesis: str, reference: str, order: int = 3) -> float:
    """BLEU of one sentence against one reference, smoothed by method 7 of Chen & Cherry (WMT 2014) as in NLTK.
    It can exceed 1.

    Method 7 is method 4, which counts fractions of a match (with constant K) if no n-gram matches, followed by method
    5, which averages each precision with its neighbours. As the neighbour of the last order, NLTK always uses the
    precision of 5-grams. Before version 3.6, method 4 in NLTK counted missing n-grams as up to several matches, so
    figures published with it are larger.
    """
    words, wanted = hypothesis.split(), reference.split()
    matches = [_matches(words, wanted, n) for n in range(1, order + 1)]
    if not matches[0][0]:
        return 0.0
    precisions, missing = [], 0
    for matched, total in matches:
        if not matched and len(words) > 1:
            missing += 1
            precisions.append(math.log(len(words)) / (2**missing * _SMOOTHING * total))
        else:
            precisions.append(matched / total)
    matched, total = _matches(words, wanted, 5)
    following, before, smoothed = [*precisions[1:], matched / total], precisions[0] + 1, []
    for precision, after in zip(precisions, following, strict=True):
        before = (before + precision + after) / 3
        smoothed.append(before)
    brevity = 1.0 if len(words) > len(wanted) else math.exp(1 - len(wanted) / len(words))
    return brevity * math.exp(sum(map(math.log, smoothed)) / order)


def _matches(words: Sequence[str], wanted: Sequence[str], n: int) -> tuple[int, int]:
    """Number of n-grams of `words` that are also in `wanted`, and of all n-grams of `words` (at least 1)."""
    ngrams, other = (Counter(zip(*(w[i:] for i in range(n)), strict=False)) for w in (words, wanted))
    return (ngrams & other).total(), max(1, ngrams.total())


def embedding_similarity(responses: Responses, references: Responses, vectors: WordVectors) -> dict[str, Estimate]:
    """Cosines of bags of word vectors, for the best response: of their means ("average"), of their largest values
    in each dimension ("extrema"), and of each word with the nearest one ("greedy"); Liu et al., EMNLP 2016."""
    kinds = {"average": vectors.average, "extrema": vectors.extrema, "greedy": vectors.greedy}
    return {name: _over_references(responses, references, kind, max) for name, kind in kinds.items()}


def distinct_within(responses: Responses, n: int) -> Estimate:
    """Mean over responses of distinct-n in one response. Skips responses with fewer than n words."""
    return mean_estimate([distinct([r], n) for each in responses for r in each if len(r.split()) >= n] or [0.0])


def distinct_across(responses: Responses, n: int) -> Estimate:
    """Mean over contexts of distinct-n over all responses to one context."""
    return mean_estimate([distinct(each, n) for each in responses])


def valid(responses: Responses, right: Sequence[Sequence[str]]) -> Estimate:
    """Share of responses that are among the correct (`right`) responses of their context."""
    return mean_estimate([r in set(possible) for each, possible in zip(responses, right, strict=True) for r in each])


def valid_covered(responses: Responses, right: Sequence[Sequence[str]]) -> Estimate:
    """Number of distinct correct responses over the possible maximum: the number of correct responses of the context or
    of given responses, whichever is smaller."""
    shares = [
        len(set(each) & set(possible)) / min(len(each), len(possible))
        for each, possible in zip(responses, right, strict=True)
    ]
    return mean_estimate(shares)


def _over_references(
    responses: Responses,
    references: Responses,
    similarity: Callable[[str, str], float],
    best: Callable[[list[float]], float],
) -> Estimate:
    """Mean over contexts of the mean over references of `best` over responses."""
    rows = [
        _mean([best([similarity(response, reference) for response in each]) for reference in wanted])
        for each, wanted in zip(responses, references, strict=True)
    ]
    return mean_estimate(rows)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
