"""Each rule in both directions."""

import pytest

from figures import check_findings, findings

HEALTHY = {
    "SR/val_seen": 0.8, "SR/val_unseen": 0.75, "SR_gap": 0.05, "SR_random/val_seen": 0.15, "SR_random/val_unseen": 0.15,
    "SR_stop/val_seen": 0.02, "SR_stop/val_unseen": 0.02, "SR_shortest/val_seen": 1.0, "SR_shortest/val_unseen": 1.0,
    "SR_shuffled/val_seen": 0.2, "SR_shuffled/val_unseen": 0.2, "stopped_early/val_seen": 0.1,
    "stopped_early/val_unseen": 0.1, "passed_by/val_seen": 0.05, "passed_by/val_unseen": 0.05,
    "revisits/val_seen": 0.1, "revisits/val_unseen": 0.1, "action_accuracy/val_seen": 0.9,
    "action_majority/val_seen": 0.5, "masked_words_right/val_seen": 0.7, "masked_words_majority/val_seen": 0.1,
}  # fmt: skip


def said(**changes):
    changed = {key.replace("_in_", "/val_"): value for key, value in changes.items()}
    return [(finding.level, finding.finding) for finding in findings(HEALTHY | changed)]


def test_a_healthy_agent_gets_no_warning():
    levels, texts = zip(*said(), strict=True)
    assert set(levels) == {"good"}
    assert any("Rollouts in unseen houses are good: success rate 75 % (random agent: 15 %" in text for text in texts)
    assert any("Predictions of pre-training in seen houses are good: actions predicted 90 %" in text for text in texts)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SR_in_unseen": 0.16}, "success rate 16 % (random agent: 15 %, stopping at once: 2 %, shortest path: 100 %)"),
        ({"SR_shuffled_in_unseen": 0.7}, "success rate with another episode's instruction 70 % (with its own inst"),
        ({"stopped_early_in_unseen": 0.3}, "stops too early: 30.0%"),
        ({"passed_by_in_unseen": 0.2}, "stops too late: in 20.0%"),
        ({"revisits_in_unseen": 0.4}, "walks in loops: 40.0%"),
        ({"action_accuracy_in_seen": 0.5}, "actions predicted 50 % (the most frequent action: 50 %, all: 100 %)"),
    ],
)
def test_each_failure_is_named(changes, words):
    warnings = [text for level, text in said(**changes) if level == "warning"]
    assert len(warnings) == 1
    assert words in warnings[0]


def test_between_the_random_agent_and_the_shortest_path_is_fair():
    fair = said(SR_in_unseen=0.5)
    assert any(
        level == "note" and "Rollouts in unseen houses are fair: success rate 50 %" in text for level, text in fair
    )
    assert any(level == "good" and "in seen houses" in text for level, text in fair)


def test_a_warning_about_a_use_takes_its_praise_away():
    texts = [text for level, text in said(revisits_in_unseen=0.4) if level == "good"]
    assert not any("Rollouts in unseen houses" in text for text in texts)
    assert any("Rollouts in seen houses" in text for text in texts)


def test_a_few_episodes_say_nothing():
    levels = {(finding.use, finding.level) for finding in findings(HEALTHY, n=60)}
    assert ("rollouts in unseen houses", "note") in levels
    assert "good" not in {level for use, level in levels if use.startswith("rollouts")}


def test_a_gap_is_a_note():
    advice = next(f.advice for f in findings(HEALTHY | {"SR_gap": 0.2}) if "less in unseen" in f.finding)
    assert "no way of pre-training measured so far narrows the gap" in advice
    assert any(level == "note" and "20.0% less in unseen" in text for level, text in said(SR_gap=0.2))


def test_unseen_houses_decide_where_they_were_measured():
    assert not any(level == "warning" for level, _ in said(stopped_early_in_seen=0.3))


def test_seen_houses_decide_where_no_others_were_measured():
    seen = {key: value for key, value in HEALTHY.items() if key.endswith("val_seen")}
    warnings = [f.finding for f in findings(seen | {"stopped_early/val_seen": 0.3}) if f.level == "warning"]
    assert len(warnings) == 1
    assert "stops too early: 30.0%" in warnings[0]


def test_nothing_is_said_of_what_was_not_measured():
    assert findings({"NE/val_seen": 5.0}) == []


def test_chance_leaves_nothing_to_say_of_the_instruction():
    texts = [text for _, text in said(SR_in_unseen=0.15, SR_shuffled_in_unseen=0.15) if "unseen" in text]
    assert not any("instruction" in text for text in texts)


@pytest.mark.parametrize(
    "changes",
    [{}, {"SR/val_unseen": 0.15}, {"revisits/val_unseen": 0.9}, {"passed_by/val_unseen": 0.4}, {"SR_gap": 0.4}],
)
def test_findings_carry_their_figures(changes):
    check_findings(HEALTHY | changes)
