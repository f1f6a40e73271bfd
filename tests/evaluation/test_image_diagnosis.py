"""Each rule in both directions."""

import pytest

from figures import check_findings, findings

HEALTHY = {
    "fid": 0.5, "fid_infinity": 0.4, "fid_of_data": 0.3, "kid": 0.001, "precision": 0.9, "recall": 0.85,
    "precision_of_data": 0.95, "recall_of_data": 0.95, "coverage": 0.9, "copies": 0.5, "copies_of_data": 0.48,
    "discriminator_gap": 1.2, "dictionary_usage": 0.8, "dictionary_perplexity": 40.0, "valid_images": 0.95,
    "factor_distance": 0.03, "rarest_value": 0.8,
}  # fmt: skip
COLLAPSED = HEALTHY | {"recall": 0.1, "fid": 20.0, "fid_infinity": 19.5, "factor_distance": 0.5, "rarest_value": 0.0}
UNTRAINED = HEALTHY | {"precision": 0.02, "recall": 0.01, "fid": 80.0, "fid_infinity": 79.0, "discriminator_gap": 0.0}
BROKEN = COLLAPSED | {"valid_images": 0.01}
WON = HEALTHY | {"discriminator_gap": 9.0, "fid": 30.0, "fid_infinity": 29.0}
DICTIONARY = HEALTHY | {"dictionary_usage": 0.03, "dictionary_perplexity": 1.9}
COPYING = HEALTHY | {"copies": 0.97, "fid": 0.2, "fid_infinity": 0.15}
NUMBERS = HEALTHY | {"fid": 0.9, "fid_infinity": 0.1, "fid_of_data": 0.85}
RUNS = {
    "healthy": HEALTHY, "collapsed": COLLAPSED, "untrained": UNTRAINED, "won": WON, "dictionary": DICTIONARY,
    "copying": COPYING, "numbers": NUMBERS, "broken": BROKEN,
}  # fmt: skip


def fired(values, words, facts=None, n=1000):
    return any(words in finding.finding for finding in findings(values, facts, n))


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("Little variety", {"collapsed"}),
        ("Neither good nor varied", {"untrained"}),
        ("Broken images: only 1%", {"broken"}),
        ("cannot tell", {"untrained"}),
        ("discriminator wins", {"won"}),
        ("dictionary has collapsed", {"dictionary"}),
        ("Memorisation", {"copying"}),
        ("dominated by the number of images", {"numbers"}),
        ("about as near to the training images", {"healthy", "dictionary", "copying", "numbers"}),
    ],
)
def test_each_rule_fires_on_the_runs_it_is_about_and_on_no_other(words, runs):
    assert {name for name, figures in RUNS.items() if fired(figures, words)} == runs


def shares(**generated):
    return {"factor_shares": {"colour": {name: {"generated": g, "data": 0.25} for name, g in generated.items()}}}


def test_dropped_values_are_named():
    even = shares(red=0.2, green=0.3, blue=0.25, grey=0.25)
    lost = shares(red=0.0, green=0.03, blue=0.5, grey=0.47)
    assert fired(HEALTHY, "No mode is dropped: all 4 values", even)
    finding = next(f for f in findings(COLLAPSED, lost) if "Mode dropping" in f.finding)
    assert finding.level == "warning"
    assert "2 of 4 values" in finding.finding
    assert "colour red (0% as often as in the data), colour green (12%" in finding.finding
    assert not fired(COLLAPSED, "Mode dropping", lost, n=30)  # too few images showed a value to say
    assert not fired(HEALTHY | {"valid_images": 0.2}, "No mode is dropped", even)


def test_advice_for_gans_is_for_gans_alone():
    lost = shares(red=0.0, blue=0.5)
    without = {name: value for name, value in COLLAPSED.items() if name != "discriminator_gap"}
    for values, spoken in ((COLLAPSED, True), (without, False)):
        advice = next(f.advice for f in findings(values, lost) if "Mode dropping" in f.finding)
        assert ("discriminator" in advice) is spoken


@pytest.mark.parametrize("values", RUNS.values(), ids=RUNS)
def test_findings_carry_their_figures(values):
    check_findings(values, shares(red=0.0, blue=1.0))


def test_rules_are_silent_without_their_figures():
    assert findings({"fid": 3.0, "recall": 0.1, "copies": 1.0}) == []
    assert findings({"fid": 92.0, "fid_of_data": 113.0}) == []  # of so few images that there is no limit
