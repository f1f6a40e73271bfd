"""Word vectors, read from a file in GloVe text format or computed from the given texts. Imports no torch."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genera.data.files import read_lines
from genera.errors import GeneraError

WINDOW = 5
"""Size of the context window on either side, in words."""
DIMENSIONS = 200


class WordVectors:
    """Vectors of known words, and similarities of two sentences. Words without a vector are ignored; the similarity to
    a sentence without any known word is 0."""

    def __init__(self, rows: dict[str, int], vectors: NDArray[np.float64]) -> None:
        """rows: word → its row in `vectors` (V, D)."""
        self._rows, self._vectors = rows, vectors
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._units = vectors / np.where(norms > 0, norms, 1)

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "WordVectors":
        """Positive pointwise mutual information of words within `WINDOW` of each other, by truncated SVD (Levy &
        Goldberg, NeurIPS 2014)."""
        rows: dict[str, int] = {}
        sentences = [[rows.setdefault(word, len(rows)) for word in text.split()] for text in texts]
        ids = np.array([i for sentence in sentences for i in sentence], np.int64)
        which = np.repeat(np.arange(len(sentences)), [len(sentence) for sentence in sentences])
        counts = sparse.coo_array((len(rows), len(rows))).tocsr()
        for shift in range(1, WINDOW + 1):
            near = which[:-shift] == which[shift:]
            pairs = (ids[:-shift][near], ids[shift:][near])
            counts = counts + sparse.coo_array((np.ones(len(pairs[0])), pairs), counts.shape).tocsr()
        counts = (counts + counts.T).tocoo()
        if len(rows) < 3 or not counts.nnz:
            raise GeneraError("word vectors need texts of several words; give --embeddings FILE.")
        totals = np.asarray(counts.sum(0)).ravel()
        information = np.log(counts.data * totals.sum() / (totals[counts.row] * totals[counts.col]))
        table = sparse.csr_array((np.maximum(information, 0), (counts.row, counts.col)), counts.shape)
        from sklearn.decomposition import TruncatedSVD

        svd = TruncatedSVD(min(DIMENSIONS, len(rows) - 1), random_state=0)
        return cls(rows, svd.fit_transform(table) / np.sqrt(np.maximum(svd.singular_values_, 1e-12)))

    @classmethod
    def read(cls, path: str | Path, texts: Iterable[str]) -> "WordVectors":
        """The vectors of the words of `texts`, from a file with a word and its numbers per line, plain or .gz.

        Raises GeneraError when lines have different counts of numbers, or the file has none of the words.
        """
        wanted = {word for text in texts for word in text.split()}
        rows: dict[str, int] = {}
        vectors: list[NDArray[np.float64]] = []
        size = None
        for where, line in read_lines(Path(path).expanduser()):
            word, *numbers = line.rstrip().split(" ")
            size = len(numbers) if size is None else size
            if len(numbers) != size or not numbers:
                raise GeneraError(f"{where} has {len(numbers)} numbers after the word; {size} were expected.")
            if word in wanted and word not in rows:
                try:
                    vectors.append(np.array(numbers, np.float64))
                except ValueError:
                    raise GeneraError(f"{where} is not a word vector; a word and its numbers were expected.") from None
                rows[word] = len(rows)
        if not rows:
            raise GeneraError(f"{path} has no vector for any of the words in the texts.")
        return cls(rows, np.stack(vectors))

    def table(self, words: Sequence[str]) -> NDArray[np.float64]:
        """(W, D) the vectors of words; zeros for unknown words."""
        table = np.zeros((len(words), self._vectors.shape[1]))
        known = [i for i, word in enumerate(words) if word in self._rows]
        table[known] = self._vectors[[self._rows[words[i]] for i in known]]
        return table

    def average(self, one: str, other: str) -> float:
        a, b = (self._vectors[self._known(text)] for text in (one, other))
        return _cosine(a.mean(0), b.mean(0)) if len(a) and len(b) else 0.0

    def extrema(self, one: str, other: str) -> float:
        a, b = (self._vectors[self._known(text)] for text in (one, other))
        return _cosine(_largest(a), _largest(b)) if len(a) and len(b) else 0.0

    def greedy(self, one: str, other: str) -> float:
        a, b = (self._units[self._known(text)] for text in (one, other))
        if not len(a) or not len(b):
            return 0.0
        cosines = a @ b.T
        return float(cosines.max(1).mean() + cosines.max(0).mean()) / 2

    def _known(self, text: str) -> Sequence[int]:
        return [self._rows[word] for word in text.split() if word in self._rows]


def _largest(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(words, D) → (D,): the value with the largest magnitude in each dimension."""
    return vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])]


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm else 0.0
