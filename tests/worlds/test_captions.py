import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genera import worlds
from genera.errors import GeneraError
from genera.worlds.grammar import ABSENT, World

CAPTIONS, SMALL = worlds.load("captions"), worlds.load("captions-small")
BOTH = pytest.mark.parametrize("world", [CAPTIONS, SMALL], ids=lambda world: world.name)

TINY = World(
    name="tiny",
    template="{determiner} {subject} [in {colour} {garment}] {number} here [{time}] .",
    words={
        "determiner": {"indefinite": "a|some", "definite": "the|the"},
        "number": {"singular": "is", "plural": "is|are"},
        "subject": "cat|cats owl|owls",
        "colour": "red blue green",
        "garment": "boots socks",
        "time": "at_night now",
    },
)


def combinations(world):
    """Every allowed combination of factor values of a world."""
    for values in product(*world.factors.values()):
        factors = dict(zip(world.factors, values, strict=True))
        if all(len({factors[name] == ABSENT for name in phrase}) == 1 for phrase in (("colour", "garment"),)):
            yield factors


@st.composite
def world_and_factors(draw):
    world = draw(st.sampled_from([CAPTIONS, SMALL]))
    factors = {name: draw(st.sampled_from(values)) for name, values in world.factors.items()}
    if ABSENT in (factors["colour"], factors["garment"]):
        factors["colour"] = factors["garment"] = ABSENT
    return world, factors


def test_names_load_and_unknown():
    assert worlds.names("text") == ("captions", "captions-small", "dialogues-style", "markov")
    assert all(worlds.load(name).name == name for name in worlds.names())
    with pytest.raises(GeneraError, match="unknown world 'caption'; did you mean captions"):
        worlds.load("caption")


def test_worlds_do_not_import_torch():
    code = "import sys, genera.worlds as w; w.load('captions').sentences(3); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=300, deadline=None)
@given(world_and_factors())
def test_parse_is_the_inverse_of_render(case):
    world, factors = case
    sentence = world.render(factors)
    assert world.factors_of(sentence) == factors
    assert sentence == sentence.lower().strip()
    assert sentence.endswith(" .")
    assert "  " not in sentence


@BOTH
def test_drawn_sentences_render_back(world):
    for sentence in world.sentences(500, seed=3):
        assert world.render(world.factors_of(sentence)) == sentence


def test_tiny_probabilities_sum_to_one_and_sentences_are_distinct():
    sentences = [TINY.render(factors) for factors in combinations(TINY)]
    assert len(set(sentences)) == len(sentences) == TINY.size == 8 * 7 * 3
    log_p = np.array([TINY.log_probability(sentence) for sentence in sentences])
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-12)
    assert -(np.exp(log_p) * log_p).sum() == pytest.approx(TINY.entropy, abs=1e-12)


def test_published_entropy_of_the_small_grammar():
    assert SMALL.entropy == pytest.approx(16.72, abs=0.005)
    assert SMALL.size == pytest.approx(7.5e7, rel=0.01)
    words = np.mean([len(sentence.split()) for sentence in SMALL.sentences(20_000)])
    assert words == pytest.approx(13.2, abs=0.05)
    sizes = {name: len(values) - (ABSENT in values) for name, values in SMALL.factors.items()}
    assert sizes == {
        "determiner": 3, "number": 2, "subject": 12, "colour": 8, "garment": 6, "action": 10, "object": 12,
        "relation": 4, "place": 11, "time": 3,
    }  # fmt: skip


def test_captions_is_rich():
    assert len(CAPTIONS.factors) >= 10
    assert CAPTIONS.size >= 1_000_000
    assert CAPTIONS.factors["sentiment"] == ("none", "positive", "negative")
    lengths = {len(sentence.split()) for sentence in CAPTIONS.sentences(5000)}
    assert min(lengths) == 10
    assert max(lengths) == 16


@BOTH
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_entropy_is_the_mean_surprise(world, split):
    surprise = [-world.log_probability(sentence) for sentence in world.sentences(2000, seed=1, split=split)]
    standard_error = np.std(surprise) / np.sqrt(len(surprise))
    assert np.mean(surprise) == pytest.approx(world.entropy, abs=4 * standard_error)


@BOTH
def test_each_factor_is_drawn_uniformly(world):
    found = [world.factors_of(sentence) for sentence in world.sentences(4000, seed=2)]
    for name, values in world.factors.items():
        counts = {value: sum(factors[name] == value for factors in found) for value in values}
        if ABSENT in values:
            assert counts.pop(ABSENT) == pytest.approx(2000, abs=4 * np.sqrt(1000))
        expected = sum(counts.values()) / len(counts)
        assert all(abs(count - expected) < 5 * np.sqrt(expected) for count in counts.values()), name


