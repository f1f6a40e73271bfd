"""Each rule in both directions."""

import pytest

from figures import check_findings, findings

HEALTHY = {
    "fid": 0.5, "fid_infinity": 0.4, "fid_of_data": 0.3, "fid_equal": 0.5, "fid_noise": 300.0, "fid_mean_image": 90.0,
    "kid": 0.001, "precision": 0.9, "recall": 0.85, "precision_of_data": 0.95, "recall_of_data": 0.95,
    "coverage": 0.9, "coverage_of_data": 0.97, "copies": 0.5, "copies_of_data": 0.48, "discriminator_gap": 1.2,
    "dictionary_usage": 0.8, "dictionary_perplexity": 40.0, "valid_images": 0.95, "factor_distance": 0.03,
    "rarest_value": 0.8,
}  # fmt: skip
COLLAPSED = HEALTHY | {
    "recall": 0.1,
    "fid": 20.0,
    "fid_infinity": 19.5,
    "fid_equal": 20.0,
    "factor_distance": 0.5,
    "rarest_value": 0.0,
}
UNTRAINED = HEALTHY | {
    "precision": 0.02,
    "recall": 0.01,
    "fid": 80.0,
    "fid_infinity": 79.0,
    "fid_equal": 80.0,
    "discriminator_gap": 0.0,
}
BROKEN = COLLAPSED | {"valid_images": 0.01}
WON = HEALTHY | {"discriminator_gap": 9.0, "fid": 30.0, "fid_infinity": 29.0, "fid_equal": 30.0}
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
        ("Generated images are good", {"healthy", "dictionary", "numbers"}),
        ("Generated images are poor: FID 80", {"untrained"}),
        ("valid images 1 %", {"broken"}),
        ("recall 10 % (none: 0 %, real images: 95 %)", {"collapsed", "broken"}),
        ("near copies of training images 97 %", {"copying"}),
        ("cannot tell", {"untrained"}),
        ("discriminator wins", {"won"}),
        ("dictionary has collapsed", {"dictionary"}),
        ("dominated by the number of images", {"numbers"}),
    ],
)
def test_each_rule_fires_on_the_runs_it_is_about_and_on_no_other(words, runs):
    assert {name for name, figures in RUNS.items() if fired(figures, words)} == runs


def shares(**generated):
    return {"factor_shares": {"colour": {name: {"generated": g, "data": 0.25} for name, g in generated.items()}}}


def test_dropped_values_are_named():
    even = shares(red=0.2, green=0.3, blue=0.25, grey=0.25)
    lost = shares(red=0.0, green=0.03, blue=0.5, grey=0.47)
    assert not fired(HEALTHY, "Mode dropping", even)
    assert not fired(HEALTHY, "Generated images are good", lost)
    finding = next(f for f in findings(COLLAPSED, lost) if "Mode dropping" in f.finding)
    assert finding.level == "warning"
    assert "2 of 4 values" in finding.finding
    assert "colour red (0% as often as in the data), colour green (12%" in finding.finding
    assert not fired(COLLAPSED, "Mode dropping", lost, n=30)  # too few images showed a value to say


def test_advice_for_gans_is_for_gans_alone():
    lost = shares(red=0.0, blue=0.5)
    without = {name: value for name, value in COLLAPSED.items() if name != "discriminator_gap"}
    for values, spoken in ((COLLAPSED, True), (without, False)):
        advice = next(f.advice for f in findings(values, lost) if "Mode dropping" in f.finding)
        assert ("discriminator" in advice) is spoken


@pytest.mark.parametrize("values", RUNS.values(), ids=RUNS)
def test_findings_carry_their_figures(values):
    check_findings(values, shares(red=0.0, blue=1.0))


def verdict(values, n=1000):
    return next(f for f in findings(values, None, n) if f.use == "generated images")


def test_good_rests_on_quality_variety_and_novelty():
    assert verdict(HEALTHY).level == "good"
    for missing in ("fid_noise", "recall_of_data", "copies_of_data"):
        without = {key: value for key, value in HEALTHY.items() if key != missing}
        assert verdict(without).level in ("good", "note")
    assert "Not known: novelty" in verdict({k: v for k, v in HEALTHY.items() if k != "copies_of_data"}).finding
    few = verdict(HEALTHY, n=7)
    assert few.level == "note"
    assert "too few items: FID rests on 7" in few.finding


def test_near_but_of_few_kinds_is_advised_as_such():
    assert "few kinds" in verdict(HEALTHY | {"recall": 0.1}).advice
    assert "few kinds" not in verdict(COLLAPSED | {"fid_equal": 40.0}).advice  # shapeless, too


def test_labels_are_judged_apart():
    known = HEALTHY | {"class_accuracy_ignored": 0.1, "class_accuracy_of_data": 0.9}
    levels = {
        accuracy: {f.use: f.level for f in findings(known | {"class_accuracy": accuracy})}
        for accuracy in (0.12, 0.6, 0.88)
    }
    assert {accuracy: uses["class labels"] for accuracy, uses in levels.items()} == {
        0.12: "warning", 0.6: "note", 0.88: "good",
    }  # fmt: skip
    assert {uses["generated images"] for uses in levels.values()} == {"good"}


def test_rules_are_silent_without_their_figures():
    assert findings({"fid": 3.0}) == []
    assert findings({"fid": 92.0, "fid_of_data": 113.0}) == []
