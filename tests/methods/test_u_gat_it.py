"""U-GAT-IT: sizes of the published networks, normalisation and attention by their definitions, losses by hand."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from genera.data.images.dataset import ImageAssets
from genera.data.images.pairs import PairBatch
from genera.engine import registry
from genera.engine.config import TrainConfig
from genera.engine.dry_run import dry_run
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.methods.u_gat_it.config import UGatItConfig
from genera.methods.u_gat_it.layers import LIN, AdaLIN, ClassActivation, ReflectConv2d, layer_instance_norm
from genera.methods.u_gat_it.method import UGatIt
from genera.methods.u_gat_it.model import Discriminator, Generator, clip_shares, initialise

TINY = UGatItConfig(width=4, blocks=1, global_halvings=2, local_halvings=1)
ASSETS = ImageAssets(size=16, channels=3, classes=())
RELEASES = ("tensorflow", "pytorch")


@pytest.fixture
def method():
    torch.manual_seed(0)
    made = UGatIt(TINY, ASSETS)
    made.initialise()
    return made


@pytest.fixture
def batch():
    a, b = (torch.rand(4, 3, 16, 16) * 2 - 1 for _ in range(2))
    return PairBatch(ids=torch.arange(4), a=a, b=b)


def step_of(method):
    config, ranks = TrainConfig(steps=100, clip=0.0), Ranks(0, 1, torch.device("cpu"))
    return Step(config, ranks, enrol(method.players(), config, ranks))


def parameters(network):
    return sum(p.numel() for p in network.parameters())


# networks


def test_published_sizes():
    with torch.device("meta"):
        full, light = Generator(UGatItConfig(), 256, 3), Generator(UGatItConfig(light=True), 256, 3)
        whole, local = (Discriminator(UGatItConfig(), 3, halvings) for halvings in (5, 3))
        image = torch.zeros(1, 3, 256, 256)
        shapes = [whole(image)[0].shape, local(image)[0].shape]
    assert [parameters(n) for n in (full, light, whole, local)] == [278_970_308, 10_600_388, 53_128_130, 3_290_050]
    assert shapes == [(1, 1, 8, 8), (1, 1, 32, 32)]


def test_published_totals_and_dictionaries_add_nothing():
    _, config = registry.preset("u-gat-it:full")
    with torch.device("meta"):
        assert parameters(UGatIt(config.model, ImageAssets(256, 3, ()))) == 670_776_976
    assert dry_run(registry.preset("u-gat-it:light-fq")[1])["parameters"] == 134_037_136


@pytest.mark.parametrize("name", registry.entry("u-gat-it").presets)
def test_presets_are_sound(name):
    registry.preset(f"u-gat-it:{name}")[1].check()


def test_pytorchs_maps_are_smaller_by_its_borders():
    with torch.device("meta"):
        config, image = UGatItConfig(release="pytorch"), torch.zeros(1, 3, 256, 256)
        shapes = [Discriminator(config, 3, halvings)(image)[0].shape for halvings in (5, 3)]
    assert shapes == [(1, 1, 6, 6), (1, 1, 30, 30)]


@pytest.mark.parametrize(
    ("size", "stride", "release", "borders"),
    [
        (7, 1, "tensorflow", (3, 3)), (3, 1, "tensorflow", (1, 1)), (3, 2, "tensorflow", (1, 0)),
        (4, 2, "tensorflow", (1, 1)), (4, 1, "tensorflow", (1, 2)), (4, 1, "pytorch", (1, 1)),
        (3, 2, "pytorch", (1, 1)),
    ],
)  # fmt: skip
def test_borders_are_reflected_as_the_program_does(size, stride, release, borders):
    conv = ReflectConv2d(2, 3, size, stride=stride, release=release)
    x = torch.randn(1, 2, 12, 12)
    rows = [*range(borders[0], 0, -1), *range(12), *range(10, 10 - borders[1], -1)]
    assert_close(conv(x), F.conv2d(x[:, :, rows][:, :, :, rows], conv.weight, conv.bias, stride))


@pytest.mark.parametrize("size", [32, 64, 100])
def test_images_that_do_not_halve_are_refused(size):
    config = registry.configure("u-gat-it:full", image_size=size)
    with pytest.raises(GeneraError, match=r"multiple of 32 and at least 96 .*--global-halvings"):
        config.check()


def test_biases_before_an_instance_norm_are_part_of_the_layout_and_not_trained():
    generator = Generator(TINY, 16, 3)
    frozen = {name for name, p in generator.named_parameters() if not p.requires_grad}
    assert frozen == {f"encoder.{i}.0.bias" for i in range(3)} | {f"encoder.3.{i}.0.bias" for i in range(2)}
    x = torch.randn(2, 3, 16, 16)
    before = generator(x)[0]
    with torch.no_grad():
        generator.encoder[0][0].bias += 3
    assert_close(generator(x)[0], before, atol=1e-4, rtol=0)


# normalisation


def test_all_instance_or_all_layer():
    x, gamma, beta = torch.randn(3, 5, 6, 7) * 4 + 2, torch.randn(3, 5), torch.randn(3, 5)
    scale, shift = gamma[:, :, None, None], beta[:, :, None, None]
    instance = layer_instance_norm(x, torch.ones(5), gamma, beta)
    assert_close(instance, scale * F.instance_norm(x) + shift, atol=1e-5, rtol=1e-5)
    layer = layer_instance_norm(x, torch.zeros(5), gamma, beta)
    assert_close(layer, scale * F.layer_norm(x, x.shape[1:]) + shift, atol=1e-5, rtol=1e-5)
    rho = torch.rand(5)
    share = rho[:, None, None]
    mixed = layer_instance_norm(x, rho, gamma, beta)
    expected = scale * (share * F.instance_norm(x) + (1 - share) * F.layer_norm(x, x.shape[1:])) + shift
    assert_close(mixed, expected, atol=1e-5, rtol=1e-5)


def test_unbiased_variances():
    x, ones = torch.randn(2, 3, 4, 4), torch.ones(1, 3)
    variance, mean = torch.var_mean(x, (2, 3), keepdim=True)
    instance = layer_instance_norm(x, torch.ones(3), ones, ones * 0, correction=1)
    assert_close(instance, (x - mean) / (variance + 1e-5).sqrt())
    variance, mean = torch.var_mean(x, (1, 2, 3), keepdim=True)
    layer = layer_instance_norm(x, torch.zeros(3), ones, ones * 0, correction=1)
    assert_close(layer, (x - mean) / (variance + 1e-5).sqrt())


@pytest.mark.parametrize("correction", [0, 1])
def test_a_single_position_has_no_variance(correction):
    x, ones = torch.randn(2, 5, 1, 1), torch.ones(1, 5)
    mixed = layer_instance_norm(x, torch.full((5,), 0.3), ones, ones * 0, correction=correction)
    variance, mean = torch.var_mean(x, 1, correction=correction, keepdim=True)
    assert_close(mixed, 0.7 * (x - mean) / (variance + 1e-5).sqrt(), atol=1e-4, rtol=0)
    assert torch.isfinite(layer_instance_norm(x[:, :1], ones[0, :1], ones[:, :1], ones[:, :1], correction=1)).all()


def test_float64_is_normalised_in_float64_and_bf16_in_float32():
    x, rho, ones = torch.randn(3, 5, 6, 7).double() * 4 + 200, torch.rand(5).double(), torch.ones(1, 5).double()
    share = rho[:, None, None]
    expected = share * F.instance_norm(x) + (1 - share) * F.layer_norm(x, x.shape[1:])
    mixed = layer_instance_norm(x, rho, ones, ones * 0)
    assert mixed.dtype == torch.float64
    assert_close(mixed, expected, atol=1e-10, rtol=0)
    half = layer_instance_norm(x.bfloat16(), rho.float(), ones.float(), ones.float() * 0)
    assert half.dtype == torch.bfloat16
    rounded = layer_instance_norm(x.bfloat16().double(), rho, ones, ones * 0)
    assert_close(half.double(), rounded, atol=0.02, rtol=0.01)


@pytest.mark.parametrize(("release", "share"), [("tensorflow", 0.9), ("pytorch", 0.9)])
def test_both_programs_begin_with_the_same_mixture(release, share):
    """ρ = 1 less 0.1, or ρ = 0.9; LIN begins as a layer norm."""
    x, ones, norm = torch.randn(2, 3, 4, 4), torch.ones(2, 3), AdaLIN(3, release)
    expected = layer_instance_norm(x, torch.full((3,), share), ones, ones * 0, correction=int(release == "pytorch"))
    assert_close(norm(x, ones, ones * 0), expected)
    assert_close(LIN(3, "tensorflow")(x), F.layer_norm(x, x.shape[1:]))


def test_shares_are_clipped_after_each_turn_of_the_generators(method, batch):
    step = step_of(method)
    step.begin(0, 0.0)
    for generator in method.generators.values():
        with torch.no_grad():
            generator.blocks[0].norms[0].rho.fill_(5.0)
            generator.decoder[0][2].rho.fill_(-5.0)
    method.update(batch, step)
    for generator in method.generators.values():
        assert (generator.blocks[0].norms[0].rho == 1).all()
        assert (generator.decoder[0][2].rho == 0).all()


def test_clipping_leaves_what_lies_inside():
    norm = AdaLIN(4, "tensorflow")
    with torch.no_grad():
        norm.rho.copy_(torch.tensor([-1.0, 0.3, 1.0, 2.0]))
    clip_shares(torch.nn.ModuleList([norm]))
    assert norm.rho.tolist() == pytest.approx([0.0, 0.3, 1.0, 1.0])


# attention


@pytest.mark.parametrize("spectral", [False, True])
@pytest.mark.parametrize("release", RELEASES)
def test_attention_is_a_classifiers_weights_times_the_features(release, spectral):
    torch.manual_seed(0)
    cam, x = ClassActivation(6, slope=0.2, spectral=spectral, release=release), torch.randn(2, 6, 5, 5)
    attended, heat, logits = cam(x)
    average, maximum = cam.classifiers[0], cam.classifiers[-1]
    assert (average is maximum) == (release == "tensorflow")
    used = [c.normalised() if spectral else c.weight for c in (average, maximum)]
    if spectral:  # a vector's only singular value is its norm
        assert_close(used[0], average.weight / average.weight.norm())
    bias = average.bias if release == "tensorflow" else 0.0
    pooled = [x.mean((2, 3)), x.amax((2, 3))]
    assert_close(logits, torch.cat([p @ w.T + bias for p, w in zip(pooled, used, strict=True)], 1))
    weights = [w + bias for w in used] if release == "tensorflow" else [average.weight, maximum.weight]
    both = torch.cat([x * w[0][None, :, None, None] for w in weights], 1)
    assert_close(attended, F.leaky_relu(cam.merge(both), 0.2))
    assert_close(heat, attended.sum(1))


# losses


def test_losses_by_hand(method, batch):
    """Least squares over four outputs a domain; cycle and identity L1; cross-entropy of the generators' domains."""
    a2b, b2a = method.generators["a2b"], method.generators["b2a"]
    step = step_of(method)

    def said(domain, images):
        return [*method.discriminators[f"local_{domain}"](images), *method.discriminators[f"global_{domain}"](images)]

    fake_b, fake_a = a2b(batch.a)[0], b2a(batch.b)[0]
    terms = method.discriminator_loss(batch, step)
    expected = sum(
        sum(((s - 1) ** 2).mean() for s in said(domain, real)) + sum((s**2).mean() for s in said(domain, fake))
        for domain, real, fake in (("a", batch.a, fake_a), ("b", batch.b, fake_b))
    )
    assert_close(terms["loss"], expected)

    terms = method.generator_loss(batch, step)
    judged = said("a", fake_a) + said("b", fake_b)
    adversarial = sum(((s - 1) ** 2).mean() for s in judged)
    cycle = (b2a(fake_b)[0] - batch.a).abs().mean() + (a2b(fake_a)[0] - batch.b).abs().mean()
    identity = (b2a(batch.a)[0] - batch.a).abs().mean() + (a2b(batch.b)[0] - batch.b).abs().mean()
    source = [torch.log1p((-logits).exp()).mean() for logits in (a2b(batch.a)[1], b2a(batch.b)[1])]
    target = [torch.log1p(logits.exp()).mean() for logits in (a2b(batch.b)[1], b2a(batch.a)[1])]
    assert_close(terms["loss"], adversarial + 10 * cycle + 10 * identity + 1000 * sum(source + target))


