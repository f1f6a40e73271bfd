"""SpaceFusion, StyleFusion and Seq2Seq: the losses against their equations, and what each weight is trained by."""

from dataclasses import replace

import pytest
import torch

from genera import worlds
from genera.data.dialogues.batches import DialogueAssets, DialogueBatch, collate_contexts
from genera.data.dialogues.config import DialogueConfig
from genera.data.text.batches import collate
from genera.data.vocabularies.tokenisers import Tokeniser
from genera.engine.registry import preset
from genera.errors import GeneraError
from genera.methods.families.text_vae import drawn
from genera.methods.spacefusion.config import SpaceFusionConfig
from genera.methods.spacefusion.method import SpaceFusion
from text_sizes import SIZE

ROWS = 8


@pytest.fixture(scope="module")
def dialogues():
    return worlds.load("dialogues").dialogues(60)


@pytest.fixture(scope="module")
def assets(dialogues):
    turns = [turn for dialogue in dialogues for turn in dialogue]
    return DialogueAssets(
        Tokeniser.train("wordpiece", lambda: turns, 300), Tokeniser.train("bpe", lambda: turns, 320), 10, 40
    )


@pytest.fixture(scope="module")
def batch(dialogues, assets):
    context, segments = collate_contexts([d[: 1 + i % 3] for i, d in enumerate(dialogues[:ROWS])], assets)
    responses = collate([d[1 + i % 3] for i, d in enumerate(dialogues[:ROWS])], assets)
    style = collate([" ".join(s.split()[:5]) for s in worlds.load("dialogues-style").sentences(ROWS)], assets)
    return DialogueBatch(
        responses.ids, context, segments, responses.encoder, responses.decoder, style.encoder, style.decoder
    )


@pytest.fixture
def make(assets):
    def make(**options):
        torch.manual_seed(0)
        plain = {"encoder": SIZE, "decoder": SIZE, "latent_size": 4, "latent_init": 0.3, "freeze_shared": False}
        method = SpaceFusion(SpaceFusionConfig(**{**plain, **options}), assets)
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return method.eval()

    return make


def points(method, batch, step):
    """z_S2S, z_AE and z between, of the noise that the step deals, in the order of the equations."""
    network, rows = method.network, len(batch)
    context = drawn(*method.encode_context(batch.context, batch.segments), step.normal(rows, 4))
    response = drawn(*network.encode(batch.encoder), step.normal(rows, 4))
    noise = step.normal(rows, 4)
    t = step.uniform(rows, 1)
    return context, response, t * context + (1 - t) * response + method.config.between_noise * noise


