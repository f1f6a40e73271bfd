"""Each rule in both directions."""

import pytest

from figures import check_findings, findings

TRUE = {
    "kid/a2b": 0.01, "kid_of_source/a2b": 0.9, "translation_valid/a2b": 0.97, "translation_shape/a2b": 0.95,
    "translation_colour/a2b": 0.9, "translation_error/a2b": 0.01, "untranslated_error/a2b": 0.6,
}  # fmt: skip
NOTHING = TRUE | {"kid/a2b": 0.9, "translation_valid/a2b": 0.0, "translation_shape/a2b": 0.0}
BROKEN = TRUE | {"kid/a2b": 0.5, "translation_valid/a2b": 0.1, "translation_shape/a2b": 0.05}
OTHERS = TRUE | {"translation_shape/a2b": 0.2}
RUNS = {"true": TRUE, "nothing": NOTHING, "broken": BROKEN, "others": OTHERS}


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("A to B: translations are no nearer to the target domain", {"nothing"}),
        ("of the translations are images of the target domain", {"nothing", "broken"}),
        ("A to B: translations lose the content: only 20%", {"others"}),
        ("A to B: translations are the true ones", {"true"}),
        ("B to A", set()),
    ],
)
def test_each_rule_fires_on_the_runs_it_is_about_and_on_no_other(words, runs):
    assert {name for name, values in RUNS.items() if any(words in f.finding for f in findings(values))} == runs


def test_each_direction_is_judged_by_itself():
    other = {key.replace("a2b", "b2a"): value for key, value in NOTHING.items()}
    said = [finding.finding for finding in findings(TRUE | other)]
    assert any(text.startswith("A to B: translations are the true ones") for text in said)
    assert any(text.startswith("B to A: translations are no nearer") for text in said)


@pytest.mark.parametrize("values", RUNS.values(), ids=RUNS)
def test_findings_carry_their_figures(values):
    check_findings(values)
