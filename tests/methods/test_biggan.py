"""BigGAN: parameter counts of the presets, its two losses, the turns of a step, quantisation as one field, samples."""

import json
from dataclasses import replace

import pytest
import torch

import genera
from genera import worlds
from genera.cli.train import main
from genera.data.images.dataset import ImageAssets, ImageBatch
from genera.engine import checkpoint, registry
from genera.engine.config import TrainConfig
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.methods.biggan.config import BigGanConfig
from genera.methods.biggan.method import BigGan
from genera.methods.biggan.presets import PRESETS
from genera.methods.families.conditional_gan import truncated

ALONE = Ranks(0, 1, torch.device("cpu"))
ASSETS = ImageAssets(28, 3, ("cat", "dog", "owl"))
CONFIG = BigGanConfig(width=2, latent_size=8, d_steps=2, test_statistics="running")
FQ = registry.preset("biggan:nano-fq")[1].model.quantiser


def make(assets=ASSETS, **settings):
    torch.manual_seed(0)
    return BigGan(BigGanConfig(**{**vars(CONFIG), **settings}), assets)


def batch(rows=8, assets=ASSETS):
    noise = torch.Generator().manual_seed(1)
    images = torch.rand(rows, assets.channels, assets.size, assets.size, generator=noise) * 2 - 1
    return ImageBatch(ids=torch.arange(rows), images=images, labels=torch.arange(rows) % 3)


def step_of(method, **settings):
    config = TrainConfig(steps=10, **{"clip": 0.0, **settings})
    step = Step(config, ALONE, enrol(method.players(), config, ALONE))
    step.begin(0, 0.0)
    return step


# sizes


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("fq", ["", "-fq"])
@pytest.mark.parametrize(
    ("preset", "generator", "discriminator"),
    [
        ("cifar10", 4_304_387, 4_207_361),
        ("cifar100", 4_580_867, 4_230_401),
        ("imagenet64", 31_969_540, 20_571_842),
        ("imagenet128", 31_978_628, 39_448_258),
    ],
)
def test_published_parameter_counts(preset, fq, generator, discriminator):
    chosen = PRESETS[preset + fq]
    with torch.device("meta"):
        method = BigGan(
            chosen.model, ImageAssets(chosen.data.image_size, 3, tuple(map(str, range(chosen.data.classes))))
        )
        players = method.players()
    assert parameters(players["generator"].network) == generator
    assert parameters(players["discriminator"].network) == discriminator


def test_a_dry_run_prints_them(capsys):
    main(["biggan:cifar10-fq", "--dry-run", "--json"])
    players = json.loads(capsys.readouterr().out)["players"]
    assert players == {
        "discriminator": {"parameters": 4_207_361, "trainable": 4_207_361},
        "generator": {"parameters": 4_304_387, "trainable": 4_304_387},
    }


def test_the_wide_imagenet_size():
    config = BigGanConfig(**{**vars(PRESETS["imagenet128"].model), "width": 96})
    with torch.device("meta"):
        method = BigGan(config, ImageAssets(128, 3, tuple(map(str, range(1000)))))
    assert parameters(method.generator) == 70_433_988
    assert parameters(method.discriminator) == 87_982_370


@pytest.mark.parametrize("name", PRESETS)
def test_presets_pass_their_checks_and_differ_by_the_quantiser_alone(name):
    registry.preset(f"biggan:{name}")[1].check()
    if name.endswith("-fq"):
        one, plain = PRESETS[name], PRESETS[name.removesuffix("-fq")]
        assert (one.train, one.data) == (plain.train, plain.data)
        changed = {k for k, v in vars(one.model).items() if v != vars(plain.model)[k]}
        assert changed == {"quantiser"}


