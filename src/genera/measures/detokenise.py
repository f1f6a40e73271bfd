"""Invertible de-tokenisers: the spaced tokens of benchmark files as ordinary text, which models of ordinary text read
better (Radford et al. 2019: 2.5 to 5 points of perplexity). Words are counted in the original. No torch."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from genera.errors import unknown

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
"""(pattern, replacement), applied in this order"""

_ABBREVIATIONS = frozenset(
    (
        *("St", "Mr", "Mrs", "Ms", "Dr", "Jr", "Sr", "Bros", "No", "Nos", "var", "Lt", "Col", "Gen", "Capt", "Sgt"),
        *("Maj", "Ft", "Mt", "vs", "Prof", "Rev", "Hon", "Gov", "Sen", "Inc", "Ltd", "Co"),
    )
)
_CONTRACTIONS = r"'(?:s|t|m|re|ve|ll|d)(?=[\s,;:!?.)\]\"]|$)"


@dataclass(frozen=True)
class Detokeniser:
    """A way from tokens to text, and back."""

    name: str
    summary: str
    forward: Rules
    backward: Rules
    finish: Callable[[str], str] = str

    def text(self, line: str) -> str:
        """Spaced tokens → ordinary text."""
        return self.finish(_applied(self.forward, " ".join(line.split())))

    def tokens(self, text: str) -> str:
        """Ordinary text → spaced tokens; the inverse of `text` for nearly all lines of its corpus."""
        return " ".join(_applied(self.backward, text).split())


def _applied(rules: Rules, line: str) -> str:
    for pattern, replacement in rules:
        line = re.sub(pattern, replacement, line)
    return line


def _full_stop(match: re.Match[str]) -> str:
    """A full stop is a token of its own, unless it belongs to an initial, to letters with stops, or to a known word."""
    word = match.string[: match.start()].rpartition(" ")[2]
    belongs = word in _ABBREVIATIONS or re.fullmatch(r"[^\W\d]|(?:[^\W\d]+\.)+[^\W\d]+", word)
    return "." if belongs else " ."


def _quotes_closed(line: str) -> str:
    """Every second quotation mark closes: no space inside the marks."""
    parts = line.split('"')
    inside = [part.strip(" ") if i % 2 and i + 1 < len(parts) else part for i, part in enumerate(parts)]
    return '"'.join(inside)


def _tight(before: str, after: str) -> tuple[Rules, Rules]:
    """No space before the marks `before` and after the marks `after`, and back."""
    forward = ((rf" ([{before}])(?= |$)", r"\1"), (rf"(?<!\S)([{after}]) ", r"\1"))
    backward = ((rf"(?<=\S)([{before}])(?=[\s.{before}\"]|$)", r" \1"), (rf"([{after}])(?=\S)", r"\1 "))
    return forward, backward


_WIKI_FORWARD, _WIKI_BACKWARD = _tight(r",;:!?%)\]", r"(\[$£€")
DETOKENISERS = {
    "ptb": Detokeniser(
        "ptb",
        "Penn Treebank: `do n't` → `don't`, `abc 's` → `abc's`, `viewers '` → `viewers'`, `$ N` → `$N`",
        forward=((r" (n't|" + _CONTRACTIONS + ")", r"\1"), (r"(?<=s) '(?= |$)", "'"), (r"\$ (?=\S)", "$")),
        backward=(
            (r"(?<=\S)(n't)(?= |$)", r" \1"),
            (rf"(?<=\S)(?<!n)({_CONTRACTIONS})", r" \1"),
            (rf"(?<=n)((?!'t){_CONTRACTIONS})", r" \1"),
            (r"(?<=s)'(?= |$)", " '"),
            (r"\$(?=\S)", "$ "),
        ),
    ),
    "wikitext": Detokeniser(
        "wikitext",
        "WikiText: `1 @,@ 000` → `1,000`, ` @-@ ` → `-`, `don 't` → `don't`, and marks next to their words",
        forward=(
            (r"(?<=\S) @-@ (?=\S)", "-"),
            (r"(?<=\d) @([,.])@ (?=\d)", r"\1"),
            (rf" ({_CONTRACTIONS})", r"\1"),
            *_WIKI_FORWARD,
            (r" \.(?= |$)", "."),
        ),
        backward=(
            (r'"', ' " '),
            (r"(?<=\S)-(?=\S)", " @-@ "),
            (r"(?<=\d)([,.])(?=\d)", r" @\1@ "),
            (rf"(?<=\S)({_CONTRACTIONS})", r" \1"),
            *_WIKI_BACKWARD,
            (r"(?<=[^\s.])\.(?=\s|$)", _full_stop),
            (r"(?<=\w\.)\.(?=\s|$)", " ."),
        ),
        finish=_quotes_closed,
    ),
}


def detokeniser(name: str) -> Detokeniser:
    """Raises GeneraError for an unknown name."""
    if name not in DETOKENISERS:
        raise unknown("de-tokeniser", name, DETOKENISERS)
    return DETOKENISERS[name]
