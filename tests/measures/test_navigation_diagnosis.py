import pytest

from genera.measures.diagnosis import diagnose

HEALTHY = {
    "SR": 0.6, "SR_unseen": 0.55, "SR_gap": 0.05, "SR_random": 0.15, "SR_random_unseen": 0.15, "SR_shuffled": 0.2,
    "SR_shuffled_unseen": 0.2, "stopped_early": 0.1, "passed_by": 0.05, "revisits": 0.1, "action_accuracy": 0.6,
    "action_majority": 0.5,
}  # fmt: skip


def said(**changes):
    return [(finding.level, finding.finding) for finding in diagnose({**HEALTHY, **changes})]


def test_a_healthy_agent_gets_no_warning():
    found = said()
    assert {level for level, _ in found} == {"good"}
    assert any("needs its instruction: success falls from 55.0% to 20.0%" in text for _, text in found)
    assert any("learnt to act: 60.0%" in text for _, text in found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SR_unseen": 0.16}, "no better than chance: success 16.0%, and the random agent has 15.0%"),
        ({"SR_shuffled_unseen": 0.5}, "ignores the instruction"),
        ({"stopped_early": 0.3}, "stops too early: 30.0%"),
        ({"passed_by": 0.2}, "stops too late: in 20.0%"),
        ({"revisits": 0.4}, "walks in loops: 40.0%"),
        ({"action_accuracy": 0.5}, "Pre-training has not learnt to act"),
    ],
)
def test_each_failure_is_named(changes, words):
    warnings = [text for level, text in said(**changes) if level == "warning"]
    assert len(warnings) == 1
    assert words in warnings[0]


def test_a_gap_is_a_note():
    assert any(level == "note" and "20.0% less in unseen" in text for level, text in said(SR_gap=0.2))


def test_unseen_houses_decide_where_they_were_measured():
    assert not any(level == "warning" for level, _ in said(stopped_early=0.3, stopped_early_unseen=0.1))


def test_nothing_is_said_of_what_was_not_measured():
    assert diagnose({"SR": 0.5}) == []


def test_chance_leaves_nothing_to_say_of_the_instruction():
    texts = [text for _, text in said(SR_unseen=0.15, SR_shuffled_unseen=0.15)]
    assert not any("instruction" in text for text in texts)


def test_evidence_is_in_the_catalogue():
    from genera.measures.catalogue import definition

    for changes in ({}, {"SR_unseen": 0.15}, {"revisits": 0.9}, {"passed_by": 0.4}, {"SR_gap": 0.4}):
        for finding in diagnose({**HEALTHY, **changes}):
            assert finding.evidence
            for name in finding.evidence:
                assert definition(name).title
