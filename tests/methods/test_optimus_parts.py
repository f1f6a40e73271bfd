"""Optimus with pretrained parts: where the memory stands, rates of the parts, and the head start of z."""

from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers import DynamicCache

import genera
from genera.blocks.optimisers import OPTIMISERS
from genera.blocks.pretrained import export_weights
from genera.blocks.size import DecoderShape
from genera.engine import checkpoint
from genera.engine.config import RunConfig, TrainConfig
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.methods.optimus.config import OptimusConfig
from training import start, tiny

LLAMA = DecoderShape(
    layers=2, hidden=16, heads=4, feed_forward=32, positions=48, layout="llama", key_value_heads=2, rotary_base=50.0
)
PARTS = ("encoder", "decoder", "latent")


# the memory of a Llama


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("positions", ["first", "none"])
def test_tokens_follow_the_memory_or_start_at_position_0(make_optimus, text, positions, slots):
    """transformers' Llama, whose cache holds the memory as it is, with the positions said to it."""
    network = make_optimus(decoder=LLAMA, memory_positions=positions, memory_slots=slots).network
    size = network.decoder.size
    config = transformers.LlamaConfig(
        vocab_size=size.vocabulary, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=32, max_position_embeddings=48, rms_norm_eps=1e-6, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 50.0},
    )  # fmt: skip
    oracle = transformers.LlamaForCausalLM(config).eval()
    names = {
        ("" if name.startswith("lm_head") else "model.") + name: t
        for name, t in export_weights(network.decoder).items()
    }
    oracle.load_state_dict(names)
    ids, z = text.batch().decoder, torch.randn(8, 4)
    given = network.conditions(z)
    cache = DynamicCache()
    for layer, memory in enumerate(given["memory"].unbind(1)):
        cache.update(memory, memory, layer)
    count = ids.shape[1] - 1
    first = slots if positions == "first" else 0
    logits = oracle(
        inputs_embeds=oracle.model.embed_tokens(ids[:, :-1]) + given["embedding"][:, None],
        past_key_values=cache,
        position_ids=torch.arange(first, first + count)[None],
        attention_mask=torch.ones(8, slots + count),
    ).logits
    wanted = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    lengths = text.batch().length - 1
    inside = torch.arange(count) < lengths[:, None]
    assert_close(network.log_likelihood(ids, z), (wanted * inside).sum(1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", ["gpt2", "llama"])
def test_both_ways_differ_and_decode_as_they_score(make_optimus, layout):
    decoder = replace(LLAMA, layout=layout, rotary_base=50.0 if layout == "llama" else None)
    sentences = ["a dog .", "two cats are hiding the bottle ."]
    scores = []
    for positions in ("first", "none"):
        model = make_optimus(decoder=decoder, memory_positions=positions, memory_slots=3)
        z = model.encode(sentences).mean
        scores.append(model.score_given(sentences, z))
        best = model.decode(z, beams=1)
        assert best == model.decode(z)
        full = model.config.longest
        assert full == {"first": 46, "none": 48}[positions]
        longest = [" ".join(["."] * (full - 2))]
        assert model.score_given(longest, model.encode(longest).mean).isfinite().all()
    assert not torch.allclose(*scores, atol=1e-3)


def test_a_slot_for_every_position(make_optimus, text):
    """The injection of LangVAE: as many keys and values as tokens."""
    longest = text.batch().decoder.shape[1]
    model = make_optimus(memory_slots=longest, injection="memory", memory_positions="none")
    z = torch.randn(8, 4)
    assert model.network.conditions(z)["memory"].shape == (8, 2, 4, longest, 4)
    assert (model.score_given(text.sentences, z) - model.score_given(text.sentences, z.flip(0))).abs().min() > 1e-4
    assert len(model.decode(z, max_tokens=longest)) == 8


# rates of the parts


def rates_of(model) -> list[float]:
    return [group["lr"] for group in model.players()["vae"].optimiser.param_groups]


def test_parts_have_their_own_rates(make_optimus):
    assert rates_of(make_optimus(lr=1e-3)) == [1e-3]
    model = make_optimus(lr=1e-3, decoder_lr=1e-4, latent_lr=1e-2)
    assert rates_of(model) == [1e-3, 1e-4, 1e-2]
    groups = model.players()["vae"].optimiser.param_groups
    by_part = [{id(p) for p in group["params"]} for group in groups]
    for name, parameter in model.network.named_parameters():
        part = {"encoder": 0, "decoder": 1}.get(name.partition(".")[0], 2)
        assert [id(parameter) in ids for ids in by_part] == [part == i for i in range(3)], name
    assert rates_of(make_optimus(lr=1e-3, decoder_lr=1e-4, freeze=("encoder",))) == [1e-4, 1e-3]


SHORT = {
    "data": "world:captions-small", "limit": 200, "vocabulary": 400, "steps": 8, "batch_size": 16, "log_every": 2,
    "validate_every": 2, "validate_batches": 1, "checkpoint_every": 4, "device": "cpu",
}  # fmt: skip


def configured(**changes: object) -> RunConfig:
    config = genera.configure("optimus:nano", **SHORT)
    return replace(config, model=replace(config.model, warmup=0, **changes))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_tiny_rate_keeps_a_part_where_it_is_and_every_optimiser_has_rates_and_a_head_start(optimiser, tmp_path):
    torch.set_num_threads(1)
    config = configured(optimiser=optimiser, decoder_lr=1e-30, lr=1e-2, head_start=0.4, weight_decay=0.0)
    folder = genera.train(config, tmp_path / "run")
    first, last = (load_file(path / "weights.safetensors") for path in checkpoint.list_checkpoints(folder.checkpoints))
    moved = dict.fromkeys(PARTS, 0.0)
    for name, tensor in last.items():
        child = name.split(".")[1]
        part = child if child in PARTS else "latent"
        moved[part] = max(moved[part], float((tensor - first[name]).abs().max()))
    assert moved["decoder"] < 1e-12
    assert moved["encoder"] > 1e-7
    assert moved["latent"] > 1e-7


# the head start of z


def test_encoder_and_decoder_keep_weights_and_state_for_the_share(make_optimus, text):
    model = make_optimus(head_start=0.5, lr=1e-2, word_dropout=0.3).train()
    config, ranks = TrainConfig(steps=10), Ranks(0, 1, torch.device("cpu"))
    step = Step(config, ranks, enrol(model.players(), config, ranks))
    batch = text.batch()
    start_weights = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    held = {name for name in start_weights if name.partition(".")[0] in ("encoder", "decoder")}
    assert len(held) > 40
    for index in range(10):
        step.begin(index, index / 10)
        model.update(batch, step)
        optimiser = step.trainees["vae"].player.optimiser
        for name, parameter in model.network.named_parameters():
            moved = not torch.equal(parameter, start_weights[name])
            if name in held:
                assert moved <= (index >= 5), name
                assert (parameter in optimiser.state) <= (index >= 5), name
            elif index == 4:
                assert moved, name
            assert parameter.requires_grad
    assert sum(p in optimiser.state for p in model.network.parameters()) > len(held)


def test_the_gradient_of_the_latent_maps_is_as_if_nothing_were_held(make_optimus, text):
    norms, grads = [], []
    for share in (0.0, 0.5):
        model = make_optimus(head_start=share, lr=1e-2).train()
        config, ranks = TrainConfig(steps=10, clip=0), Ranks(0, 1, torch.device("cpu"))
        step = Step(config, ranks, enrol(model.players(), config, ranks))
        step.begin(0, 0.0)
        model.update(text.batch(), step)
        grads.append({n: p.detach().clone() for n, p in model.network.named_parameters() if n.startswith("to_")})
        norms.append(step.averages()["grad_norm"])
    for name, after in grads[0].items():
        assert torch.equal(grads[1][name], after), name
    assert norms[1] < norms[0]  # clipping looks at the latent maps alone


def test_word_dropout_hides_tokens_in_training_alone(make_optimus, text, step_at):
    batch = text.batch()
    for share in (0.0, 0.4, 1.0):
        model = make_optimus(word_dropout=share)
        whole = model.objective(batch, step_at(0.2))["reconstruction"]
        assert_close(whole, make_optimus().objective(batch, step_at(0.2))["reconstruction"])
        model.train()
        assert (share == 0) == torch.equal(model.objective(batch, step_at(0.2))["reconstruction"], whole)
        dropped = model.dropped_words(batch, step_at(0.2))
        if share:
            assert not dropped[:, 0].any()  # the begin token
            assert abs(dropped[:, 1:].float().mean() - share) < 0.1
    # With all tokens hidden, a token's probability depends on its place and on z alone.
    z = torch.randn(len(batch), 4)
    network = make_optimus().network
    other = batch.decoder.clone()
    other[:, 3] = (other[:, 3] + 1) % 200
    states = [network.decoder(ids[:, :-1], dropped=dropped, **network.conditions(z)) for ids in (batch.decoder, other)]
    assert torch.equal(*states)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder_lr": 0.0}, "--encoder-lr must be above 0"),
        ({"latent_lr": -1.0}, "--latent-lr must be above 0"),
        ({"decoder_lr": 1e-4, "freeze": ("decoder",)}, "--decoder-lr has no effect with --freeze decoder"),
        ({"head_start": 1.0}, "--head-start is a share of the budget in [0, 1), got 1.0"),
        ({"head_start": 0.1, "freeze": ("encoder", "decoder")}, "--head-start has no effect with --freeze"),
        ({"word_dropout": 1.2}, "--word-dropout must lie in [0, 1], got 1.2"),
        ({"memory_positions": "none", "injection": "embedding"}, "--memory-positions none needs --injection"),
    ],
)
def test_settings_that_make_no_sense(options, words):
    (complaint,) = OptimusConfig(**options).check()
    assert words in complaint


def test_a_rate_that_nothing_survives_is_refused():
    config = configured(latent_lr=1e5)
    with pytest.raises(GeneraError, match="--latent-lr must be at most 1000"):
        config.check()


def test_two_ranks_hold_what_one_does(tmp_path):
    """DDP computes all gradients; those of held parts are dropped."""
    spec, *words = tiny("optimus")
    words += ["model.head_start=0.5", "train.steps=6", "train.validate_every=0"]
    words += ["train.checkpoint_every=1", "train.keep=9"]
    for ranks in (1, 2):
        done = start(spec, tmp_path / f"{ranks}", *words, ranks=ranks)
        assert done.returncode == 0, done.stderr
    paths = [checkpoint.list_checkpoints(tmp_path / f"{ranks}" / "checkpoints") for ranks in (1, 2)]
    one, two = ([load_file(path / "weights.safetensors") for path in some] for some in paths)
    for first, second in zip(one, two, strict=True):
        for name, tensor in first.items():
            assert_close(tensor, second[name], atol=1e-5, rtol=1e-4)
    for run in (one, two):
        embedding = [weights["network.decoder.tokens.weight"] for weights in run]
        assert [torch.equal(embedding[0], later) for later in embedding] == [True] * 3 + [False] * 3
