"""Where codes begin, and what becomes of those that no feature finds."""

import pytest
import torch

from genera.blocks import quantiser as module
from genera.blocks.quantiser import FeatureQuantiser
from small_quantisers import by_place, features, quantiser


def test_variance_scaling_is_cut_at_two_standard_deviations():
    q = quantiser(codes=2000, channels=16, init="variance_scaling")
    assert q.codes.abs().max() <= 2 / 4
    assert q.codes.std() == pytest.approx(0.25, rel=0.15)


def test_a_dictionary_begins_with_the_features_it_sees_first():
    q, h = quantiser(codes=20, init="data", ema="ones"), features()
    out = q(h)
    assert q.commitment.abs().max() == 0
    q.commit()
    seen = {tuple(f) for f in by_place(h).tolist()}
    codes = [tuple(e) for e in q.codes.tolist()]
    assert set(codes) <= seen
    assert len(set(codes)) == 20
    assert torch.equal(q.sums, q.codes)
    assert torch.equal(out, h)
    q(h)
    assert q.commitment.min() > 0


def test_candidates_do_not_pile_up_without_updates(monkeypatch):
    monkeypatch.setattr(module, "CANDIDATES", 300)
    q = quantiser(codes=20, init="data", ema="ones")
    for seed in range(10):
        q(features(rows=8, seed=seed))  # 128 candidates each
    kept = torch.cat(q._candidates["all"])
    assert len(kept) == 256
    newest = {tuple(f) for seed in (8, 9) for f in by_place(features(rows=8, seed=seed)).tolist()}
    assert {tuple(f) for f in kept.tolist()} == newest


def test_a_dictionary_draws_from_a_generator_of_its_own():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = FeatureQuantiser(3, 4), FeatureQuantiser(3, 4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.codes, second.codes)
    torch.manual_seed(6)
    assert not torch.equal(FeatureQuantiser(3, 4).codes, first.codes)


def test_dead_codes_move_to_features_of_the_turn():
    q, h = quantiser(codes=4, ema="ones", decay=0.5, revive_below=0.1), features()
    with torch.no_grad():
        q.codes[3] = q.sums[3] = 1e3
    for _ in range(3):  # its count: 0.5, 0.25, 0.125
        q(h)
        q.commit()
        assert q.codes[3].mean() > 500
    q(h)
    q.commit()
    assert tuple(q.codes[3].tolist()) in {tuple(f) for f in by_place(h).tolist()}
    assert q.counts[3] == 1
    assert torch.equal(q.sums[3], q.codes[3])
    q(h)
    q.commit()
    assert q.counts[3] > 0.1


def test_revival_keeps_more_codes_in_use():
    """A dictionary far from the data: without revival one code takes all."""
    usage = {}
    for revive_below in (0.0, 0.1):
        q = quantiser(codes=16, ema="ones", decay=0.5, revive_below=revive_below)
        with torch.no_grad():
            q.codes.add_(30)
            q.sums.copy_(q.codes)
        for seed in range(12):
            q(features(seed=seed))
            q.commit()
        usage[revive_below] = q.telemetry()["usage"].item()
    assert usage[0.0] < 0.3
    assert usage[0.1] > 0.8


def test_the_start_of_the_release_collapses_and_the_recommended_one_does_not():
    """On features of 32 kinds: of N(0, 1) codes the first few that come near their mean take all."""
    perplexity, kinds = {}, 3 + features(rows=32, channels=64, side=1)
    recommended = {"init": "data", "ema": "ones", "revive_below": 0.1}
    for name, settings in {"release": {}, "recommended": recommended}.items():
        q = quantiser(codes=64, channels=64, decay=0.9, **settings)
        for seed in range(15):
            q(kinds + 0.3 * features(rows=32, channels=64, seed=seed))
            q.commit()
        perplexity[name] = q.telemetry()["perplexity"].item()
    assert perplexity["release"] < 8
    assert perplexity["recommended"] > 24
