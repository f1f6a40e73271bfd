"""The quantiser: its lookup, updates by hand and by a naive loop, modes and gradients, telemetry."""

import math

import pytest
import torch

from genera.blocks import quantiser as module
from genera.blocks.quantiser import FeatureQuantiser
from genera.blocks.quantiser_config import QuantiserConfig
from small_quantisers import by_place, features, quantiser

# the lookup


def test_the_nearest_code_is_found():
    q, h = quantiser(codes=7), features()
    q(h)
    distances = torch.cdist(by_place(h).double(), q.codes.double())
    assert torch.equal(q.indices.flatten(), distances.argmin(1))


def test_of_equal_codes_the_first_is_taken():
    q = quantiser()
    q.codes.zero_()
    q(features())
    assert (q.indices == 0).all()


def test_a_large_lookup_is_cut_into_chunks(monkeypatch):
    q, h = quantiser(), by_place(features())
    whole = q.look_up(h)
    monkeypatch.setattr(module, "LOOKUP_CELLS", 15)
    assert torch.equal(q.look_up(h), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("offset", [0, 300, 1000])
def test_a_common_offset_costs_no_digits(offset, dtype):
    """At spread 1. Without centring, float32 gives 13 % wrong codes at offset 300 and 79 % at 1000."""
    q = quantiser(codes=64, channels=32, init="data", ema="ones").to(dtype)
    spread = 8 if dtype == torch.bfloat16 else 1  # bf16 has steps of 8 at 1000
    h = offset + spread * features(rows=32, channels=32)
    q(h.to(dtype))
    q.commit()
    again = (h + 0.3 * spread * features(rows=32, channels=32, seed=2)).to(dtype)
    q(again)
    exact = torch.cdist(by_place(again).double(), q.codes.double(), compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.equal(q.indices.flatten(), exact.argmin(1))


def test_far_unused_codes_do_not_spoil_the_lookup():
    """In the release, unused codes are at 1e5 of their start: too far for a centre of all codes."""
    q, h = quantiser(codes=64, channels=8), features(rows=8, channels=8)
    for _ in range(2):
        q(h)
        q.commit()
    assert q.codes.abs().max() > 1e4
    q(h)
    near = q.codes.abs().amax(1) < 100
    exact = torch.cdist(by_place(h).double(), q.codes[near].double()).argmin(1)
    assert torch.equal(q.indices.flatten(), near.nonzero()[:, 0][exact])


# the update


def two_codes(ema, decay=0.5):
    """Codes (0, 0) and (10, 10), and three features: two nearer the first, one nearer the second."""
    q = FeatureQuantiser(2, 2, QuantiserConfig(ema=ema, decay=decay))
    with torch.no_grad():
        q.codes.copy_(torch.tensor([[0.0, 0.0], [10.0, 10.0]]))
        if ema != "debias":
            q.sums.copy_(q.codes)
    q(torch.tensor([[1.0, 0.0], [3.0, 0.0], [8.0, 8.0]]).t().reshape(1, 2, 1, 3))
    q.commit()
    return q


@pytest.mark.parametrize(
    ("ema", "counts", "sums"),
    [
        ("release", [1.0, 0.5], [[2.0, 0.0], [9.0, 9.0]]),  # n = 0.5 c, m = 0.5 e + 0.5 s
        ("ones", [1.5, 1.0], [[2.0, 0.0], [9.0, 9.0]]),  # n = 0.5 + 0.5 c
        ("debias", [2.0, 1.0], [[4.0, 0.0], [8.0, 8.0]]),  # n = c, m = s
    ],
)
def test_the_first_update_by_hand(ema, counts, sums):
    q = two_codes(ema)
    n, m = torch.tensor(counts), torch.tensor(sums)
    torch.testing.assert_close(q.averages(), (n, m))
    total = n.sum()
    smoothed = (n + 1e-5) / (total + 2e-5) * total
    torch.testing.assert_close(q.codes, m / smoothed[:, None])


def naive(q, batches):
    """The release's update, feature by feature, of batches that are each looked up before they are learned."""
    decay, size = q.config.decay, q.size
    e, n, m = q.codes.double().clone(), q.counts.double().clone(), q.sums.double().clone()
    for t, h in enumerate(batches, start=1):
        c, s = torch.zeros(size, dtype=torch.float64), torch.zeros(size, h.shape[1], dtype=torch.float64)
        for f in by_place(h).double():
            k = min(range(size), key=lambda j: (f - e[j]).square().sum().item())
            c[k] += 1
            s[k] += f
        n, m = decay * n + (1 - decay) * c, decay * m + (1 - decay) * s
        share = 1 - decay**t if q.config.ema == "debias" else 1.0
        total = n.sum() / share
        e = m / share / ((n / share + 1e-5) / (total + size * 1e-5) * total)[:, None]
    return e


@pytest.mark.parametrize("ema", ["release", "debias", "ones"])
def test_updates_equal_a_naive_loop(ema):
    q = quantiser(ema=ema)
    batches = [features(seed=s) for s in range(4)]
    expected = naive(q, batches)
    for h in batches:
        q(h)
        q.commit()
    torch.testing.assert_close(q.codes.double(), expected, rtol=1e-4, atol=1e-4)


def test_release_biases_the_first_update_by_nine_tenths_over_a_tenth_of_the_start():
    """e = mean + λ/(1-λ) · e(0) / c of a used code: 9 e(0) / c at λ = 0.9."""
    q, h = quantiser(codes=2, decay=0.9), features(rows=8)
    before = q.codes.clone()
    q(h)
    index, flat = q.indices.flatten(), by_place(h)
    q.commit()
    for j in range(2):
        own = flat[index == j]
        torch.testing.assert_close(q.codes[j], own.mean(0) + 9 * before[j] / len(own), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("decay", "updates"), [(0.7, 32), (0.8, 52), (0.85, 71), (0.9, 109), (0.99, 1146)])
def test_release_throws_an_unused_code_far_away_and_back(decay, updates):
    """It jumps to λ/ε of its norm and passes the data scale after ln(1e-5) / ln λ updates."""
    q = quantiser(codes=2, channels=1, decay=decay)
    with torch.no_grad():
        q.codes.copy_(torch.tensor([[0.0], [1.0]]))
        q.sums.copy_(q.codes)
    h = torch.zeros(1, 1, 4, 4)
    sizes = []
    for _ in range(updates + 1):
        q(h)
        q.commit()
        sizes.append(q.codes[1].abs().item())
    assert sizes[0] == pytest.approx(decay * 1e5, rel=1e-3)
    assert sizes[1] / sizes[0] == pytest.approx(decay, rel=1e-3)
    passed = next(t for t, size in enumerate(sizes, start=1) if size < 1)
    assert passed == math.ceil(math.log(1e-5) / math.log(decay)) or passed == updates


def test_debias_forgets_its_start_at_once_and_zeroes_unused_codes():
    q, h = quantiser(codes=3, ema="debias"), torch.ones(2, 3, 4, 4)
    q(h)
    used = q.indices[0, 0, 0]
    q.commit()
    n, m = q.averages()
    torch.testing.assert_close(n[used], torch.tensor(32.0))
    torch.testing.assert_close(m[used], torch.full((3,), 32.0))
    others = [j for j in range(3) if j != used]
    assert q.codes[others].abs().max() == 0


def test_ones_keeps_an_unused_code_in_its_place():
    q = quantiser(codes=3, ema="ones")
    with torch.no_grad():
        q.codes[2] = 50.0
        q.sums[2] = 50.0
    for _ in range(20):
        q(features())
        q.commit()
    torch.testing.assert_close(q.codes[2] / q.codes[2].mean(), torch.ones(3), rtol=1e-3, atol=0)
    assert q.codes[2].mean() > 25


# modes and gradients


def test_commit_mode_passes_features_on_and_pulls_them_to_their_codes():
    q, h = quantiser(weight=3.0), features().requires_grad_()
    assert q(h) is h
    code = q.codes[q.indices].permute(0, 3, 1, 2)
    expected = 3.0 * (h - code).square().mean((1, 2, 3))
    torch.testing.assert_close(q.commitment, expected)
    q.commitment.sum().backward()
    torch.testing.assert_close(h.grad, 3.0 * 2 * (h.detach() - code) / h[0].numel())
    assert not list(q.parameters())


def test_quantize_mode_gives_codes_and_passes_gradients_straight_through():
    q, h = quantiser(mode="quantize"), features().requires_grad_()
    out = q(h)
    torch.testing.assert_close(out, q.codes[q.indices].permute(0, 3, 1, 2))
    upstream = torch.randn_like(out)
    out.backward(upstream)
    torch.testing.assert_close(h.grad, upstream)


def test_quantize_mode_differentiates_twice():
    """As a gradient penalty does: the second derivative is that of the network without the quantiser, at the codes."""
    q, h = quantiser(mode="quantize"), features().requires_grad_()
    (slope,) = torch.autograd.grad(q(h).pow(3).sum(), h, create_graph=True)
    slope.sum().backward()
    torch.testing.assert_close(h.grad, 6 * q.codes[q.indices].permute(0, 3, 1, 2))


def test_warm_up_passes_features_on_while_the_dictionary_learns():
    q, h = quantiser(mode="quantize", warmup=2), features()
    before = q.codes.clone()
    for _ in range(2):
        assert torch.equal(q(h), h)
        q.commit()
    assert not torch.equal(q.codes, before)
    assert not torch.equal(q(h), h)


def test_eval_mode_looks_up_and_learns_nothing():
    q, h = quantiser().eval(), features()
    before = {k: v.clone() for k, v in q.state_dict().items()}
    q(h)
    q.commit()
    assert q.commitment.shape == (4,)
    assert all(torch.equal(v, before[k]) for k, v in q.state_dict().items())


def test_bf16_features_are_looked_up_in_fp32():
    q, h = quantiser(), features().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert q(h).dtype == torch.bfloat16
    assert q.commitment.dtype == torch.float32
    exact = torch.cdist(by_place(h.float()), q.codes).argmin(1)
    assert torch.equal(q.indices.flatten(), exact)


def test_float64_features_are_quantised_in_float64():
    q, h = quantiser(mode="quantize", weight=2.0).double(), features().double().requires_grad_()
    out = q(h)
    assert out.dtype == q.commitment.dtype == q.codes.dtype == torch.float64
    code = q.codes[q.indices].permute(0, 3, 1, 2)
    assert torch.equal(out, code)
    torch.testing.assert_close(q.commitment, 2.0 * (h - code).square().mean((1, 2, 3)), rtol=1e-12, atol=0)
    q.commit()
    assert q.codes.dtype == torch.float64
    float32 = quantiser()
    assert float32(h) is h
    assert float32.codes.dtype == torch.float32


def test_a_cast_to_half_precision_keeps_the_dictionary():
    q = quantiser()
    before = q.codes.clone()
    for cast in (torch.bfloat16, torch.float16):
        q.to(cast)
        assert torch.equal(q.codes, before)
        assert {buffer.dtype for buffer in q.buffers()} == {torch.float32}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("settings", [{}, {"mode": "quantize"}, {"mode": "quantize", "warmup": 2}])
def test_the_next_layer_may_overwrite_its_input(settings, layout):
    gradients = []
    for in_place in (False, True):
        q, x = quantiser(**settings), features().requires_grad_()
        out = torch.nn.functional.leaky_relu(q((2 * x).to(memory_format=layout)), 0.2, inplace=in_place)
        (out.square().sum() + q.commitment.sum()).backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


def test_channels_last_is_the_same():
    one, two = quantiser(), quantiser()
    one(features())
    two(features().to(memory_format=torch.channels_last))
    assert torch.equal(one.indices, two.indices)
    torch.testing.assert_close(one.staged, two.staged)


# telemetry


def test_telemetry_of_an_update():
    q, h = quantiser(codes=4), features()
    q(h)
    counts = torch.bincount(q.indices.flatten(), minlength=4).double()
    flat, code = by_place(h), q.codes[q.indices.flatten()]
    q.commit()
    seen = q.telemetry()
    p = counts / counts.sum()
    assert seen["usage"] == (counts > 0).double().mean()
    assert seen["perplexity"].item() == pytest.approx(torch.special.entr(p).sum().exp().item(), rel=1e-4)
    error = (flat - code).square().sum() / flat.square().sum()
    assert seen["relative_error"].item() == pytest.approx(error.item(), rel=1e-4)