@pytest.mark.parametrize(
    ("preset", "layers"),
    [
        ("cifar10-fq", [(256, (16, 16), 1024), (256, (8, 8), 1024), (256, (8, 8), 1024), (256, (8, 8), 1024)]),
        ("cifar100-fq", [(256, (16, 16), 64), (256, (8, 8), 64), (256, (8, 8), 64), (256, (8, 8), 64)]),
        ("imagenet64-fq", [(256, (8, 8), 1024)]),
        ("imagenet128-fq", [(64, (64, 64), 1024), (128, (32, 32), 1024), (256, (16, 16), 1024), (512, (8, 8), 1024)]),
    ],
)
def test_dictionaries_sit_where_they_were_published(preset, layers):
    chosen = PRESETS[preset]
    size = chosen.data.image_size
    with torch.device("meta"):
        method = BigGan(chosen.model, ImageAssets(size, 3, ("a", "b")))
    assert [(at.channels, at.positions, at.codes) for at in method.quantisation.layers] == layers


# one step


def test_the_turns_of_a_step_see_different_rows_and_the_same_ones_on_every_rank():
    method, whole = make(), batch(8)
    turns = [rows.ids.tolist() for rows in method.turns(whole)]
    assert turns == [[0, 2, 4, 6], [1, 3, 5, 7]]
    ranks = [method.turns(whole[:4]), method.turns(whole[4:])]
    for turn in range(2):
        assert [i for own in ranks for i in own[turn].ids.tolist()] == turns[turn]
    with pytest.raises(GeneraError, match=r"7 rows a rank .* --batch-size must be a multiple of --d-steps 2"):
        method.turns(whole[:7])


def test_a_step_moves_each_network_in_its_turns():
    method = make(quantiser=FQ)
    step = step_of(method)
    moves = []
    for name, trainee in step.trainees.items():
        original = trainee.player.optimiser.step
        trainee.player.optimiser.step = lambda name=name, go=original: (moves.append(name), go())[1]
    method.update(batch(), step)
    assert moves == ["discriminator", "discriminator", "generator"]
    figures = step.averages()
    assert {"discriminator/commitment", "generator/commitment", "quantiser/blocks.0/perplexity"} <= set(figures)


def test_the_discriminators_loss_by_hand():
    method = make()
    step, rows = step_of(method), batch(4)
    terms = method.discriminator_loss(rows, step)
    step.begin(0, 0.0)
    with torch.no_grad():
        fake, classes = method.fake(step, 4)
    real = method.discriminator(rows.images, rows.labels)
    judged = method.discriminator(fake, classes)
    expected = (1 - real).clamp(min=0).mean() + (1 + judged).clamp(min=0).mean()
    torch.testing.assert_close(terms["loss"], expected)
    assert "commitment" not in terms


def test_quantisation_adds_its_means_over_fakes_and_over_reals():
    method = make(quantiser=FQ)
    step, rows = step_of(method), batch(4)
    for _ in range(2):  # the first turn gives the dictionaries their data
        step.minimise("discriminator", method.discriminator_loss, rows)
    step.begin(5, 0.0)
    terms = method.discriminator_loss(rows, step)
    step.begin(5, 0.0)
    with torch.no_grad():
        fake, classes = method.fake(step, 4)
    parts = []
    for images, labels in ((fake, classes), (rows.images, rows.labels)):
        method.discriminator(images, labels)
        parts.append(method.quantisation.commitment().mean())
    torch.testing.assert_close(terms["commitment"], parts[0] + parts[1])
    torch.testing.assert_close(terms["loss"], terms["adversarial"] + terms["commitment"])
    assert terms["commitment"] > 0


def test_the_generators_loss_reaches_it_through_the_dictionaries():
    method = make(quantiser=FQ)
    step, rows = step_of(method), batch(4)
    step.minimise("discriminator", method.discriminator_loss, rows)
    terms = method.generator_loss(rows, step)
    torch.testing.assert_close(terms["loss"], terms["adversarial"] + terms["commitment"])
    terms["commitment"].backward()
    assert method.generator.first.weight.grad.abs().sum() > 0


