"""Decoding options. No torch."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from genera.errors import GeneraError, unknown

SAMPLING = ("temperature", "top_k", "top_p")
"""Options of sampling, which beam search does not have."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the next token is chosen. Raises GeneraError for values out of range."""

    temperature: float = 0.0
    """0: greedy decoding; 1: sample from the model; higher: more varied samples"""
    top_k: int = 0
    """sample among the k most likely tokens; 0: all tokens"""
    top_p: float = 1.0
    """sample from the smallest set of most likely tokens with this total probability; 1: all tokens"""
    max_tokens: int = 128
    """maximum number of new tokens, including the end token"""
    beams: int = 1
    """beam search: number of hypotheses kept per row; 1: none. It does not sample"""
    length_penalty: float = 1.0
    """beam search ranks by log-probability / length ** this; 0: by log-probability; higher: longer outputs"""

    def __post_init__(self) -> None:
        for f in fields(self):
            value, kind = getattr(self, f.name), "a whole number" if f.type is int else "a number"
            if not isinstance(value, Integral if f.type is int else Real) or isinstance(value, bool):
                raise GeneraError(f"{f.name} must be {kind}, got {value!r}.")
        if not 0 <= self.temperature < float("inf"):
            raise GeneraError(f"temperature is {self.temperature}; it must be 0 (greedy) or a positive number.")
        if self.top_k < 0:
            raise GeneraError(f"top_k is {self.top_k}; it must be 0 (all tokens) or a positive number.")
        if not 0 < self.top_p <= 1:
            raise GeneraError(f"top_p is {self.top_p}; it must be a probability, 0 < top_p <= 1.")
        if self.max_tokens < 1:
            raise GeneraError(f"max_tokens is {self.max_tokens}; it must be at least 1.")
        if self.beams < 1:
            raise GeneraError(f"beams is {self.beams}; it must be 1 (no beam search) or more.")
        if not abs(self.length_penalty) < float("inf"):
            raise GeneraError(f"length_penalty is {self.length_penalty}; it must be a finite number.")
        if self.beams > 1 and (self.temperature > 0 or self.top_k or self.top_p < 1):
            raise GeneraError(
                f"beam search (beams {self.beams}) does not sample; leave temperature, top_k and top_p out, or beams."
            )


def decoding(options: Mapping[str, Any], **defaults: Any) -> Decoding:
    """Decoding from keyword options, with `defaults` for the others: none that sample for a beam search.

    Raises GeneraError for an unknown option.
    """
    known = [f.name for f in fields(Decoding)]
    for name in options:
        if name not in known:
            raise unknown("decoding option", name, known)
    if options.get("beams", 1) != 1:
        defaults = {name: value for name, value in defaults.items() if name not in SAMPLING}
    chosen = Decoding(**{**defaults, **options})
    note_used([chosen])
    return chosen


_used: ContextVar[list[Decoding] | None] = ContextVar("decodings used", default=None)


@contextmanager
def decodings_used() -> Iterator[list[Decoding]]:
    """The decodings that models use within the block, each once: what they did where an option was left to them."""
    outer = _used.get()
    used: list[Decoding] = []
    token = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(token)
        if outer is not None:
            note_used(used)


def note_used(decodings: list[Decoding]) -> None:
    """Count these as used, such as those of texts that were generated before and are read again."""
    used = _used.get()
    if used is not None:
        used += [one for one in decodings if one not in used]
