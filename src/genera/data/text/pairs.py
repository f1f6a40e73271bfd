"""Two sentences as one text. No torch."""

from collections.abc import Sequence

from genera.errors import GeneraError

PAIR = "\x1f"
"""The unit separator between two sentences. Encoders read it as [CLS] a [SEP] b [SEP], decoders as a space."""


def columns_of(text_column: str) -> list[str]:
    """`"3"` → one column, `"question1,question2"` → the two of a pair. Raises GeneraError for more."""
    columns = [column.strip() for column in text_column.split(",")]
    if len(columns) > 2 or "" in columns:
        raise GeneraError(f"--text-column {text_column!r} must name one column, or two separated by a comma.")
    return columns


def joined(sentences: Sequence[str]) -> str:
    """One or two sentences as one text; empty if either is empty."""
    return PAIR.join(sentence.strip() for sentence in sentences) if all(map(str.strip, sentences)) else ""


def halves(text: str) -> tuple[str, str]:
    """The two sentences of a pair; the second is empty for a single sentence."""
    first, _, second = text.partition(PAIR)
    return first, second