def test_the_rate_is_constant_for_one_half_and_then_falls_to_nothing(method):
    for player in method.players().values():
        assert [player.schedule(0, p) for p in (0, 0.25, 0.5, 0.75, 1)] == [1, 1, 1, 0.5, 0]


def test_decay_acts_on_kernels_or_on_everything():
    def decayed(release):
        method = UGatIt(replace(TINY, release=release), ASSETS)
        names = {id(p): n for n, p in method.named_parameters()}
        groups = [g for player in method.players().values() for g in player.optimiser.param_groups]
        assert {g["weight_decay"] for g in groups} <= {0.0, 1e-4}
        trained = {n for n, p in method.named_parameters() if p.requires_grad}
        assert {names[id(p)] for g in groups for p in g["params"]} == trained
        return {names[id(p)] for g in groups if g["weight_decay"] for p in g["params"]}, trained

    held, trained = decayed("tensorflow")
    kinds = {name: type(module) for name, module in UGatIt(TINY, ASSETS).named_modules()}
    of_norms = {n for n in trained if kinds[n.rpartition(".")[0]] is torch.nn.InstanceNorm2d}
    assert held == {n for n in trained if n.endswith("weight")} - of_norms
    held, trained = decayed("pytorch")
    assert held == trained


def test_first_weights(method):
    kernels = torch.cat([m.weight.flatten() for m in method.modules() if isinstance(m, torch.nn.Conv2d)])
    assert kernels.std().item() == pytest.approx(0.02, rel=0.05)
    initialise(method.generators)
    assert all((m.bias == 0).all() for m in method.modules() if isinstance(m, torch.nn.Conv2d) and m.bias is not None)