def test_parity_dictionaries_move_with_reals_and_fakes_in_d_and_with_fakes_in_g():
    method = make(quantiser=type(FQ)(after=("blocks.2",), codes=(4,)))
    step = step_of(method)
    method.update(batch(8), step)
    (q,) = method.quantisation.quantisers
    assert q.updates == 3
    assert q.seen[: q.size].sum() == 4 * 49  # the last: fakes of the generator's turn


def test_unlabelled_images_are_one_class():
    assets = ImageAssets(28, 1, ())
    method = make(assets)
    rows = batch(8, assets)
    rows.labels = None
    method.update(rows, step_of(method))
    assert method.sample(2)[0].shape == (1, 28, 28)
    with pytest.raises(GeneraError, match="this model has none"):
        method.sample(1, classes="cat")


def test_the_moving_average_covers_statistics_and_begins_as_a_copy():
    method = make()
    step = step_of(method, ema=0.5, ema_start=1)
    method.update(batch(), step)
    step.end()
    trainee = step.trainees["generator"]
    assert any(t is method.generator.norm.norm.running_mean for t in trainee.followed)
    assert any(t is method.generator.first.u for t in trainee.followed)
    assert all(torch.equal(mean, live) for mean, live in zip(trainee.average, trainee.followed, strict=True))
    assert step.trainees["discriminator"].average == []


# samples


def test_samples_are_images_of_the_classes_asked_for():
    method = make().eval()

    def noise():
        return torch.Generator().manual_seed(3)

    images = method.sample(3, generator=noise(), classes="dog")
    assert len(images) == 3
    assert images[0].shape == (3, 28, 28)
    assert images[0].device.type == "cpu"
    assert max(i.abs().max() for i in images) <= 1
    same = method.sample(3, generator=noise(), classes=1)
    assert all(torch.equal(a, b) for a, b in zip(images, same, strict=True))
    alternating = method.sample(4, generator=noise(), classes=["cat", "owl"])
    z = torch.randn(4, 8, generator=noise())
    direct = method.generator(z, torch.tensor([0, 2, 0, 2]))
    torch.testing.assert_close(torch.stack(alternating), direct)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 2.5}, "classes must be names or numbers, got 2.5"),
        ({"classes": [None]}, r"classes must be names or numbers, got \[None\]"),
        ({"truncation": "small"}, "truncation is 'small'; it must be a number above 0"),
    ],
)
def test_options_of_another_type_are_one_sentence(options, words):
    with pytest.raises(GeneraError, match=words):
        make().sample(1, **options)


def test_truncation_cuts_the_latent():
    z = torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    cut = truncated(z, 0.5)
    assert cut.abs().max() <= 0.5
    assert torch.equal(cut.argsort(), z.argsort())
    # of a uniform-like law on ±0.5, the standard deviation is near 1/√12
    assert cut.std().item() == pytest.approx(0.284, abs=0.01)
    torch.testing.assert_close(truncated(z, 50.0), z)
    method = make().eval()
    drawn = method.sample(3, generator=torch.Generator().manual_seed(3), classes=0, truncation=0.5)
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(torch.stack(drawn), method.generator(truncated(z, 0.5), torch.zeros(3, dtype=int)))


def test_moments_of_the_batch_at_hand_need_no_large_sample():
    """One image is normalised beside companions, not by itself."""
    method = make(test_statistics="batch").eval()
    (image,) = method.sample(1, generator=torch.Generator().manual_seed(3), classes=0)
    assert image.std() > 0
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(3))
    alone = method.generator(z, torch.tensor([0]))[0]
    assert not torch.allclose(image, alone)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": "dgo"}, "did you mean dog"),
        ({"classes": 3}, "there is no class 3; this model has 0 to 2"),
        ({"classes": []}, "classes is empty"),
        ({"truncation": 0.0}, "must be a number above 0"),
    ],
)
def test_bad_options_are_one_clear_sentence(options, words):
    with pytest.raises(GeneraError, match=words):
        make().sample(2, **options)


