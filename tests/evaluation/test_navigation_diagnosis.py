"""Each rule in both directions."""

import pytest

from figures import check_findings, findings

HEALTHY = {
    "SR/val_seen": 0.6, "SR/val_unseen": 0.55, "SR_gap": 0.05, "SR_random/val_seen": 0.15, "SR_random/val_unseen": 0.15,
    "SR_shuffled/val_seen": 0.2, "SR_shuffled/val_unseen": 0.2, "stopped_early/val_seen": 0.1,
    "stopped_early/val_unseen": 0.1, "passed_by/val_seen": 0.05, "passed_by/val_unseen": 0.05,
    "revisits/val_seen": 0.1, "revisits/val_unseen": 0.1, "action_accuracy/val_seen": 0.6,
    "action_majority/val_seen": 0.5,
}  # fmt: skip


def said(**changes):
    changed = {key.replace("_in_", "/val_"): value for key, value in changes.items()}
    return [(finding.level, finding.finding) for finding in findings(HEALTHY | changed)]


def test_a_healthy_agent_gets_no_warning():
    levels, texts = zip(*said(), strict=True)
    assert set(levels) == {"good"}
    assert any("needs its instruction: its success rate falls from 55.0% to 20.0%" in text for text in texts)
    assert any("learnt to predict actions: 60.0%" in text for text in texts)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SR_in_unseen": 0.16}, "no better than chance: its success rate is 16.0%, that of a random agent 15.0%"),
        ({"SR_shuffled_in_unseen": 0.5}, "ignores the instruction"),
        ({"stopped_early_in_unseen": 0.3}, "stops too early: 30.0%"),
        ({"passed_by_in_unseen": 0.2}, "stops too late: in 20.0%"),
        ({"revisits_in_unseen": 0.4}, "walks in loops: 40.0%"),
        ({"action_accuracy_in_seen": 0.5}, "Pre-training has not learnt to predict actions"),
    ],
)
def test_each_failure_is_named(changes, words):
    warnings = [text for level, text in said(**changes) if level == "warning"]
    assert len(warnings) == 1
    assert words in warnings[0]


def test_a_gap_is_a_note():
    assert any(level == "note" and "20.0% less in unseen" in text for level, text in said(SR_gap=0.2))


def test_unseen_houses_decide_where_they_were_measured():
    assert not any(level == "warning" for level, _ in said(stopped_early_in_seen=0.3))


def test_seen_houses_decide_where_no_others_were_measured():
    seen = {key: value for key, value in HEALTHY.items() if key.endswith("val_seen")}
    warnings = [f.finding for f in findings(seen | {"stopped_early/val_seen": 0.3}) if f.level == "warning"]
    assert len(warnings) == 1
    assert "stops too early: 30.0%" in warnings[0]


def test_nothing_is_said_of_what_was_not_measured():
    assert findings({"SR/val_seen": 0.5}) == []


def test_chance_leaves_nothing_to_say_of_the_instruction():
    texts = [text for _, text in said(SR_in_unseen=0.15, SR_shuffled_in_unseen=0.15)]
    assert not any("instruction" in text for text in texts)


@pytest.mark.parametrize(
    "changes",
    [{}, {"SR/val_unseen": 0.15}, {"revisits/val_unseen": 0.9}, {"passed_by/val_unseen": 0.4}, {"SR_gap": 0.4}],
)
def test_findings_carry_their_figures(changes):
    check_findings(HEALTHY | changes)
