"""Each rule in both directions."""

import pytest

from genera.measures.catalogue import definition
from genera.measures.diagnosis import diagnose

TRUE = {
    "kid_a2b": 0.01, "kid_of_source_a2b": 0.9, "translation_valid_a2b": 0.97, "translation_shape_a2b": 0.95,
    "translation_colour_a2b": 0.9, "translation_error_a2b": 0.01, "untranslated_error_a2b": 0.6,
}  # fmt: skip
NOTHING = TRUE | {"kid_a2b": 0.9, "translation_valid_a2b": 0.0, "translation_shape_a2b": 0.0}
BROKEN = TRUE | {"kid_a2b": 0.5, "translation_valid_a2b": 0.1, "translation_shape_a2b": 0.05}
OTHERS = TRUE | {"translation_shape_a2b": 0.2}
RUNS = {"true": TRUE, "nothing": NOTHING, "broken": BROKEN, "others": OTHERS}


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("A to B, translations are no nearer to the target domain", {"nothing"}),
        ("of the translations are images of the target domain", {"nothing", "broken"}),
        ("A to B, the content is lost: 20%", {"others"}),
        ("A to B, the translation is the true one", {"true"}),
        ("B to A", set()),
    ],
)
def test_each_rule_fires_on_the_runs_it_is_about_and_on_no_other(words, runs):
    assert {name for name, figures in RUNS.items() if any(words in f.finding for f in diagnose(figures))} == runs


@pytest.mark.parametrize("figures", RUNS.values(), ids=RUNS)
def test_findings_carry_their_figures(figures):
    for finding in diagnose(figures):
        assert finding.advice
        assert finding.evidence
        assert all(figures[name] == value and definition(name) for name, value in finding.evidence.items())
