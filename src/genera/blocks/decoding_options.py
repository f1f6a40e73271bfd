"""How a decoder chooses the next token: plain values, so that options need no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from genera.errors import GeneraError, unknown


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the next token is chosen. Raises GeneraError for values out of range."""

    temperature: float = 0.0
    """0 is greedy; 1 samples from the model; larger is more varied"""
    top_k: int = 0
    """sample among the k likeliest tokens; 0 keeps all"""
    top_p: float = 1.0
    """sample among the fewest likeliest tokens that together have this probability; 1 keeps all"""
    max_tokens: int = 128
    """new tokens at most, the end token counted"""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise GeneraError(f"temperature is {self.temperature}; it must be 0 (greedy) or a positive number.")
        if self.top_k < 0:
            raise GeneraError(f"top_k is {self.top_k}; it must be 0 (all tokens) or a count of tokens.")
        if not 0 < self.top_p <= 1:
            raise GeneraError(f"top_p is {self.top_p}; it is a probability, 0 < top_p <= 1.")
        if self.max_tokens < 1:
            raise GeneraError(f"max_tokens is {self.max_tokens}; at least 1 token must be allowed.")


def decoding(options: Mapping[str, Any], **defaults: Any) -> Decoding:
    """The Decoding of a caller's keyword options. Raises GeneraError for an option that does not exist."""
    known = [f.name for f in fields(Decoding)]
    for name in options:
        if name not in known:
            raise unknown("decoding option", name, known)
    return Decoding(**{**defaults, **options})
