"""A guide that ignores its label is called poor, one whose labels are real ones good."""

import pytest

from genera.evaluation.guide_uses import judge
from genera.measures.schema import Estimate


def grade(n: int = 200, **values: float) -> str:
    (finding,) = judge({name: Estimate(value, None, n) for name, value in values.items()}, 0.5)
    return finding["grade"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"oracle_accuracy": 0.51, "oracle_own_accuracy": 0.94}, "poor"),  # label ignored
        ({"oracle_accuracy": 0.06, "oracle_own_accuracy": 0.94}, "poor"),  # the other label
        ({"oracle_accuracy": 0.72, "oracle_own_accuracy": 0.94}, "fair"),
        ({"oracle_accuracy": 0.93, "oracle_own_accuracy": 0.94}, "good"),
        # a classifier is fooled, the world is not
        ({"oracle_accuracy": 0.97, "oracle_own_accuracy": 0.99, "true_factor_accuracy": 0.55}, "poor"),
        ({"oracle_accuracy": 0.97, "oracle_own_accuracy": 0.99, "grammatical_guided": 0.1}, "poor"),
        # a classifier that cannot tell real items apart judges nothing
        ({"oracle_accuracy": 0.52, "oracle_own_accuracy": 0.53}, "unknown"),
    ],
)
def test_grades(values: dict[str, float], expected: str) -> None:
    assert grade(**values) == expected


def test_few_items_are_unknown() -> None:
    assert grade(20, oracle_accuracy=0.95, oracle_own_accuracy=0.95) == "unknown"
