"""Sentences that evaluators of text share: real ones as references, the model's own, and a simple model of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genera.evaluation.evaluator import Evaluation
from genera.evaluation.item_types import in_parts, item_type

if TYPE_CHECKING:
    from genera.measures.kneser_ney import SentenceModel

FITTED = 100_000
"""Number of training sentences, at most, that the sentence model is fitted to."""


def spread(evaluation: Evaluation, split: str, count: int) -> list[str]:
    """At most `count` sentences (of dialogues: responses), evenly spaced over a split, which may be sorted."""
    if evaluation.data.kind == "dialogues":
        responses = evaluation.data.responses(split)
        return [responses[row] for row in _rows(len(responses), count)]
    store = evaluation.data.split(split)
    return store.texts(_rows(len(store), count))


def _rows(size: int, count: int) -> np.ndarray:
    return np.arange(size) if size <= count else np.linspace(0, size - 1, count).astype(np.int64)


def real_sentences(evaluation: Evaluation, count: int) -> list[str]:
    """`count` sentences of the measured split, filled up with training sentences where it is smaller."""
    held_out = spread(evaluation, evaluation.split, count)
    if len(held_out) < count and "train" in evaluation.data.splits and evaluation.split != "train":
        held_out += spread(evaluation, "train", count - len(held_out))
    return held_out


def sentence_model(evaluation: Evaluation) -> SentenceModel | None:
    """The trigram model of the training split; None without one."""
    if "train" not in evaluation.data.splits or evaluation.split == "train":
        return None

    def fit() -> SentenceModel:
        from genera.measures.kneser_ney import SentenceModel

        return SentenceModel(spread(evaluation, "train", FITTED))

    return evaluation.once("sentence model", fit)


def prior_samples(evaluation: Evaluation, count: int) -> list[str]:
    """`count` samples of the model, decoded by its defaults."""
    decoding = item_type(evaluation.data.kind).decoding(evaluation.run)
    make = evaluation.run.sample
    return evaluation.once(("samples", count), lambda: make(count, seed=evaluation.seed, **decoding))


def reconstructions(evaluation: Evaluation, count: int) -> list[Any]:
    """Of the first `count` items of the split, of any type, decoded greedily from their posterior means."""
    items = evaluation.items(count)
    known: list[Any] = evaluation.once("reconstructions", list)
    if len(known) < len(items):
        decoding = item_type(evaluation.data.kind).decoding(evaluation.run)
        known[:] = in_parts(evaluation.run.reconstruct, items, "reconstructing", **decoding)
    return known[: len(items)]
