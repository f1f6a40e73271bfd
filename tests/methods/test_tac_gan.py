"""TAC-GAN: parameter counts, who learns from what, its rivals, and bad input."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from genera.data.images.dataset import ImageAssets, ImageBatch
from genera.engine import registry
from genera.engine.config import TrainConfig
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.methods.tac_gan.config import TacGanConfig
from genera.methods.tac_gan.method import TacGan
from genera.methods.tac_gan.presets import PRESETS

ASSETS = ImageAssets(28, 3, ("cat", "dog", "owl"))
CONFIG = TacGanConfig(width=2, latent_size=8, test_statistics="running")


def make(**settings):
    torch.manual_seed(0)
    return TacGan(TacGanConfig(**{**vars(CONFIG), **settings}), ASSETS)


def batch(rows=8):
    images = torch.rand(rows, 3, 28, 28, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return ImageBatch(ids=torch.arange(rows), images=images, labels=torch.arange(rows) % 3)


def step_of(method):
    config, alone = TrainConfig(steps=10, clip=0), Ranks(0, 1, torch.device("cpu"))
    step = Step(config, alone, enrol(method.players(), config, alone))
    step.begin(0, 0.0)
    return step


@pytest.mark.parametrize(
    ("preset", "heads"),
    [("cifar100", 2 * 25_700), ("cifar100-fq", 2 * 25_700), ("cifar10", 2 * 2_570)],
)
def test_parameters_are_those_of_bigans_trunk_and_three_heads(preset, heads):
    chosen = PRESETS[preset]
    with torch.device("meta"):
        method = TacGan(chosen.model, ImageAssets(32, 3, tuple(map(str, range(chosen.data.classes)))))
    trunk, score = 4_204_544, 257
    assert sum(p.numel() for p in method.discriminator.parameters()) == trunk + score + heads
    if chosen.data.classes == 100:
        assert sum(p.numel() for p in method.generator.parameters()) == 4_580_867


@pytest.mark.parametrize("name", PRESETS)
def test_presets_pass_their_checks(name):
    registry.preset(f"tac-gan:{name}")[1].check()
    if name.endswith("-fq"):
        plain = PRESETS[name.removesuffix("-fq")]
        assert replace(PRESETS[name].model, quantiser=plain.model.quantiser) == plain.model
        assert (PRESETS[name].train, PRESETS[name].data) == (plain.train, plain.data)


@pytest.mark.parametrize("data", ["cifar10", "cifar100", "imagenet128"])
def test_dictionaries_are_bigans_on_the_same_data(data):
    assert PRESETS[f"{data}-fq"].model.quantiser == registry.preset(f"biggan:{data}-fq")[1].model.quantiser


def parts(method, rows):
    """The two batches that D sees in its turn, judged apart, with the fakes' classes."""
    step = step_of(method)
    with torch.no_grad():
        fake, classes = method.fake(step, len(rows))
    return method.discriminator(rows.images), method.discriminator(fake), classes


@pytest.mark.parametrize("classifier", ["twin", "auxiliary"])
def test_the_discriminators_loss_by_hand(classifier):
    method, rows = make(classifier=classifier, classifier_weight=0.7), batch()
    terms = method.discriminator_loss(rows, step_of(method))
    real, fake, classes = parts(method, rows)
    expected = F.relu(1 - real.score).mean() + F.relu(1 + fake.score).mean()
    expected = expected + 0.7 * F.cross_entropy(real.classes, rows.labels)
    if classifier == "twin":
        expected = expected + 0.7 * F.cross_entropy(fake.twins, classes)
    torch.testing.assert_close(terms["loss"], expected)
    assert ("twin" in terms) == (classifier == "twin")
    torch.testing.assert_close([terms["real"], terms["fake"]], [real.score.mean(), fake.score.mean()])


@pytest.mark.parametrize("classifier", ["twin", "auxiliary"])
def test_the_generators_loss_by_hand(classifier):
    method, rows = make(classifier=classifier, classifier_weight=0.7), batch()
    terms = method.generator_loss(rows, step_of(method))
    _, fake, classes = parts(method, rows)
    expected = -fake.score.mean() + 0.7 * F.cross_entropy(fake.classes, classes)
    if classifier == "twin":
        expected = expected - 0.7 * F.cross_entropy(fake.twins, classes)
    torch.testing.assert_close(terms["loss"], expected)


def test_the_classifier_learns_from_reals_alone_and_its_twin_from_fakes_alone():
    """So swapping the labels of the reals changes the classifier's gradient and leaves the twin's."""
    method, rows = make(), batch()

    def gradients():
        method.zero_grad()
        method.discriminator_loss(rows, step_of(method))["loss"].backward()
        return method.discriminator.classifier.weight.grad.clone(), method.discriminator.twin.weight.grad.clone()

    before = gradients()
    rows.labels = rows.labels.roll(1)
    after = gradients()
    assert not torch.allclose(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_the_multi_class_hinge():
    method = make(classifier_loss="hinge")
    logits, y = torch.tensor([[2.0, 0.0, 1.5]]), torch.tensor([0])
    # j = y gives 1, then 1 - 2 + 0 → 0 and 1 - 2 + 1.5 = 0.5
    torch.testing.assert_close(method.learning_loss(logits, y), torch.tensor(1.5 / 3))
    torch.testing.assert_close(method.fooling_loss(logits, y), torch.tensor((0 - 2 - 0.5) / 3))


def test_projection_is_bigans_discriminator():
    method, rows = make(classifier="projection"), batch()
    terms = method.discriminator_loss(rows, step_of(method))
    assert set(terms) == {"loss", "adversarial", "real", "fake"}
    assert method.discriminator.conditional


@pytest.mark.parametrize("fq", [False, True])
def test_a_step_takes_its_turns(fq):
    quantiser = PRESETS["nano-fq"].model.quantiser if fq else CONFIG.quantiser
    method = make(d_steps=2, g_steps=3, quantiser=quantiser)
    step, moves = step_of(method), []
    for name, trainee in step.trainees.items():
        go = trainee.player.optimiser.step
        trainee.player.optimiser.step = lambda name=name, go=go: (moves.append(name), go())
    method.update(batch(), step)
    assert moves == ["discriminator"] * 2 + ["generator"] * 3


def test_the_generators_turns_draw_their_own_noise():
    method, seen = make(g_steps=2, d_steps=1), []
    original = method.generator_loss

    def watched(rows, step):
        seen.append(step.normal(4, 8))
        return original(rows, step)

    method.generator_loss = watched
    method.update(batch(), step_of(method))
    assert not torch.allclose(seen[0], seen[1])


@pytest.mark.parametrize(
    ("classes", "words"), [((), "the data has no labels"), (("a",), "the data has one class, 'a'")]
)
def test_data_without_classes_is_refused(classes, words):
    with pytest.raises(GeneraError, match=words):
        TacGan(CONFIG, ImageAssets(28, 3, classes))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"g_steps": 0}, "--g-steps must be at least 1"),
        ({"classifier_weight": -1.0}, "--classifier-weight must be 0 or above"),
        ({"classifier": "projection", "classifier_loss": "hinge"}, "projection has none"),
    ],
)
def test_settings_are_checked(settings, words):
    (complaint,) = TacGanConfig(**settings).check()
    assert words in complaint
