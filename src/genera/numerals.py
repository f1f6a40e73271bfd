"""Numbers that users write: columns, labels, steps."""

MOST_DIGITS = 18
"""Digits that fit an int64."""


def integer(text: str) -> int | None:
    """The number that ASCII digits write; None for any other text, such as "²", which str.isdigit() accepts."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None