def test_sizes_without_an_architecture_are_refused_before_any_data_is_read():
    with pytest.raises(GeneraError, match=r"--image-size must be 28, 32, 64, 128 or 256 for these networks, got 48"):
        genera.configure("biggan:nano", image_size=48, data="images:/no/such/folder").check()
    with pytest.raises(GeneraError, match="got 30"):
        make(ImageAssets(30, 3, ()))


def test_a_run_folder_is_enough_to_sample(tmp_path):
    config = genera.configure(
        "biggan:nano-fq", limit=40, image_size=28, steps=2, batch_size=8, width=2, latent_size=8, device="cpu"
    )
    genera.train(config, tmp_path / "run")
    run = genera.load(tmp_path / "run", device="cpu")
    images = run.sample(2, seed=1, classes="star", truncation=1.0)
    assert images[0].shape == (3, 28, 28)
    assert all(
        torch.equal(a, b) for a, b in zip(images, run.sample(2, seed=1, classes="star", truncation=1.0), strict=True)
    )


def test_a_dictionary_of_another_size_is_named(tmp_path):
    config = genera.configure("biggan:nano-fq", limit=40, image_size=28, steps=1, batch_size=8, width=2, device="cpu")
    folder = genera.train(config, tmp_path / "run")
    other = BigGan(
        replace(config.model, quantiser=replace(config.model.quantiser, codes=(32,))), ImageAssets.load(folder.assets)
    )
    with pytest.raises(GeneraError, match=r"codes is \(64, 8\) and must be \(32, 8\)"):
        checkpoint.load_weights(other, checkpoint.pick(folder.checkpoints))


# what the dictionaries do in a discriminator that learns


@pytest.fixture(scope="module")
def dictionaries(tmp_path_factory):
    """name → (usage of the dictionaries, variance of the features before them) after 50 steps at a high rate: three
    settings of the commitment loss in the same tiny run."""
    torch.set_num_threads(1)
    settings = {
        "unfelt": replace(FQ, weight=0.0),
        "released start, weight 10": replace(FQ, weight=10.0, decay=0.8, init="normal", ema="release", revive_below=0),
        "from data, weight 10": replace(FQ, weight=10.0),
    }
    found = {}
    for name, quantiser in settings.items():
        config = registry.configure(
            "biggan:nano", quantiser=quantiser, width=2, d_lr=1e-3, image_size=28, limit=100, steps=50, batch_size=16,
            log_every=10, checkpoint_every=50, ema=0.0, device="cpu", seed=0, first_weights="orthogonal",
        )  # fmt: skip
        run = genera.load(genera.train(config, tmp_path_factory.mktemp("dictionaries") / "run").path, device="cpu")
        last = run.folder.metrics()[-1]
        found[name] = [last[f"quantiser/{path}/usage"] for path in FQ.after], _variances(run.method)
    return found


def _variances(method):
    """Mean variance over images and positions of each channel before the dictionaries, on images of the world."""
    found, blocks = [], dict(method.discriminator.named_modules())
    for path in FQ.after:
        blocks[path].register_forward_hook(
            lambda _, __, h: found.append(h.transpose(0, 1).flatten(1).var(1).mean().item())
        )
    truth = worlds.load("shapes")
    drawn = truth.draw(64, split="valid")
    images = torch.from_numpy(truth.render(drawn, 28)).float() / 127.5 - 1
    with torch.no_grad():
        method.discriminator(images, torch.from_numpy(drawn.label))
    return found


def test_the_released_start_loses_its_codes_in_training_and_one_from_data_keeps_them(dictionaries):
    released, _ = dictionaries["released start, weight 10"]
    from_data, _ = dictionaries["from data, weight 10"]
    assert max(released[:2]) < 0.5
    assert min(from_data) > 0.9


def test_a_large_weight_shrinks_the_features_most_where_codes_are_lost(dictionaries):
    (_, free), (_, released), (_, kept) = dictionaries.values()
    assert all(own < 0.85 * other for own, other in zip(released, free, strict=True))
    assert sum(released) < sum(kept) < sum(free)
