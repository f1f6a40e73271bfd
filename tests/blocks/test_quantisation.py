"""Dictionaries in any module: put in by path, taken out, which rows they learn from, bad input."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import genera
from genera.blocks.quantisation import insert
from genera.blocks.quantiser_config import QuantiserConfig
from genera.errors import GeneraError
from small_quantisers import features


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


def test_dictionaries_come_to_the_device_of_their_layers():
    network = judge().to("meta")
    fq = genera.quantize(network, after=["0.0"], example=images(1).to("meta"), codes=4)
    assert {buffer.device.type for buffer in fq.buffers()} == {"meta"}


def test_quantize_mode_changes_what_the_next_layer_sees():
    network = judge().eval()
    plain = network(images())
    fq = genera.quantize(network, after=["0.1"], example=images(1), codes=2, mode="quantize")
    assert not torch.allclose(network(images()), plain)
    fq.remove()
    assert torch.equal(network(images()), plain)


def dcgan(in_place=True):
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 4, 2, 1), nn.LeakyReLU(0.2, inplace=in_place)),
        *(nn.Conv2d(8, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.LeakyReLU(0.2, inplace=in_place)),
        nn.Conv2d(16, 1, 4),
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mode", ["commit", "quantize"])
def test_a_discriminator_may_activate_in_place(mode, layout):
    gradients = []
    for in_place in (False, True):
        network = dcgan(in_place).to(memory_format=layout)
        fq = genera.quantize(network, after=["0", "3"], example=images(1), codes=8, mode=mode)
        (network(images().to(memory_format=layout)).sum() + fq.commitment().sum()).backward()
        gradients.append([p.grad for p in network.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_discriminator_of_another_precision_is_quantised(dtype):
    network = judge().to(dtype)
    fq = genera.quantize(network, after=["0.1"], example=images(1).to(dtype), codes=8, mode="quantize")
    out = network(images().to(dtype))
    assert out.dtype == dtype
    (out.sum() + fq.commitment().sum()).backward()
    fq.commit()
    (q,) = fq.quantisers
    assert q.codes.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_a_discriminator_in_eval_mode_teaches_the_dictionary_nothing():
    network = judge()
    fq = genera.quantize(network, after=["0.0"], example=images(1), codes=4)
    before = {k: v.clone() for k, v in fq.state_dict().items()}
    network.eval()
    network(images())
    assert fq.commitment().shape == (4,)
    with fq.learning(fake=slice(2), real=slice(2, None)):
        network(images())
    fq.commit()
    assert all(torch.equal(v, before[k]) for k, v in fq.state_dict().items())
    network.train()
    network(images())
    fq.commit()
    assert not torch.equal(fq.quantisers[0].codes, before["quantisers.0.codes"])


class Twice(nn.Module):
    """The same layer on two crops."""

    def __init__(self, other_rows=0):
        super().__init__()
        self.layer, self.other_rows = nn.Conv2d(3, 4, 3), other_rows

    def forward(self, x):
        other = x[self.other_rows :, :, 1:] if len(x) > 1 else x
        return self.layer(x).mean((1, 2, 3)).sum() + self.layer(other).mean()


def test_the_calls_of_a_layer_add_up():
    network = Twice()
    fq = genera.quantize(network, after=["layer"], example=images(1), codes=4)
    (q,) = fq.quantisers
    for _ in range(2):  # the second pass replaces the first
        network(images())
    counts = q.staged[q.size * q.channels : -2]
    assert counts.sum() == 2 * 4 * (14 * 14 + 13 * 14)
    assert fq.commitment().shape == (4,)
    q.eval()
    network(images())
    together = fq.commitment()
    apart = []
    for x in (images(), images()[:, :, 1:]):
        network.layer(x)
        apart.append(fq.commitment())
    torch.testing.assert_close(together, apart[0] + apart[1])


def test_calls_of_a_layer_on_other_rows_are_one_sentence():
    network = Twice(other_rows=1)
    genera.quantize(network, after=["layer"], example=images(1), codes=4)
    with pytest.raises(GeneraError, match="layer 'layer' runs on 4 rows and on 3 rows in one forward pass"):
        network(images())


def test_a_layer_has_one_dictionary():
    network = judge()
    fq = genera.quantize(network, after=["0.0"], example=images(1), codes=4)
    with pytest.raises(GeneraError, match=r"layer '0\.0' already has a dictionary; call remove\(\)"):
        genera.quantize(network, after=["0.1", "0.0"], example=images(1), codes=4)
    genera.quantize(network, after=["0.1"], example=images(1), codes=4)
    fq.remove()
    genera.quantize(network, after=["0.0"], example=images(1), codes=4)


def test_inserting_leaves_the_global_generator_alone():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.layer(x + torch.randn_like(x))

    network = Noisy()
    before = torch.get_rng_state()
    fq = genera.quantize(network, after=["layer"], example=images(1), codes=4)
    assert torch.equal(torch.get_rng_state(), before)
    again = genera.quantize(Noisy(), after=["layer"], example=images(1), codes=4)
    assert not torch.equal(fq.quantisers[0].codes, again.quantisers[0].codes)  # Noisy() has drawn from it


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


def test_the_terms_are_the_means_over_fakes_and_over_reals_however_they_passed():
    network = judge()[0][:1]  # without batch norm: rows do not see each other
    fq = genera.quantize(network, after=["0"], example=images(1), codes=4)
    with fq.learning(fake=slice(3), real=slice(3, None)):
        network(images(4))
    together = fq.terms()
    for kind, rows in (("fake", slice(3)), ("real", slice(3, None))):
        with fq.learning(**{kind: slice(None)}):
            network(images(4)[rows])
    with fq.learning():  # a gradient penalty adds nothing
        network(images(4))
    apart = fq.terms()
    network(images(4))
    own = fq.commitment()
    torch.testing.assert_close(together["commitment"], own[:3].mean() + own[3])
    torch.testing.assert_close(apart, together)
    with pytest.raises(GeneraError, match="has seen no fakes or reals"):
        fq.terms()


def test_without_layers_nothing_is_put_in_and_nothing_is_said():
    network = judge()
    fq = insert(network, QuantiserConfig(), images(1))
    assert not any(m._forward_hooks for m in network.modules())
    with fq.learning(fake=slice(2), real=slice(2, None)):
        network(images(4))
    assert (fq.terms(), fq.telemetry(), fq.state_dict()) == ({}, {}, {})
    fq.commit()


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


# bad input


@pytest.mark.parametrize(
    ("after", "settings", "words"),
    [
        (["0.7"], {}, "unknown layer of Sequential '0.7'"),
        (["3"], {}, "layer '3' gives shape"),
        ([], {}, "after names no layer"),
        ("0.0", {}, r"after is a list of layers; write after=\['0.0'\]"),
        (["0.0", "0.0"], {}, "names a layer twice"),
        (["0.0"], {"codes": 1}, "must be at least 2"),
        (["0.0"], {"codes": (4, 4)}, "has 2 numbers for 1 layers"),
        (["0.0"], {"decay": 1.0}, "must lie between 0 and 1"),
        (["0.0"], {"mode": "qantize"}, "must be commit or quantize, got 'qantize'"),
        (["0.0"], {"init": "kmeans"}, "must be normal or variance_scaling or data"),
        (["0.0"], {"warmup": 5}, "needs --quantiser.mode quantize"),
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
