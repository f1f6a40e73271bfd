"""Each rule in both directions."""

import pytest

from figures import check_findings, findings

TRUE = {
    "kid/a2b": 0.01, "kid_of_source/a2b": 0.9, "kid_of_target/a2b": 0.001, "coverage/a2b": 0.9,
    "coverage_of_data/a2b": 0.95, "translation_valid/a2b": 0.97, "translation_shape/a2b": 0.95,
    "translation_shape_chance/a2b": 0.2, "translation_colour/a2b": 0.9, "translation_colour_chance/a2b": 0.15,
    "translation_error/a2b": 0.01, "untranslated_error/a2b": 0.6,
}  # fmt: skip
NOTHING = TRUE | {"kid/a2b": 0.9, "translation_valid/a2b": 0.0, "translation_shape/a2b": 0.0}
BROKEN = TRUE | {"kid/a2b": 0.5, "translation_valid/a2b": 0.1, "translation_shape/a2b": 0.05}
OTHERS = TRUE | {"translation_shape/a2b": 0.2}
RUNS = {"true": TRUE, "nothing": NOTHING, "broken": BROKEN, "others": OTHERS}


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("Translations from A to B are poor: KID 0.9 (untranslated images: 0.9, real images", {"nothing"}),
        ("valid translations 10 % (none: 0 %, all: 100 %)", {"broken"}),
        ("from A to B are poor: correct shape 20 % (another image's: 20 %, all: 100 %)", {"others"}),
        ("Translations from A to B are good", {"true"}),
        ("B to A", set()),
    ],
)
def test_each_rule_fires_on_the_runs_it_is_about_and_on_no_other(words, runs):
    assert {name for name, values in RUNS.items() if any(words in f.finding for f in findings(values))} == runs


def test_a_translator_to_one_image_is_poor():
    (finding,) = findings(TRUE | {"coverage/a2b": 0.02})
    assert finding.level == "warning"
    assert "look alike" in finding.advice


def test_content_is_unknown_where_no_world_and_no_way_back_shows_it():
    without = {key: value for key, value in TRUE.items() if not key.startswith(("translation_sh", "translation_c"))}
    (finding,) = findings(without)
    assert (finding.level, finding.grade) == ("note", "unknown")
    assert "Not known: content" in finding.finding
    (finding,) = findings(without | {"content_returned/a2b": 0.95})
    assert finding.level == "good"
    (finding,) = findings(without | {"content_returned/a2b": 0.1})
    assert finding.level == "warning"


def test_each_direction_is_judged_by_itself():
    other = {key.replace("a2b", "b2a"): value for key, value in NOTHING.items()}
    said = [finding.finding for finding in findings(TRUE | other)]
    assert any(text.startswith("Translations from A to B are good") for text in said)
    assert any(text.startswith("Translations from B to A are poor: KID") for text in said)


@pytest.mark.parametrize("values", RUNS.values(), ids=RUNS)
def test_findings_carry_their_figures(values):
    check_findings(values)
