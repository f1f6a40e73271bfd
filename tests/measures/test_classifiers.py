import numpy as np
import pytest

from genera.measures.classifiers import TfidfClassifier, accuracy, f1, logistic_regression, matthews
from genera.worlds import load


def test_tfidf_learns_a_word_and_not_a_coin():
    texts = load("captions-small").sentences(600, seed=1)
    dogs = np.array(["kite" in text for text in texts], np.int64)
    coin = np.random.default_rng(0).integers(0, 2, 600)
    learnt, rows = TfidfClassifier(texts), np.arange(400)
    assert accuracy(learnt.fit(rows, dogs[:400]).predict(texts[400:]), dogs[400:]) > 0.97
    assert abs(accuracy(learnt.fit(rows, coin[:400]).predict(texts[400:]), coin[400:]) - 0.5) < 0.15


def test_f1_is_of_class_1():
    classes = np.array([1, 1, 1, 0, 0])
    assert f1(np.array([1, 0, 0, 1, 0]), classes) == pytest.approx(2 / 5)  # precision 1/2, recall 1/3
    assert f1(np.zeros(5, np.int64), classes) == 0


def test_matthews_gives_nothing_for_the_commonest_class():
    classes = np.array([0] * 90 + [1] * 10)
    always = np.zeros(100, np.int64)
    assert accuracy(always, classes) == 0.9
    assert matthews(always, classes) == 0
    assert matthews(classes, classes) == pytest.approx(1)
    assert matthews(1 - classes, classes) == pytest.approx(-1)


def test_the_regression_is_at_its_optimum():
    """At the optimum the gradient of the penalised likelihood vanishes: sum (p - y) x + w = 0."""
    random = np.random.default_rng(0)
    x = random.standard_normal((200, 5))
    y = (x[:, 0] + random.standard_normal(200) > 0).astype(np.int64)
    model = logistic_regression().fit(x, y)
    gradient = (model.predict_proba(x)[:, 1] - y) @ x + model.coef_[0]
    assert np.abs(gradient).max() < 0.05
