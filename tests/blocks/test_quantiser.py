"""The quantiser: updates by hand and by a naive loop, gradients, policy, parts and ranks, any module around it."""

import math
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import genera
from genera.blocks import quantiser as module
from genera.blocks.quantiser import FeatureQuantiser
from genera.blocks.quantiser_config import QuantiserConfig
from genera.errors import GeneraError

SETTINGS = [
    {},
    {"ema": "debias", "init": "variance_scaling"},
    {"ema": "ones", "decay": 0.9},
    {"ema": "ones", "init": "data", "revive_below": 0.3},
    {"init": "data"},
]


def quantiser(codes=5, channels=3, **settings):
    torch.manual_seed(0)
    return FeatureQuantiser(channels, codes, QuantiserConfig(**settings))


def features(rows=4, channels=3, side=4, seed=1):
    return torch.randn(rows, channels, side, side, generator=torch.Generator().manual_seed(seed))


def by_place(h):
    """(B, C, H, W) → (N, C)"""
    return h.permute(0, 2, 3, 1).reshape(-1, h.shape[1])


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


# beginnings and revivals


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


# parts


@pytest.mark.parametrize("settings", SETTINGS)
def test_parts_of_a_batch_give_the_dictionary_of_the_whole(settings):
    whole, parts = quantiser(**settings), quantiser(**settings)
    for turn in range(4):
        h = features(rows=8, seed=turn)
        whole(h)
        for part in h.split(2):
            parts(part)
        whole.commit()
        parts.commit()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_nothing_staged_changes_nothing():
    q = quantiser()
    q(features())
    q.commit()
    before = q.codes.clone()
    q.commit()
    assert torch.equal(q.codes, before)


RANKS = """
import sys, torch, torch.distributed as dist
from genera.blocks.quantiser import Quantisation, QuantisedLayer
from genera.blocks.quantiser_config import QuantiserConfig
from safetensors.torch import save_file

world = int(__import__("os").environ.get("WORLD_SIZE", 1))
rank = int(__import__("os").environ.get("RANK", 0))
if world > 1:
    dist.init_process_group("gloo")
for index, settings in enumerate(eval(sys.argv[2])):
    torch.manual_seed(0)
    config = QuantiserConfig(after=("a", "b"), **settings)
    fq = Quantisation(config, [QuantisedLayer("a", 3, (4, 4), 5), QuantisedLayer("b", 2, (2, 2), 4)])
    for turn in range(4):
        noise = torch.Generator().manual_seed(turn)
        shape_a, shape_b = (8, 3, 4, 4), (8, 2, 2, 2)
        draw = lambda shape: torch.randn(shape, generator=noise).chunk(world)[rank]
        fake, real = (draw(shape_a), draw(shape_b)), (draw(shape_a), draw(shape_b))
        n = len(fake[0])
        with fq.learning(fake=slice(n), real=slice(n, None)):
            for q, one, other in zip(fq.quantisers, fake, real):
                q(torch.cat([one, other]))
        fq.commit()
    if rank == 0:
        save_file(fq.state_dict(), f"{sys.argv[1]}/{world}-{index}.safetensors")
if world > 1:
    dist.destroy_process_group()
"""


def test_two_ranks_give_the_dictionary_of_one(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    for launcher in ([], ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]):
        command = [sys.executable, *launcher, str(script), str(tmp_path), repr(SETTINGS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for index in range(len(SETTINGS)):
        one, two = (load_file(tmp_path / f"{world}-{index}.safetensors") for world in (1, 2))
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


# in any module


def judge():
    torch.manual_seed(0)
    blocks = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6))
    return nn.Sequential(blocks, nn.ReLU(), nn.Flatten(), nn.Linear(96, 1))


def images(rows=4):
    return torch.randn(rows, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_a_module_of_others_is_quantised_by_path_and_restored():
    network = judge()
    state, parts = {k: v.clone() for k, v in network.state_dict().items()}, [*network.named_modules()]
    fq = genera.quantize(network, after=["0.0", "0.2"], example=images(1), codes=(8, 16), weight=2.0)
    assert [(at.path, at.channels, at.positions, at.codes) for at in fq.layers] == [
        ("0.0", 4, (8, 8), 8),
        ("0.2", 6, (4, 4), 16),
    ]
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())  # the look inside moved nothing
    assert network.training

    network(images())
    loss = fq.commitment()
    assert loss.shape == (4,)
    loss.sum().backward()
    assert network[0][0].weight.grad.abs().sum() > 0
    fq.remove()
    assert [*network.named_modules()] == parts
    assert not any(m._forward_hooks for m in network.modules())
    network(images())
    with pytest.raises(GeneraError, match="has not run"):
        fq.commitment()


