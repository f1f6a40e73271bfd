"""Perplexities of lines of text under any model with a likelihood, and predictions of their last words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from genera.console import track
from genera.engine.capabilities import PredictsWords, Scores
from genera.errors import GeneraError
from genera.measures.detokenise import detokeniser
from genera.measures.likelihood import ImportanceBound, perplexity
from genera.uses.items import at_least
from genera.uses.run import Run

AT_ONCE = 256
"""Lines scored together."""


@dataclass(frozen=True)
class LineScore:
    """The score of one line."""

    line: int
    """from 1"""
    nats: float | None = None
    """−log p(line), its end included: exact, or an upper bound from K importance samples. None if it cannot be read"""
    tokens: int | None = None
    """predicted tokens, the end included; None if the model counts none"""
    words: int = 0
    """separated by whitespace"""
    bytes: int = 0
    """of the line in UTF-8, without its end"""
    problem: str = ""
    """why it was not scored, such as too many tokens, or how else it was read"""

    @property
    def ppl_token(self) -> float | None:
        return None if self.nats is None or not self.tokens else perplexity(self.nats, self.tokens)

    @property
    def ppl_word(self) -> float | None:
        """One end of line is a word too."""
        return None if self.nats is None else perplexity(self.nats, self.words + 1)


def score_lines(
    run: Run, lines: Sequence[str], *, samples: int = 100, seed: int = 0, detokenise: str | None = None
) -> list[LineScore]:
    """Score every line; one that the model cannot read (too long) has its `problem` instead.

    samples: importance samples of a model with a latent. detokenise: name of a de-tokeniser for what the model reads;
    words and bytes are those of the lines. Raises GeneraError for a model without likelihoods of text.
    """
    way = None if detokenise is None else detokeniser(detokenise)
    samples = at_least(1, samples, "the number of importance samples")
    model = run.able(Scores, "score lines")
    if run.method.dataset.kind != "text":
        raise GeneraError(f"{run.config.method} has no likelihood of texts: its items are {run.method.dataset.kind}.")
    generator = run.generator(seed)

    def score(first: int, some: Sequence[str]) -> list[LineScore]:
        try:
            read = some if way is None else [way.text(line) for line in some]
            scored = model.score(read, samples, generator=generator)
        except GeneraError as error:
            if len(some) > 1:  # find the lines that cannot be read
                half = len(some) // 2
                return score(first, some[:half]) + score(first + half, some[half:])
            return [LineScore(first, None, None, len(some[0].split()), len(some[0].encode()), str(error))]
        bound = ImportanceBound()
        bound.add(scored.log_weights)
        nats, counts = (-bound.value()).tolist(), scored.lengths.get("tokens")
        tokens = [None] * len(some) if counts is None else counts.tolist()
        windows = scored.lengths.get("windows", torch.ones(len(some))).tolist()
        return [
            LineScore(
                first + i,
                nats[i],
                tokens[i],
                len(line.split()),
                len(line.strip().encode()),
                f"longer than the model's context; read in {windows[i]} windows" if windows[i] > 1 else "",
            )
            for i, line in enumerate(some)
        ]

    parts = range(0, len(lines), AT_ONCE)
    return [one for i in track(parts, "scoring") for one in score(i + 1, lines[i : i + AT_ONCE])]


@dataclass(frozen=True)
class Total:
    """Figures of all lines that were scored."""

    lines: int
    unread: int
    nats: float
    ppl_token: float | None
    ppl_word: float
    bits_per_byte: float
    """of the lines, each with its end"""


def total_of(scores: Sequence[LineScore]) -> Total:
    """Raises GeneraError when no line was scored."""
    read = [one for one in scores if one.nats is not None]
    if not read:
        raise GeneraError(f"no line could be scored: {scores[0].problem if scores else 'there are none'}")
    nats = sum(one.nats or 0.0 for one in read)
    tokens = [one.tokens for one in read if one.tokens]
    return Total(
        lines=len(read),
        unread=len(scores) - len(read),
        nats=nats,
        ppl_token=perplexity(nats, sum(tokens)) if len(tokens) == len(read) else None,
        ppl_word=perplexity(nats, sum(one.words + 1 for one in read)),
        bits_per_byte=nats / math.log(2) / sum(one.bytes + 1 for one in read),
    )


def last_words(run: Run, lines: Sequence[str]) -> tuple[list[bool], list[float]]:
    """For each line whether the model, given all its words but the last, writes the last one greedily, and the nats of
    that word (Paperno et al. 2016, LAMBADA)."""
    model = run.able(PredictsWords, "predict last words")
    right: list[bool] = []
    nats: list[float] = []
    for i in track(range(0, len(lines), AT_ONCE), "predicting"):
        found = model.last_words(lines[i : i + AT_ONCE])
        right += found.right.tolist()
        nats += found.nats.tolist()
    return right, nats
