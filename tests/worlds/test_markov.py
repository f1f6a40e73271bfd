"""The source of known entropy, and a language model that comes near it and never below."""

import math
from collections import Counter

import numpy as np
import pytest

import genera
from genera import worlds
from genera.uses.scoring import score_lines
from genera.worlds.markov import Markov

MARKOV = worlds.load("markov")


def test_the_entropy_is_the_published_floor():
    assert MARKOV.per_symbol == pytest.approx(1.20797, abs=5e-6)
    assert MARKOV.entropy == pytest.approx(64 * 1.20797, abs=1e-3)
    texts = MARKOV.sentences(3000, split="test")
    nats = -np.array([MARKOV.log_probability(text) for text in texts])
    assert abs(nats.mean() - MARKOV.entropy) < 4 * nats.std() / 3000**0.5


def test_each_pair_has_four_successors_of_the_stated_chances():
    counts: dict[tuple[str, str], Counter[str]] = {}
    for text in MARKOV.sentences(4000):
        symbols = text.split()
        assert len(symbols) == 64
        for one, two, three in zip(symbols, symbols[1:], symbols[2:], strict=False):
            counts.setdefault((one, two), Counter())[three] += 1
    assert max(map(len, counts.values())) == 4
    ranked = np.array([sorted(c.values(), reverse=True) for c in counts.values() if len(c) == 4]).sum(0)
    assert ranked / ranked.sum() == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.02)
    assert len(counts) > 1000  # nearly all of 32 × 32 pairs


def test_probabilities_sum_to_one_over_all_texts():
    small = Markov("small", length=3, symbols="abcde")
    texts = {" ".join((x, y, z)) for x in "abcde" for y in "abcde" for z in "abcde"}
    p = {text: math.exp(small.log_probability(text)) for text in texts}
    assert sum(p.values()) == pytest.approx(1)
    assert sum(value > 0 for value in p.values()) == 4**3
    drawn = Counter(small.sentences(20_000))
    for text, value in p.items():
        assert abs(drawn[text] / 20_000 - value) < 5 * (value / 20_000) ** 0.5 + 1e-9


def test_texts_of_other_sources_are_impossible():
    text = MARKOV.sentences(1)[0]
    assert MARKOV.factors_of(text) == {}
    for other in (text[:-2], f"{text} a", text.replace(text[0], "?"), " ".join(["a"] * 64), "two dogs"):
        assert MARKOV.log_probability(other) == -np.inf
        assert MARKOV.factors_of(other) is None


def test_draws_are_fresh_by_seed_and_split_and_repeat():
    assert MARKOV.sentences(5) == MARKOV.sentences(5)
    sets = [
        set(MARKOV.sentences(200, seed=seed, split=split)) for seed in (0, 1) for split in ("train", "valid", "test")
    ]
    assert sum(map(len, sets)) == len(set().union(*sets)) == 1200


def test_a_language_model_comes_near_the_entropy_and_never_below(tmp_path):
    """Eight symbols instead of 32: seconds. `world:markov` itself, at 1,000 steps, is in the card of `lm`."""
    small = Markov("small", length=32, symbols="abcdefgh")
    for split, count in (("train", 6000), ("valid", 100), ("test", 400)):
        (tmp_path / f"{split}.txt").write_text("\n".join(small.sentences(count, split=split)) + "\n")
    config = genera.configure(
        "lm:nano", data=f"text:{tmp_path}/*.txt", steps=250, batch_size=32, lr=3e-3, warmup=20, vocabulary=300,
        validate_every=0, device="cpu",
    )  # fmt: skip
    run = genera.load(genera.train(config, tmp_path / "run").path, device="cpu")
    texts = small.sentences(400, split="test")
    nats = np.mean([one.nats for one in score_lines(run, texts)])
    above = (nats - small.entropy) / 32  # the end, which is certain, included
    assert -0.01 < above < 0.2, above
