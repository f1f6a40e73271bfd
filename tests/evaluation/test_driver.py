"""The driver of evaluations: which evaluators run, what is kept where, and what is said when nothing fits."""

from dataclasses import dataclass

import pytest

from genera.engine.capabilities import Navigates, Samples
from genera.errors import GeneraError, Lacks
from genera.evaluation import registry
from genera.evaluation.blocks import Examples, Line
from genera.evaluation.evaluate import evaluate
from genera.evaluation.evaluator import Evaluator, Options, require
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.storage import chosen, stored_in
from genera.measures.schema import Definition, Estimate, Finding


@dataclass(frozen=True, kw_only=True)
class LengthOptions(Options):
    """How long samples are."""

    samples: int = 5
    """Samples drawn."""


def measure_lengths(evaluation, options):
    texts = evaluation.run.sample(options.samples, seed=evaluation.seed)
    words = sum(len(text.split()) for text in texts) / len(texts)
    evaluation.record("words", Estimate(words, None, len(texts)))
    evaluation.show(Examples(section="Samples", cards=[[Line(text=text)] for text in texts]))


def long(figures):
    if figures.get("words", 0) > 0.1:
        yield Finding("note", "It uses words.", {"words": figures["words"]}, "Read them.")


LENGTH = Evaluator(
    name="length", question="How long are samples?", measure=measure_lengths, needs=(Samples,), items=("text",),
    measures=(Definition("words", "Words", "words", "neither", "Words of a sample."),), options=LengthOptions,
    rules=(long,),
)  # fmt: skip
WALK = Evaluator(name="walk", question="Does it walk?", measure=measure_lengths, needs=(Navigates,), measures=())


def without_part(evaluation, options):
    require(False, "the data has no labels")


PICKY = Evaluator(name="picky", question="Labels?", measure=without_part, needs=(Samples,), measures=())


@pytest.fixture
def known(monkeypatch):
    """known(a, b) → these are all evaluators that there are."""

    def only(*evaluators):
        named = {e.name: e for e in evaluators}
        for module in ("registry", "evaluate", "storage"):
            monkeypatch.setattr(f"genera.evaluation.{module}.evaluators", lambda: named)
        registry.definitions.cache_clear()

    yield only
    registry.definitions.cache_clear()


def test_what_fits_runs_and_what_was_found_is_kept(known, copied):
    known(LENGTH, WALK, PICKY)
    run = copied()
    stored = evaluate(run)
    assert set(stored.results) == {"length"}
    assert stored.values["words"] > 0
    assert stored == chosen(run.folder.path)
    assert [finding["finding"] for finding in stored.diagnosis] == ["It uses words."]
    assert stored.blocks[0]["kind"] == "examples"
    assert stored.name == "world-captions-small.test.step-100"


def test_a_second_evaluation_adds(known, copied):
    known(LENGTH)
    run = copied()
    evaluate(run)
    evaluate(run, length={"samples": 2})
    evaluate(run, EvaluateConfig(split="valid"))
    evaluate(run)
    every = stored_in(run.folder.path)
    assert sorted((s.split, str(s.settings)) for s in every) == [
        ("test", "{'length': {'samples': 2}}"), ("test", "{}"), ("valid", "{}"),
    ]  # fmt: skip
    assert chosen(run.folder.path).settings == {}
    assert "length (samples 2)" in next(s.title for s in every if s.settings)


def test_evaluators_are_added_to_the_same_evaluation(known, copied):
    other = Evaluator(
        name="other", question="?", measure=lambda evaluation, _: evaluation.record("one", Estimate(1.0, None, 1)),
        measures=(Definition("one", "One", "", "neither", "1."),),
    )  # fmt: skip
    known(LENGTH, other)
    run = copied()
    evaluate(run, measures=("length",))
    stored = evaluate(run, measures=("other",))
    assert list(stored.results) == ["length", "other"]
    assert set(stored.values) == {"words", "one"}


@pytest.mark.parametrize(
    ("evaluators", "message"),
    [
        ([WALK], "no evaluator can measure optimus on text items: walk: needs Navigates"),
        ([PICKY], "no evaluator can measure optimus on text items: picky: the data has no labels"),
    ],
)
def test_nothing_that_fits_is_an_error(known, copied, evaluators, message):
    known(*evaluators)
    run = copied()
    with pytest.raises(GeneraError, match=message):
        evaluate(run)
    assert not (run.folder.path / "evaluations").exists()


def test_what_was_asked_for_and_does_not_fit_is_an_error(known, copied):
    known(LENGTH, WALK, PICKY)
    run = copied()
    with pytest.raises(GeneraError, match="cannot be measured by 'walk', which needs Navigates"):
        evaluate(run, measures=("walk",))
    with pytest.raises(GeneraError, match="cannot be measured by 'picky': the data has no labels"):
        evaluate(run, measures=("picky",))
    with pytest.raises(GeneraError, match="unknown field in length 'sampels'; did you mean samples"):
        evaluate(run, length={"sampels": 3})
    with pytest.raises(GeneraError, match=r"--length\.samples must be at least 1, got 0"):
        evaluate(run, length={"samples": 0})
    with pytest.raises(GeneraError, match="options of length are given, but --measures excludes it"):
        evaluate(run, measures=("picky",), length={"samples": 3})


def test_an_evaluator_records_what_it_defines(known, copied):
    stray = Evaluator(
        name="stray", question="?", measure=lambda evaluation, _: evaluation.record("x", Estimate(1.0, None, 1)),
        measures=(),
    )  # fmt: skip
    known(stray)
    with pytest.raises(KeyError, match="records 'x' but does not define it"):
        evaluate(copied())


def test_lacks_is_a_genera_error():
    with pytest.raises(Lacks):
        require(None, "nothing")