@BOTH
def test_splits_are_disjoint_and_draws_are_a_function_of_the_seed(world):
    splits = {split: world.sentences(5000, seed=0, split=split) for split in ("train", "valid", "test")}
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not set(splits[one]) & set(splits[other])
    assert world.sentences(5000, seed=0, split="train") == splits["train"]
    assert world.sentences(100, seed=0) == splits["train"][:100]
    assert world.sentences(5000, seed=1) != splits["train"]
    assert len(world.sentences(1, split="valid")) == 1
    assert world.sentences(0) == []


def test_a_draw_is_the_same_on_every_machine():
    # The raw stream of PCG64 is fixed by its definition; a change here breaks every published run.
    assert SMALL.sentences(2) == [
        "many boys are hiding the bottle beside the garden .",
        "three dogs are holding the drum behind the library at night .",
    ]


@BOTH
def test_analogies_change_one_factor_and_stay_in_their_split(world):
    analogies = world.analogies(400, seed=0, split="test")
    assert analogies == world.analogies(400, seed=0, split="test")
    assert len(analogies) == 400
    assert world.analogies(0) == []
    for analogy in analogies:
        a, b, c, answer = (world.factors_of(text) for text in (analogy.a, analogy.b, analogy.c, analogy.answer))
        assert a[analogy.factor] == c[analogy.factor] != b[analogy.factor] == answer[analogy.factor]
        assert {**a, analogy.factor: b[analogy.factor]} == b
        assert {**c, analogy.factor: answer[analogy.factor]} == answer
        assert a != c
    assert {analogy.factor for analogy in analogies} == set(world.factors)
    seen = set(world.sentences(20_000, split="train"))
    assert not seen & {text for x in analogies for text in (x.a, x.b, x.c, x.answer)}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "a man is carrying a guitar near the museum ."),
        ({"number": "plural"}, "some men are carrying a guitar near the museum ."),
        ({"tense": "past"}, "a man was carrying a guitar near the museum ."),
        ({"tense": "past", "number": "plural"}, "some men were carrying a guitar near the museum ."),
        ({"subject": "engineer", "object": "umbrella"}, "an engineer is carrying an umbrella near the museum ."),
        ({"subject": "child", "determiner": "indefinite", "number": "plural", "sentiment": "negative"},
         "some children are angrily carrying a guitar near the museum ."),
        ({"colour": "orange", "garment": "boots", "time": "at dawn"},
         "a man in orange boots is carrying a guitar near the museum at dawn ."),
    ],
)  # fmt: skip
def test_agreement(changes, sentence):
    plain = {
        "determiner": "indefinite", "number": "singular", "subject": "man", "colour": "none", "garment": "none",
        "tense": "present", "sentiment": "none", "action": "carrying", "object": "guitar", "relation": "near",
        "place": "museum", "time": "none",
    }  # fmt: skip
    assert CAPTIONS.render(plain | changes) == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "a man is carrying a guitar near the museum",
        "a men is carrying a guitar near the museum .",
        "a man are carrying a guitar near the museum .",
        "an man is carrying a guitar near the museum .",
        "a engineer is carrying a guitar near the museum .",
        "a man is carrying a umbrella near the museum .",
        "a man in red is carrying a guitar near the museum .",
        "A man is carrying a guitar near the museum .",
        "a man is carrying a guitar near the museum . .",
        "a man  is carrying a guitar near the museum .",
        "a man is at noon carrying a guitar near the museum .",
    ],
)
def test_what_the_grammar_cannot_say(sentence):
    assert CAPTIONS.factors_of(sentence) is None
    assert CAPTIONS.log_probability(sentence) == -np.inf


def test_render_errors():
    factors = CAPTIONS.factors_of("a man in red boots is carrying a guitar near the museum .")
    with pytest.raises(GeneraError, match="unknown value of factor colour 'rd'; did you mean red"):
        CAPTIONS.render(factors | {"colour": "rd"})
    with pytest.raises(GeneraError, match="unknown factor of world captions 'colours'; did you mean colour"):
        CAPTIONS.render(factors | {"colours": "red"})
    with pytest.raises(GeneraError, match="colour and garment belong together"):
        CAPTIONS.render(factors | {"colour": "none"})
    with pytest.raises(GeneraError, match="'tense' of world captions is missing"):
        CAPTIONS.render({name: value for name, value in factors.items() if name != "tense"})
    with pytest.raises(GeneraError, match="unknown split 'tests'; did you mean test"):
        CAPTIONS.sentences(1, split="tests")
