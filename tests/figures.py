"""Figures and findings as tests write them: `{"fid": 0.5, "SR/val_unseen": 0.6, "kid/a2b": 0.01}`."""

from collections.abc import Mapping
from typing import Any

from genera.evaluation.evaluator import diagnose
from genera.evaluation.registry import definition, evaluators
from genera.measures.schema import Figure, Figures, Finding

DIRECTIONS = ("a2b", "b2a")


def figures(values: Mapping[str, float], facts: Mapping[str, Any] | None = None, n: int = 1000) -> Figures:
    """Figures of n items each, by key."""
    return Figures([_figure(key, value, n) for key, value in values.items()], facts)


def findings(values: Mapping[str, float], facts: Mapping[str, Any] | None = None, n: int = 1000) -> list[Finding]:
    """What all rules of all evaluators say."""
    return diagnose(figures(values, facts, n), list(evaluators().values()))


def check_findings(values: Mapping[str, float], facts: Mapping[str, Any] | None = None, n: int = 1000) -> None:
    """Every finding has advice, and rests on these figures, which are defined."""
    for finding in findings(values, facts, n):
        assert finding.advice
        assert finding.evidence
        for key, value in finding.evidence.items():
            assert values[key] == value
            assert definition(key.split("/")[0]).title


def _figure(key: str, value: float, n: int) -> Figure:
    measure, *qualifiers = key.split("/")
    told: dict[str, Any] = {}
    for word in qualifiers:
        if word.startswith("K="):
            told["samples"] = int(word[2:])
        else:
            told["direction" if word in DIRECTIONS else "split"] = word
    return Figure(measure, value, None, n, **told)
