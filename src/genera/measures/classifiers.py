"""Linear classifiers of features, texts and pixels, and how good they are. Imports no torch."""

from collections.abc import Mapping, Sequence
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
        self._vectoriser = _vectoriser()
        self._pairs = any(PAIR in text for text in texts)
        self._vectoriser.fit(texts)
        self._rows = self._weighed(texts)
        self._model = logistic_regression(strength=10.0)  # strength 1 regularises unit-length rows too much

    def fit(self, rows: NDArray[np.int64], classes: Classes) -> "TfidfClassifier":
        """Fit on these rows of the texts and their classes."""
        self._model.fit(self._rows[rows], classes)
        return self

    @property
    def classes(self) -> Classes:
        """The classes that it has seen, in ascending order."""
        return self._model.classes_

    def predict(self, texts: Sequence[str]) -> Classes:
        return self._model.predict(self._weighed(texts))

    def _weighed(self, texts: Sequence[str]) -> csr_matrix:
        if not self._pairs:
            return self._vectoriser.transform(texts)
        u, v = (self._vectoriser.transform(side) for side in zip(*map(halves, texts), strict=True))
        return hstack([u.multiply(v), abs(u - v)]).tocsr()

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(N, classes), classes in ascending order."""
        return self._model.predict_proba(self._weighed(texts))

    def state(self) -> tuple[dict[str, NDArray[Any]], list[str]]:
        """Arrays and words from which `from_state` restores the fitted classifier."""
        arrays = {"idf": self._vectoriser.idf_, "pairs": np.array([self._pairs]), **_weights(self._model)}
        return arrays, self._vectoriser.get_feature_names_out().tolist()

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], words: Sequence[str]) -> "TfidfClassifier":
        classifier = cls.__new__(cls)
        classifier._vectoriser = _vectoriser({word: number for number, word in enumerate(words)})
        classifier._vectoriser.idf_ = arrays["idf"]
        classifier._pairs = bool(arrays["pairs"][0])
        classifier._model = _restored(arrays)
        return classifier


def _vectoriser(vocabulary: Mapping[str, int] | None = None) -> TfidfVectorizer:
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+", vocabulary=vocabulary)


def _weights(model: LogisticRegression) -> dict[str, NDArray[Any]]:
    return {"coef": model.coef_, "intercept": model.intercept_, "classes": model.classes_}


def _restored(arrays: Mapping[str, NDArray[Any]]) -> LogisticRegression:
    model = logistic_regression()
    model.coef_, model.intercept_, model.classes_ = (arrays[name] for name in ("coef", "intercept", "classes"))
    return model


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

    @property
    def classes(self) -> Classes:
        """The classes that it has seen, in ascending order."""
        return self._model.classes_

    def predict(self, images: Sequence[Any]) -> Classes:
        return self._model.predict((self._flat(images) - self._mean) / self._spread)

    def probabilities(self, images: Sequence[Any]) -> NDArray[np.float64]:
        """(N, classes), classes in ascending order."""
        return self._model.predict_proba((self._flat(images) - self._mean) / self._spread)

    def state(self) -> tuple[dict[str, NDArray[Any]], list[str]]:
        """Arrays, and no words, from which `from_state` restores the fitted classifier."""
        return {"mean": self._mean, "spread": self._spread, **_weights(self._model)}, []

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], words: Sequence[str]) -> "PixelClassifier":
        classifier = cls.__new__(cls)
        classifier._mean, classifier._spread = arrays["mean"], arrays["spread"]
        classifier._model = _restored(arrays)
        return classifier

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
