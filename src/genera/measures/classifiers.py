"""Linear classifiers of features, texts and pixels, and how good they are. Imports no torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, matthews_corrcoef

from genera.data.text.pairs import PAIR, halves

Classes = NDArray[np.int64]  # (N,)


def logistic_regression(strength: float = 1.0) -> LogisticRegression:
    """Multinomial, minimising the sum of cross-entropies + |w|² / (2 strength)."""
    return LogisticRegression(C=strength, max_iter=1000)


class TfidfClassifier:
    """TF-IDF of words and bigrams with logistic regression: a baseline that uses only words.

    Words and weights are fitted on `texts` without labels, just as a pre-trained encoder uses unlabelled texts. For
    sentence pairs with TF-IDF vectors u and v, the features are (u v, |u - v|).
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
        self._pairs = any(PAIR in text for text in texts)
        self._vectoriser.fit(texts)
        self._rows = self._weighed(texts)
        self._model = logistic_regression(strength=10.0)  # strength 1 regularises unit-length rows too much

    def fit(self, rows: NDArray[np.int64], classes: Classes) -> "TfidfClassifier":
        """Fit on these rows of the texts and their classes."""
        self._model.fit(self._rows[rows], classes)
        return self

    def predict(self, texts: Sequence[str]) -> Classes:
        return self._model.predict(self._weighed(texts))

    def _weighed(self, texts: Sequence[str]) -> csr_matrix:
        if not self._pairs:
            return self._vectoriser.transform(texts)
        u, v = (self._vectoriser.transform(side) for side in zip(*map(halves, texts), strict=True))
        return hstack([u.multiply(v), abs(u - v)]).tocsr()

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(N, classes), classes in ascending order."""
        return self._model.predict_proba(self._vectoriser.transform(texts))


class PixelClassifier:
    """Standardised pixels + logistic regression: what the colours alone tell, place by place. Items are (C, S, S)."""

    def __init__(self, images: Sequence[Any]) -> None:
        rows = self._flat(images)
        self._mean, self._spread = rows.mean(0), rows.std(0) + 1e-8
        self._rows = (rows - self._mean) / self._spread
        self._model = logistic_regression(strength=0.01)  # many more values than a small class has items

    def fit(self, rows: NDArray[np.int64], classes: Classes) -> "PixelClassifier":
        """Learn from these rows of the images and their classes."""
        self._model.fit(self._rows[rows], classes)
        return self

    def predict(self, images: Sequence[Any]) -> Classes:
        return self._model.predict((self._flat(images) - self._mean) / self._spread)

    def _flat(self, images: Sequence[Any]) -> NDArray[np.float64]:
        return np.stack([np.asarray(image, np.float64).ravel() for image in images])


def accuracy(predicted: Classes, classes: Classes) -> float:
    """Share of correct predictions, 0..1."""
    return float((predicted == classes).mean())


def f1(predicted: Classes, classes: Classes) -> float:
    """Harmonic mean of precision and recall of class 1 in binary classification; 0..1, 0 if it is never predicted."""
    return float(f1_score(classes, predicted, zero_division=0.0))


def matthews(predicted: Classes, classes: Classes) -> float:
    """Matthews correlation, -1..1; 0 for any prediction that ignores the item, also for unbalanced classes."""
    return float(matthews_corrcoef(classes, predicted))
