"""Class names: the labels 0, 1, … of labelled items. No torch."""

from collections.abc import Iterable


def label_order(names: Iterable[str]) -> list[str]:
    """Whole numbers first, by value, then the others alphabetically: "0", "1", …, "10", "negative", "positive"."""

    def key(name: str) -> tuple[bool, int, str]:
        number = name.isascii() and name.isdigit()  # "²" is a digit that int() refuses
        return not number, int(name) if number else 0, name

    return sorted(names, key=key)