def test_quantize_mode_changes_what_the_next_layer_sees():
    network = judge().eval()
    plain = network(images())
    fq = genera.quantize(network, after=["0.1"], example=images(1), codes=2, mode="quantize")
    assert not torch.allclose(network(images()), plain)
    fq.remove()
    assert torch.equal(network(images()), plain)


def test_the_commitment_is_the_sum_over_layers():
    network = judge()
    fq = genera.quantize(network, after=["0.0", "0.1"], example=images(1), codes=4)
    network(images())
    own = [q.commitment.clone() for q in fq.quantisers]
    torch.testing.assert_close(fq.commitment(), own[0] + own[1])


@pytest.mark.parametrize(
    ("settings", "generator_step", "learned"),
    [
        ({}, False, {"fake", "real"}),
        ({}, True, {"fake", "real"}),
        ({"update_from": "real"}, False, {"real"}),
        ({"update_from": "fake"}, False, {"fake"}),
        ({"update_on_generator_steps": False}, True, {"real"}),
    ],
)
def test_the_policy_says_which_rows_the_dictionary_learns_from(settings, generator_step, learned):
    network = judge()
    fq = genera.quantize(network, after=["0.0"], example=images(1), codes=4, **settings)
    with fq.learning(fake=slice(3), real=slice(3, None), generator_step=generator_step):
        network(images(4))
    rows = (3 if "fake" in learned else 0) + (1 if "real" in learned else 0)
    (q,) = fq.quantisers
    counts = q.staged[q.size * q.channels : -2]
    assert counts.sum() == rows * 64
    before = q.codes.clone()
    with fq.learning():  # a gradient penalty
        network(images())
    assert counts.sum() == rows * 64
    fq.commit()
    assert not torch.equal(q.codes, before)


def test_a_checkpoint_brings_the_dictionary_back(tmp_path):
    network = judge()
    fq = genera.quantize(network, after=["0.1"], example=images(1), codes=8, ema="debias")
    network(images())
    fq.commit()
    save_file(fq.state_dict(), tmp_path / "fq.safetensors")
    other = genera.quantize(judge(), after=["0.1"], example=images(1), codes=8, ema="debias")
    other.load_state_dict(load_file(tmp_path / "fq.safetensors"))
    h = features(channels=6)
    for each in (fq, other):
        each.quantisers[0](h)
        each.commit()
    assert all(torch.equal(v, fq.state_dict()[k]) for k, v in other.state_dict().items())


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
@pytest.mark.parametrize("settings", [{}, {"mode": "quantize", "ema": "ones", "init": "data", "revive_below": 0.1}])
def test_the_compiled_quantiser_is_one_graph_and_learns_the_same(settings):
    eager, compiled = quantiser(**settings), quantiser(**settings)
    torch._dynamo.reset()
    fast = torch.compile(compiled, fullgraph=True)
    for seed in range(3):
        outputs = []
        for q, call in ((eager, eager), (compiled, fast)):
            h = features(seed=seed).requires_grad_()
            out = call(h)
            (out.square().mean() + q.commitment.sum()).backward()
            q.commit()
            outputs.append((out.detach(), h.grad, q.codes.clone()))
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


# bad input


@pytest.mark.parametrize(
    ("after", "settings", "words"),
    [
        (["0.7"], {}, "unknown layer of Sequential '0.7'"),
        (["3"], {}, "layer '3' gives shape"),
        ([], {}, "after names no layer"),
        (["0.0", "0.0"], {}, "names a layer twice"),
        (["0.0"], {"codes": 1}, "must be at least 2"),
        (["0.0"], {"codes": (4, 4)}, "has 2 numbers for 1 layers"),
        (["0.0"], {"decay": 1.0}, "must lie between 0 and 1"),
        (["0.0"], {"warmup": 5}, "is for the mode quantize"),
        (["0.0"], {"revive_below": 2.0}, r"must lie in \[0, 1\)"),
        (["0.0"], {"codse": 4}, "did you mean codes"),
    ],
)
def test_bad_input_is_one_clear_sentence(after, settings, words):
    network = judge()
    with pytest.raises(GeneraError, match=words):
        genera.quantize(network, after=after, example=images(1), **{"codes": 4, **settings})
    assert not any(m._forward_hooks for m in network.modules())


def test_a_layer_that_does_not_run_is_named():
    class HalfUsed(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(GeneraError, match="'spare' does not run in the forward pass of HalfUsed"):
        genera.quantize(HalfUsed(), after=["spare"], example=images(1), codes=4)