def test_with_dictionaries_the_losses_grow_by_their_commitment(batch):
    torch.manual_seed(0)
    quantiser = replace(registry.preset("u-gat-it:nano-fq")[1].model.quantiser, after=("layers.1",), init="normal")
    method = UGatIt(replace(TINY, quantiser=quantiser), ASSETS)
    method.initialise()
    step = step_of(method)
    step.begin(0, 0.0)
    terms = method.discriminator_loss(batch, step)
    assert_close(terms["loss"], terms["real"] + terms["fake"] + terms["commitment"])
    assert terms["commitment"] > 0
    codes = [q.quantisers[0].codes.clone() for q in method.quantisations.values()]
    method.update(batch, step)
    for quantisation, before in zip(method.quantisations.values(), codes, strict=True):
        assert (quantisation.quantisers[0].codes != before).any()
        assert quantisation.quantisers[0].updates == 2  # D's turn with real and fake, then G's with fake


# uses


def test_translations_are_images_of_the_other_generator(method):
    images = list(torch.rand(3, 3, 16, 16) * 2 - 1)
    there = torch.stack(method.translate(images, "a2b"))
    assert there.shape == (3, 3, 16, 16)
    assert there.abs().max() <= 1
    assert_close(there, method.generators["a2b"](torch.stack(images))[0].detach())
    assert (there != torch.stack(method.translate(images, "b2a"))).any()


def test_attention_maps_lie_between_0_and_1(method):
    maps = torch.stack(method.attention(list(torch.rand(3, 3, 16, 16)), "a2b"))
    assert maps.shape == (3, 4, 4)
    assert maps.amin((1, 2)).tolist() == [0, 0, 0]
    assert maps.amax((1, 2)).tolist() == [1, 1, 1]
