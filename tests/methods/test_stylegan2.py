"""StyleGAN2: sizes of the published networks, losses and penalties by their definitions, truncation and mixing."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import softplus
from torch.testing import assert_close

from genera.data.images.dataset import ImageAssets, ImageBatch
from genera.engine import registry
from genera.engine.config import TrainConfig
from genera.engine.dry_run import dry_run
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.methods.stylegan2.config import StyleGan2Config
from genera.methods.stylegan2.method import StyleGan2, path_lengths, squared_gradients
from genera.methods.stylegan2.model import Discriminator, Generator, minibatch_stddev

TINY = StyleGan2Config(base_width=1024, max_width=8, latent_size=6, mapping_layers=2)
ASSETS = ImageAssets(size=8, channels=3, classes=())


@pytest.fixture
def method():
    torch.manual_seed(0)
    made = StyleGan2(TINY, ASSETS)
    with torch.no_grad():
        for conv in made.generator.convs:
            conv.strength += 0.3
    return made


@pytest.fixture
def batch():
    return ImageBatch(ids=torch.arange(8), images=torch.rand(8, 3, 8, 8) * 2 - 1, labels=None)


def step_of(method):
    config, ranks = TrainConfig(steps=100, clip=0.0), Ranks(0, 1, torch.device("cpu"))
    return Step(config, ranks, enrol(method.players(), config, ranks))


def parameters(*networks):
    return [sum(p.numel() for p in network.parameters()) for network in networks]


# networks


@pytest.mark.parametrize(
    ("width", "size", "generator", "discriminator"),
    [(8192, 256, 24_767_458, 24_001_089), (16384, 512, 30_276_583, 28_982_849), (16384, 1024, 30_370_060, 29_012_513)],
)
def test_published_sizes(width, size, generator, discriminator):
    config = StyleGan2Config(base_width=width)
    with torch.device("meta"):
        assert parameters(Generator(config, size, 3), Discriminator(config, size, 3)) == [generator, discriminator]


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512, 1024])
def test_sizes_layer_by_layer(size):
    """Mapping 8 FC; per convolution affine, weights, strength, bias; per RGB affine, weights, bias; and D's blocks."""
    levels = int(math.log2(size))
    width = {level: min(8192 // 2 ** (level - 1), 512) for level in range(2, levels + 1)}

    def styled(a, b):
        return 512 * a + a + 9 * a * b + 1 + b

    def rgb(a):
        return 512 * a + a + 3 * a + 3

    generator = 8 * (512 * 512 + 512) + 512 * 16 + styled(512, 512) + rgb(512)
    discriminator = 3 * width[levels] + width[levels] + 9 * 513 * 512 + 512 + 8192 * 512 + 512 + 513
    for level in range(3, levels + 1):
        low, high = width[level - 1], width[level]
        generator += styled(low, high) + styled(high, high) + rgb(high)
        discriminator += 9 * high * high + high + 9 * high * low + low + high * low
    with torch.device("meta"):
        networks = Generator(StyleGan2Config(), size, 3), Discriminator(StyleGan2Config(), size, 3)
    assert parameters(*networks) == [generator, discriminator]


@pytest.mark.parametrize("name", registry.entry("stylegan2").presets)
def test_presets_are_sound(name):
    registry.preset(f"stylegan2:{name}")[1].check()


def test_a_step_runs_on_shapes_alone_and_dictionaries_add_no_parameter():
    plain, quantised = (dry_run(registry.preset(f"stylegan2:nano{fq}")[1])["players"] for fq in ("", "-fq"))
    assert plain == quantised
    assert plain["generator"]["parameters"] == 322_707


def test_dictionaries_learn_in_both_turns_and_not_under_penalties(batch):
    torch.manual_seed(0)
    quantiser = replace(registry.preset("stylegan2:nano-fq")[1].model.quantiser, after=("blocks.3",), init="normal")
    method = StyleGan2(replace(TINY, quantiser=quantiser), ASSETS)
    step = step_of(method)
    step.begin(0, 0.0)
    method.update(batch, step)  # with both penalties
    assert method.quantisation.quantisers[0].updates == 2
    step.begin(1, 0.0)
    terms = method.discriminator_loss(batch, step)
    adversarial = terms["loss"] - terms["commitment"]
    step.begin(1, 0.0)
    fake = method.generator(method.styles(step, 8), method.generator.noise(step.normal, 8))
    real, made = method.discriminator(batch.images), method.discriminator(fake)
    assert_close(adversarial, softplus(made).mean() + softplus(-real).mean())
    assert terms["commitment"] > 0


def test_minibatch_deviation_by_hand_and_the_same_in_parts():
    x = torch.randn(8, 3, 4, 4)
    out = minibatch_stddev(x, 4)
    for group in (slice(0, 4), slice(4, 8)):
        expected = (x[group].var(0, correction=0) + 1e-8).sqrt().mean()
        assert_close(out[group, 3], expected.expand(4, 4, 4))
    assert_close(out[:, :3], x)
    assert_close(torch.cat([minibatch_stddev(x[:4], 4), minibatch_stddev(x[4:], 4)]), out)
    assert minibatch_stddev(x[:2], 4).shape == (2, 4, 4, 4)


def test_rows_that_form_no_groups_are_refused():
    with pytest.raises(GeneraError, match="6 images of one rank and part do not divide into groups of 4"):
        minibatch_stddev(torch.randn(6, 3, 4, 4), 4)


@pytest.mark.parametrize("size", [4, 28, 100])
def test_only_powers_of_two_from_8_on(size):
    with pytest.raises(GeneraError, match="--image-size must be 8, 16, 32"):
        registry.configure("stylegan2:nano", image_size=size).check()


def test_a_width_that_leaves_no_channel_is_refused():
    with pytest.raises(GeneraError, match="--base-width 8 leaves no channel at 32 pixels; it must be at least 16"):
        registry.configure("stylegan2:nano", base_width=8).check()


def test_noise_moves_details_by_its_strength_alone(method):
    w = method.generator.styles(torch.randn(1, 6))
    one, two = (method.generator.noise(torch.randn, 1) for _ in range(2))
    assert not torch.equal(method.generator(w, one), method.generator(w, two))
    with torch.no_grad():
        for conv in method.generator.convs:
            conv.strength.zero_()
    assert torch.equal(method.generator(w, one), method.generator(w, two))


# losses


def test_path_length_of_a_linear_generator_is_in_closed_form():
    """G(w) = Σ_l A_l w_l, so that Jᵀy = A_lᵀy for each layer l, whatever w is."""
    a, w, y = torch.randn(3, 12, 5), torch.randn(2, 3, 5, requires_grad=True), torch.randn(2, 3, 2, 2)
    images = torch.einsum("lpz,blz->bp", a, w).view(2, 3, 2, 2)
    products = torch.einsum("lpz,bp->blz", a, y.flatten(1))
    assert_close(path_lengths(images, w, y), (products.square().sum((1, 2)) / 3).sqrt())


def test_path_length_of_the_generator_is_that_of_its_jacobian(method):
    generator = method.generator.double()
    w = torch.randn(1, generator.style_layers, 6).double().requires_grad_()
    noise = [n.double() for n in generator.noise(torch.randn, 1)]
    images, y = generator(w, noise), torch.randn(1, 3, 8, 8).double()
    jacobian = torch.autograd.functional.jacobian(lambda w: generator(w, noise).flatten(), w)  # (P, 1, L, Z)
    products = torch.einsum("plz,p->lz", jacobian[:, 0], y.flatten())
    assert_close(path_lengths(images, w, y)[0], products.square().sum(1).mean().sqrt())


def test_gradient_penalty_of_a_linear_discriminator_is_in_closed_form():
    a, images = torch.randn(3 * 8 * 8), torch.randn(4, 3, 8, 8, requires_grad=True)
    assert_close(squared_gradients(images.flatten(1) @ a + 2, images), a.square().sum().expand(4))


def test_gradient_penalty_weighs_what_it_should(method, batch):
    """γ/2 · 16 · E|∇D|², the gradients from the Jacobian: (B, B, C, H, W), as rows meet in their groups."""
    terms = method.gradient_penalty(batch, step_of(method))
    jacobian = torch.autograd.functional.jacobian(method.discriminator, batch.images)
    assert_close(terms["penalty"], jacobian.sum(0).square().sum((1, 2, 3)).mean())
    assert_close(terms["loss"], 100 / 2 * 16 * terms["penalty"])


def test_path_length_penalty_by_hand(method, batch):
    step = step_of(method)
    step.begin(3, 0.5)
    with torch.no_grad():
        method.generator.mean_length.mean += 0.7
    terms = method.path_length_penalty(batch, step)
    step.begin(3, 0.5)
    w = method.styles(step, 4)
    images = method.generator(w, method.generator.noise(step.normal, 4))
    lengths = path_lengths(images, w, step.normal(4, 3, 8, 8) / 8)
    assert_close(terms["length"], lengths.mean())
    assert_close(terms["loss"], 2 * 4 * (lengths - 0.7).square().mean())
    method.generator.mean_length.commit()
    assert_close(method.generator.mean_length.mean, 0.7 + 0.01 * (lengths.mean().detach() - 0.7))


def test_losses_by_hand(method, batch):
    step = step_of(method)
    step.begin(0, 0.0)
    loss = method.discriminator_loss(batch, step)["loss"]
    step.begin(0, 0.0)
    fake = method.generator(method.styles(step, 8), method.generator.noise(step.normal, 8))
    real, made = method.discriminator(batch.images), method.discriminator(fake)
    assert_close(loss, (1 + made.exp()).log().mean() + (1 + (-real).exp()).log().mean())
    step.begin(0, 0.0)
    assert_close(method.generator_loss(batch, step)["loss"], softplus(-made).mean())


def test_penalties_come_when_they_are_due(method, batch):
    step = step_of(method)
    for index in range(17):
        step.begin(index, 0.0)
        method.update(batch, step)
    due = {key: count for key, count in step.telemetry.counts.items() if key.endswith("loss")}
    assert due == {
        "generator/loss": 17, "discriminator/loss": 17, "generator/path/loss": 5, "discriminator/r1/loss": 2
    }  # fmt: skip


def test_no_penalties_when_they_weigh_nothing(batch):
    method = StyleGan2(replace(TINY, r1=0.0, path_weight=0.0), ASSETS)
    step = step_of(method)
    step.begin(0, 0.0)
    method.update(batch, step)
    assert {key for key in step.telemetry.counts if key.endswith("loss")} == {"generator/loss", "discriminator/loss"}
    assert [t.base_rates for t in step.trainees.values()] == [[0.002], [0.002]]


def test_adam_goes_slower_for_the_lazy_turns(method):
    players = method.players()
    groups = {name: player.optimiser.param_groups[0] for name, player in players.items()}
    assert groups["generator"]["lr"] == pytest.approx(0.002 * 4 / 5)
    assert groups["generator"]["betas"] == pytest.approx((0, 0.99 ** (4 / 5)))
    assert groups["discriminator"]["lr"] == pytest.approx(0.002 * 16 / 17)
    assert groups["discriminator"]["betas"] == pytest.approx((0, 0.99 ** (16 / 17)))
    assert [player.averaged for player in players.values()] == [True, False]


def test_half_life_of_the_average_is_ten_thousand_images():
    train = registry.entry("stylegan2").presets["ffhq256"].train
    assert train.ema ** (10_000 / train.batch_size) == pytest.approx(0.5)
    assert train.steps * train.batch_size == 25_000_000


def test_mixing_takes_one_cutoff_for_the_batch_as_often_as_asked(method):
    step, mixed, cutoffs = step_of(method), 0, set()
    for index in range(300):
        step.begin(index, 0.0)
        w = method.styles(step, 2)
        changes = (w[:, 1:] != w[:, :-1]).any(2)
        assert torch.equal(changes[0], changes[1])
        mixed += bool(changes.any())
        cutoffs |= set((changes[0].nonzero().flatten() + 1).tolist())
    assert cutoffs == {1, 2, 3}  # L = 4
    assert mixed / 300 == pytest.approx(0.9, abs=0.06)


def test_mean_w_follows_the_unmixed_latents(method, batch):
    step = step_of(method)
    step.begin(0, 0.0)
    method.generator_loss(batch, step)
    step.begin(0, 0.0)
    w = method.generator.mapping(step.normal(8, 6)).detach()
    method.generator.mean_w.commit()
    assert_close(method.generator.mean_w.mean, 0.005 * w.mean(0))


# uses


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def test_truncation_to_nothing_is_the_mean_image(method):
    with torch.no_grad():
        method.generator.mean_w.mean += torch.randn(6)
    images = torch.stack(method.decode(torch.randn(3, 6), truncation=0.0, generator=random()))
    same = random()
    noise = method.generator.noise(lambda *shape: torch.randn(shape, generator=same), 1)
    mean = method.generator(method.generator.styles(method.generator.mean_w.mean[None]), noise)
    assert_close(images, mean.detach().clamp(-1, 1).expand_as(images))


def test_truncation_is_a_line_through_the_mean(method):
    with torch.no_grad():
        method.generator.mean_w.mean += 1
    w = torch.randn(2, 6)
    assert_close(method.generator.truncate(w, 1.0), w)
    assert_close(method.generator.truncate(w, 0.5), (w + 1) / 2)


def test_mixing_a_latent_with_itself_changes_nothing(method):
    z, other = torch.randn(2, 6), torch.randn(2, 6)
    plain = torch.stack(method.decode(z, generator=random()))
    for layer in range(5):
        assert_close(torch.stack(method.mix(z, z, layer=layer, generator=random())), plain)
    mixed = [torch.stack(method.mix(z, other, layer=layer, generator=random())) for layer in range(5)]
    assert_close(mixed[4], plain)
    assert_close(mixed[0], torch.stack(method.decode(other, generator=random())))
    assert all((a != b).any() for a, b in pairwise(mixed))
    with pytest.raises(GeneraError, match="from 0 to 4, got 5"):
        method.mix(z, z, layer=5)


def test_samples_are_images_in_range_and_follow_the_generator(method):
    one, two = (torch.stack(method.sample(5, generator=random(1))) for _ in range(2))
    assert one.shape == (5, 3, 8, 8)
    assert one.abs().max() <= 1
    assert torch.equal(one, two)
    assert not torch.equal(one, torch.stack(method.sample(5, generator=random(2))))
    with pytest.raises(GeneraError, match="without labels"):
        method.sample(1, classes=["cat"])
