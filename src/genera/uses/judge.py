"""The classifier that judges guided items: how probable is the label that was asked for?

Logistic regression on TF-IDF or pixels, fitted to the labelled items that the guide never saw. It is stored beside the
guide.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genera.errors import GeneraError
from genera.files import read_json, write_json
from genera.measures.classifiers import PixelClassifier, TfidfClassifier, accuracy
from genera.uses.labelled import Labelled

CLASSIFIERS: dict[str, Any] = {"text": TfidfClassifier, "images": PixelClassifier}
"""kind of a data set → the classifier of its items"""
ABOUT, TENSORS = "judge.json", "judge.safetensors"


class Judge:
    def __init__(self, classifier: Any, right: float) -> None:
        self.classifier = classifier
        self.right = right
        """Share of real test items that it is right about."""

    @classmethod
    def fit(cls, data: Labelled, rows: NDArray[np.int64], kind: str) -> "Judge":
        """rows: of the training items; all of them where these have a single class."""
        if len(np.unique(data.train_classes[rows])) < 2:
            rows = np.arange(len(data.train))
        classifier = CLASSIFIERS[kind]([data.train[row] for row in rows])
        classifier.fit(np.arange(len(rows)), data.train_classes[rows])
        return cls(classifier, accuracy(classifier.predict(data.test), data.test_classes))

    def probability(self, items: Sequence[Any], label: int) -> NDArray[np.float64]:
        """(N,) probability of the class `label`; 0 for a class that it has not seen."""
        known = self.classifier.classes.tolist()
        if label not in known:
            return np.zeros(len(items))
        plain = [item if isinstance(item, str) else item.cpu() for item in items]
        return self.classifier.probabilities(plain)[:, known.index(label)]

    def save(self, folder: Path) -> None:
        arrays, words = self.classifier.state()
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / TENSORS)
        write_json(folder / ABOUT, {"right": self.right, "words": words})

    @classmethod
    def load(cls, folder: Path, kind: str) -> "Judge":
        """Raises GeneraError when its files are damaged."""
        try:
            about = read_json(folder / ABOUT)
            return cls(CLASSIFIERS[kind].from_state(load_file(folder / TENSORS), about["words"]), about["right"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            raise GeneraError(f"{folder / TENSORS} is damaged; delete {folder} to refit the guide.") from None
