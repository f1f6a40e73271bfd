"""The word vocabulary of speakers, the instruction generators of vision-and-language navigation
(Anderson et al. 2018; Fried et al. 2018; Tan et al. 2019)."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError
from genera.files import read_bytes, write_text

PAD, UNK, EOS = 0, 1, 2
SPECIAL = ("<PAD>", "<UNK>", "<EOS>")
BOS = "<BOS>"  # the last id, after the words
FEWEST = 5  # minimum occurrences of a word in the training split

_FILE = "words.txt"
_PIECES = re.compile(r"(\W+)")


def split_words(text: str) -> list[str]:
    """Lower-case words and punctuation marks. A run of marks other than dots is split: "?!" → "?", "!"."""
    pieces = (piece.strip().lower() for piece in _PIECES.split(text.strip()))
    return list(chain.from_iterable(list(piece) if _are_marks(piece) else [piece] for piece in pieces if piece))


def _are_marks(piece: str) -> bool:
    return set(piece) <= set(string.punctuation) and set(piece) != {"."}


class WordVocabulary:
    """Maps instructions to word ids and back. Immutable."""

    def __init__(self, words: Sequence[str], name: str = "the vocabulary") -> None:
        """words: <PAD>, <UNK>, <EOS>, then the words; <BOS> is added. Raises GeneraError, with `name`, for others."""
        if tuple(words[: len(SPECIAL)]) != SPECIAL:
            raise GeneraError(f"{name} does not begin with {', '.join(SPECIAL)}, one per line.")
        if repeated := [word for word, count in Counter([*words, BOS]).items() if count > 1]:
            raise GeneraError(f"{name} has the word {repeated[0]!r} twice.")
        self.words = (*words, BOS)
        self._id = {word: i for i, word in enumerate(words[len(SPECIAL) :], start=len(SPECIAL))}

    @property
    def size(self) -> int:
        """Including the special ids."""
        return len(self.words)

    @property
    def bos(self) -> int:
        return self.size - 1

    @classmethod
    def build(cls, texts: Iterable[str], fewest: int = FEWEST) -> Self:
        """The words that occur at least `fewest` times, the most frequent first, then by first appearance."""
        counts = Counter(chain.from_iterable(map(split_words, texts)))
        return cls([*SPECIAL, *(word for word, count in counts.most_common() if count >= fewest)])

    def encode_batch(self, texts: Sequence[str], longest: int) -> NDArray[np.int64]:
        """(B, T) ids: the words of each text, EOS, then PAD. Longer texts are truncated, so that T ≤ longest.

        Raises GeneraError for a text without words.
        """
        rows = [[self._id.get(word, UNK) for word in split_words(text)] for text in texts]
        for row, text in zip(rows, texts, strict=True):
            if not row:
                raise GeneraError(f"the instruction {text!r} is empty; give it at least one word.")
        width = min(longest, 1 + max(map(len, rows), default=0))
        ids = np.full((len(rows), width), PAD)
        for filled, row in zip(ids, rows, strict=True):
            kept = [*row[: width - 1], EOS]
            filled[: len(kept)] = kept
        return ids

    def decode_batch(self, ids: NDArray[np.integer]) -> list[str]:
        """(B, T) ids → B texts: the words before the first EOS or PAD, separated by spaces."""
        ended = np.isin(ids, (PAD, EOS))
        lengths = np.where(ended.any(axis=1), ended.argmax(axis=1), ids.shape[1])
        return [" ".join(self.words[i] for i in row[:n]) for row, n in zip(ids.tolist(), lengths.tolist(), strict=True)]

    def save(self, folder: Path) -> None:
        """Write words.txt, one word per line, the usual format of such vocabularies."""
        write_text(folder / _FILE, "\n".join(self.words[:-1]) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """From a file with one word per line, plain or .gz, or from a folder written by `save`. Raises GeneraError."""
        path = path / _FILE if path.is_dir() else path
        if not path.exists():
            raise GeneraError(f"{path} does not exist; a vocabulary with one word per line was expected.")
        try:
            lines = read_bytes(path).decode().split("\n")
        except UnicodeDecodeError as error:
            raise GeneraError(f"{path} is not readable as text ({error}); fetch it again.") from None
        return cls([line for line in lines if line], str(path))
