"""A verdict needs evidence: figures against a baseline and real data, on enough items."""

from dataclasses import replace

import pytest

from genera.evaluation.evaluator import Evaluator, diagnose
from genera.evaluation.verdict import Check, Use, verdict
from genera.measures.schema import Figure, Figures, Finding

QUALITY = Check(
    measure="fid",
    question="quality",
    worst="fid_untrained",
    best="fid_of_data",
    worst_is="untrained",
    best_is="held-out images",
    scale="log",
)
VARIETY = Check(
    measure="recall", question="variety", worst=0.0, best="recall_of_data", worst_is="none", best_is="held-out images"
)
USE = Use(
    name="samples",
    checks=(QUALITY, VARIETY),
    questions=("quality", "variety"),
    advice={"good": "g", "fair": "f", "poor": "p", "unknown": "u"},
    names={"fid": "FID"},
)
GOOD = {"fid": 5.0, "fid_untrained": 400.0, "fid_of_data": 4.0, "recall": 0.6, "recall_of_data": 0.65}


def judged(values: dict[str, float], n: int = 1000) -> list[Finding]:
    return list(verdict(USE)(Figures(Figure(key, value, None, n) for key, value in values.items())))


def level(values: dict[str, float], n: int = 1000) -> str:
    (finding,) = judged(values, n)
    return finding.level


def test_good_needs_every_question_answered_well() -> None:
    assert level(GOOD) == "good"
    assert level({key: value for key, value in GOOD.items() if key != "recall"}) == "note"


def test_one_poor_check_makes_the_verdict_poor() -> None:
    (finding,) = judged(GOOD | {"recall": 0.05})
    assert finding.level == "warning"
    assert "recall 0.05 (none: 0, held-out images: 0.65)" in finding.finding
    assert level(GOOD | {"fid": 120.0}) == "warning"


def test_between_is_fair() -> None:
    assert level(GOOD | {"fid": 30.0}) == "note"


def test_few_items_say_nothing() -> None:
    (finding,) = judged(GOOD, n=7)
    assert finding.level == "note"
    assert "unknown" in finding.finding
    assert "7" in finding.finding


@pytest.mark.parametrize("missing", ["fid_untrained", "fid_of_data"])
def test_a_figure_without_its_reference_is_no_evidence(missing: str) -> None:
    (finding,) = judged({key: value for key, value in GOOD.items() if key != missing})
    assert finding.level == "note"
    assert "Not known: quality" in finding.finding


def test_nothing_measured_says_nothing() -> None:
    assert judged({}) == []


def test_references_on_few_items_do_not_stand_for_a_measure_that_was_not_taken() -> None:
    assert judged({"fid_of_data": 4.0, "recall_of_data": 0.65}, n=7) == []


def test_a_use_with_a_warning_is_not_called_good() -> None:
    def other(figures: Figures) -> list[Finding]:
        return [Finding("warning", "copies", {}, "", "samples")]

    figures = Figures(Figure(key, value, None, 1000) for key, value in GOOD.items())
    evaluator = Evaluator(
        name="e", question="", measure=lambda e, o: None, measures=(), rules=(verdict(USE), lambda f: iter(other(f)))
    )
    assert [finding.finding for finding in diagnose(figures, [evaluator])] == ["copies"]


def test_the_best_of_several_baselines_counts() -> None:
    check = Check(
        measure="bleu", question="q", worst="unrelated", best=100.0, worst_is="unrelated", best_is="perfect",
        also=(("untrained", "bleu_untrained"),),
    )  # fmt: skip
    figures = Figures(Figure(key, value, None, 500) for key, value in {"bleu": 60.0, "unrelated": 0.0}.items())
    assert check.position(figures) == pytest.approx(0.6)
    more = Figures([*figures.figures, Figure("bleu_untrained", 50.0, None, 500)])
    assert check.position(more) == pytest.approx(0.2)
    assert check.words(more, {}) == "bleu 60 (unrelated: 0, untrained: 50, perfect: 100)"


def test_references_that_hardly_differ_tell_nothing() -> None:
    check = Check(measure="a", question="q", worst=0.0, best="b", worst_is="w", best_is="b", span=0.1)
    assert check.position(Figures([Figure("a", 0.0, None, 500), Figure("b", 0.05, None, 500)])) is None


def test_a_use_that_the_model_has_is_never_passed_over() -> None:
    use = replace(USE, implied_by=("kl",), advice=USE.advice | {"unknown": lambda figures: f"at {figures['kl']}"})
    (finding,) = verdict(use)(Figures([Figure("kl", 3.5, None, 500)]))
    assert finding == Finding(
        "note",
        "Whether samples are good is unknown. Not known: quality, variety.",
        {"kl": 3.5},
        "at 3.5",
        "samples",
        "unknown",
    )