def test_the_loss_is_the_equation(make, batch, step_at):
    method = make(beta=1.5, spread_limit=2.0)
    context, response, between = points(method, batch, step_at(0.5))
    nats = [-method.network.log_likelihood(batch.decoder, z).mean() for z in (response, context, between)]

    def spread(z):  # the second implementation: one pair after the other
        pairs = [
            ((z[g + i] - z[g + j]) ** 2).mean().sqrt().clamp(max=2.0)
            for g in range(0, ROWS, 4)
            for i in range(4)
            for j in range(4)
            if i != j
        ]
        return sum(pairs) / len(pairs)

    apart = ((response - context) ** 2).mean(1).sqrt().mean()
    expected = sum(nats) / 3 + 1.5 * (apart - spread(response) - spread(context))
    terms = method.objective(batch, step_at(0.5))
    torch.testing.assert_close(terms["loss"], expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(terms["distance"], apart)
    torch.testing.assert_close(terms["nats_between"], nats[2])


def test_seq2seq_is_the_likelihood_given_the_context(make, batch, step_at):
    method = make(objective="seq2seq", context_layers=0)
    context = drawn(*method.encode_context(batch.context, batch.segments), step_at(0.5).normal(ROWS, 4))
    expected = -method.network.log_likelihood(batch.decoder, context).mean()
    torch.testing.assert_close(method.objective(batch, step_at(0.5))["loss"], expected)


def test_the_style_loss_weighs_both_sentences_by_their_shares(make, batch, step_at):
    method, network = make(objective="stylefusion"), make(objective="stylefusion").network
    response = torch.randn(ROWS, 4)
    step = step_at(0.5)
    style = drawn(*network.encode(batch.style_encoder), step.normal(ROWS, 4))
    t = step.uniform(ROWS, 1)
    z = t * style + (1 - t) * response
    both = t[:, 0] * network.log_likelihood(batch.style_decoder, z) + (1 - t[:, 0]) * network.log_likelihood(
        batch.decoder, z
    )
    torch.testing.assert_close(method.style_loss(batch, response, step_at(0.5)), -both.mean())
    plain = make(objective="spacefusion").objective(batch, step_at(0.5))
    terms = method.objective(batch, step_at(0.5))
    torch.testing.assert_close(terms["loss"], plain["loss"] + terms["nats_style"])


def test_points_that_coincide_have_a_slope(make):
    method = make()
    same = torch.zeros(4, 4, requires_grad=True)
    apart, spread = method.distances(same, same)
    (apart - spread).backward()
    assert torch.isfinite(same.grad).all()
    assert (apart.item(), spread.item()) == pytest.approx((0, 0), abs=1e-5)


def test_far_points_press_no_further(make):
    method = make(spread_limit=0.3)
    apart, spread = method.distances(torch.eye(4) * 100, torch.eye(4) * 50)
    assert spread.item() == pytest.approx(0.6)
    assert apart.item() == pytest.approx(25.0)


def test_rows_must_divide_into_groups(make):
    with pytest.raises(GeneraError, match=r"6 rows .* do not divide into groups of 4 .* change --batch-size"):
        make().distances(torch.randn(6, 4), torch.randn(6, 4))


def test_context_layers_begin_as_copies(make, batch):
    method = make(context_layers=1)
    network = method.network
    method.context_layers.copy(network)
    flat = torch.zeros_like(batch.segments)
    own, shared = method.encode_context(batch.context, flat), network.encode(batch.context)
    torch.testing.assert_close(own, shared)
    with torch.no_grad():
        weight = method.context_layers.blocks[0].feed_forward.down.weight
        weight.add_(torch.randn_like(weight))
    assert not torch.allclose(method.encode_context(batch.context, flat)[0], shared[0])
    torch.testing.assert_close(network.encode(batch.context), shared)


def test_who_speaks_counts(make, batch):
    method = make()
    one = method.encode_context(batch.context, batch.segments)[0]
    other = method.encode_context(batch.context, 1 - batch.segments)[0]
    assert not torch.allclose(one, other)


def test_padding_does_not_count(make, batch):
    method = make()
    wide = torch.nn.functional.pad(batch.context, (0, 5)), torch.nn.functional.pad(batch.segments, (0, 5), value=1)
    torch.testing.assert_close(method.encode_context(*wide), method.encode_context(batch.context, batch.segments))


@pytest.mark.parametrize(("layers", "own"), [(1, {"1"}), (2, {"0", "1"})])
def test_frozen_is_all_of_the_encoder_but_the_last_layers(make, layers, own):
    method = make(freeze_shared=True, context_layers=layers, feature="pooler")
    network = method.network
    trained = {name for name, parameter in network.encoder.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[1] for name in trained if name.startswith("blocks.")} == own
    assert {name.split(".")[0] for name in trained} == {"blocks", "pooler"}
    assert all(p.requires_grad for part in (method.context_layers, network.decoder) for p in part.parameters())


EFFECTS = {
    "beta": 0.2,
    "spread_limit": 5.0,
    "spread_group": 2,
    "between_noise": 0.7,
    "context_layers": 2,
    "injection": "memory",
    "feature": "cls",
}


@pytest.mark.parametrize(("name", "value"), EFFECTS.items())
def test_every_option_moves_the_loss(make, batch, step_at, name, value):
    changed = {name: value, "spread_limit": 5.0} if name == "spread_group" else {name: value}
    plain = make(**({"spread_limit": 5.0} if name == "spread_group" else {})).objective(batch, step_at(0.5))["loss"]
    assert not torch.isclose(plain, make(**changed).objective(batch, step_at(0.5))["loss"], rtol=1e-6)


def test_responses_of_a_context_depend_on_no_other(make, dialogues):
    method, contexts = make(), [list(d[:1]) for d in dialogues[:3]]
    both = method.respond(contexts, 2, temperature=0.0, max_tokens=8, generator=torch.Generator().manual_seed(1))
    assert [len(each) for each in both] == [2, 2, 2]
    scores = method.score_responses(contexts, ["thank you ."] * 3, 5, generator=torch.Generator().manual_seed(1))
    assert scores.shape == (5, 3)
    assert (scores < 0).all()


def test_options_that_do_not_go_together():
    fields = [
        ({"objective": "seq2seq"}, "--context-layers must be 0"),
        ({"context_layers": 13}, "--context-layers must lie in 0 .. 12"),
        ({"spread_group": 1}, "--spread-group"),
        ({"spread_limit": 0}, "--spread-limit"),
        ({"between_noise": -1}, "--between-noise"),
        ({"beta": -1}, "--beta"),
        ({"latent_size": 0}, "--latent-size"),
    ]
    for options, message in fields:
        (complaint,) = SpaceFusionConfig(**options).check()
        assert message in complaint
    data = DialogueConfig(max_tokens=64)
    assert "needs sentences in the style" in SpaceFusionConfig(objective="stylefusion").check_data(data)[0]
    assert "is for --objective stylefusion" in SpaceFusionConfig().check_data(replace(data, style="text:a"))[0]
    tight = SpaceFusionConfig(encoder=SIZE, decoder=SIZE)
    assert len(tight.check_data(DialogueConfig(max_tokens=64, max_context_tokens=64))) == 2


@pytest.mark.parametrize("name", ["nano", "nano-style", "nano-seq2seq", "paper", "paper-style", "paper-seq2seq"])
def test_presets_go_together(name):
    preset(f"spacefusion:{name}")[1].check()
