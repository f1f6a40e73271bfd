"""The language model `lm`: published sizes, its own end token, packing, and the loss of a divided batch."""

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genera.blocks.pretrained import DECODERS, read_size
from genera.blocks.size import DecoderShape
from genera.data.text.batches import TextBatch, collate, text_stream
from genera.data.text.packing import Packed
from genera.data.text.store import Ragged
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.engine.config import TrainConfig
from genera.engine.dry_run import dry_run
from genera.engine.ranks import Ranks
from genera.engine.registry import configure, preset
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.methods.lm.config import LmConfig
from genera.methods.lm.method import Lm

COUNTS = {
    "gpt2-124m": 124_439_808,
    "gpt2-355m": 354_823_168,
    "gpt2-774m": 774_030_080,
    "gpt2-1558m": 1_557_611_200,
    "smollm2-135m": 134_515_008,
}
PADDED = {"megatron-1.2b": 50_304, "megatron-2.5b": 50_432, "megatron-4.2b": 50_688, "megatron-8.3b": 51_200}
PADDED |= {"turing-17b": 50_688}
"""Vocabulary: GPT-2's 50,257, padded to a multiple of 128 × the published ranks of tensor parallelism."""
BILLIONS = {"megatron-1.2b": 1.21, "megatron-2.5b": 2.49, "megatron-4.2b": 4.20, "megatron-8.3b": 8.31}
BILLIONS |= {"turing-17b": 17.2}


@pytest.fixture(scope="module")
def tokenisers(text):
    own = Tokeniser.train("bpe", lambda: text.sentences * 5, 300, special_tokens="own")
    return Tokenisers(encoder=None, decoder=own)


def small(layout="gpt2", **options):
    return DecoderShape(layers=2, hidden=32, heads=4, feed_forward=48, positions=64, layout=layout, init=0.1, **options)


LAYOUTS = {
    "gpt2": small(),
    "llama": small("llama", key_value_heads=2, tied=True),
}


@pytest.fixture(params=LAYOUTS)
def lm(request, tokenisers):
    torch.manual_seed(0)
    method = Lm(LmConfig(decoder=LAYOUTS[request.param], lr=0.01), tokenisers)
    for parameter in method.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return method.eval()


# -- sizes


def parameters(name):
    config = preset(f"lm:{name}")[1]
    with torch.device("meta"):
        assets, _ = Lm.dataset.sketch(config.data, 1)
        return sum(p.numel() for p in Lm(config.model, assets).parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_published_sizes_have_the_published_counts(name):
    assert parameters(name) == COUNTS[name]


@pytest.mark.parametrize("name", PADDED)
def test_megatron_and_turing_have_the_counts_of_the_formula(name):
    """12·L·d² + 13·L·d + (V + 1024)·d + 2·d."""
    size = preset(f"lm:{name}")[1].model.decoder

    def count(vocabulary):
        d, layers = size.hidden, size.layers
        return 12 * layers * d**2 + 13 * layers * d + (vocabulary + 1024) * d + 2 * d

    assert parameters(name) == count(PADDED[name])
    digits = 1 if name == "turing-17b" else 2
    assert round(count(50_257) / 1e9, digits) == BILLIONS[name]  # as published, without the unused tokens


def test_the_dry_run_prints_the_count():
    small_batch = {"batch_size": 8, "precision": "fp32"}
    assert dry_run(configure("lm:gpt2-124m", **small_batch))["parameters"] == COUNTS["gpt2-124m"]


def test_published_recipes():
    """The table of the sheet: GPT-2 by nanoGPT's reproduction, Megatron-LM, Turing-NLG."""
    gpt2, megatron, turing = (preset(f"lm:{name}")[1] for name in ("gpt2-124m", "megatron-8.3b", "turing-17b"))
    assert (gpt2.model.lr, gpt2.model.warmup, gpt2.model.weight_decay, gpt2.model.betas) == (
        6e-4,
        2000,
        0.1,
        (0.9, 0.95),
    )
    assert gpt2.model.lr * gpt2.model.decay_to == pytest.approx(6e-5)
    assert (gpt2.model.position_init, gpt2.model.decoder.dropout, gpt2.model.decayed) == (0.01, 0.0, "matrices")
    assert (gpt2.train.batch_size, gpt2.train.steps, gpt2.train.clip) == (512, 600_000, 1.0)
    for config, warmup in ((megatron, 3000), (turing, 3200)):
        assert (config.model.lr, config.model.warmup, config.model.weight_decay) == (1.5e-4, warmup, 0.01)
        assert config.model.lr * config.model.decay_to == pytest.approx(1e-5)
        assert (config.train.batch_size, config.train.steps, config.model.decoder.dropout) == (512, 300_000, 0.1)
        assert config.model.checkpointing
    for config in (gpt2, megatron, turing):
        assert (config.data.context, config.data.special_tokens) == (1024, "own")
        config.check()


def test_initial_weights_follow_the_published_scheme(tokenisers):
    """Residual projections N(0, .02/√(2L)), positions N(0, .01), all other matrices N(0, .02)."""
    shape = DecoderShape(layers=8, hidden=128, heads=4, feed_forward=512, positions=1024)
    torch.manual_seed(0)
    lm = Lm(LmConfig(decoder=shape, position_init=0.01), tokenisers)
    for name, parameter in lm.decoder.named_parameters():
        if parameter.ndim == 1:
            continue
        expected = 0.02
        if name.endswith((".attention.out.weight", ".feed_forward.down.weight")):
            expected = 0.02 / 16**0.5
        elif name.startswith("positions"):
            expected = 0.01
        assert parameter.std().item() == pytest.approx(expected, rel=0.03), name


# -- what a decoder must not do


def test_later_tokens_change_no_earlier_logits_and_the_cache_changes_none(lm):
    torch.manual_seed(1)
    ids = torch.randint(0, 280, (3, 20))
    with torch.no_grad():
        logits = lm.decoder.logits(lm.decoder(ids))
        for place in (1, 10, 19):
            edited = ids.clone()
            edited[:, place] = (edited[:, place] + 1) % 280
            other = lm.decoder.logits(lm.decoder(edited))
            assert torch.equal(other[:, :place], logits[:, :place])
            assert not torch.equal(other[:, place], logits[:, place])
        cache = lm.decoder.cache(3, 20)
        cached = [lm.decoder.logits(lm.decoder(ids[:, i : i + 1], cache=cache)) for i in range(20)]
        assert_close(torch.cat(cached, 1), logits, atol=1e-5, rtol=1e-5)


# -- likelihood


def test_the_end_token_is_a_target_once_and_padding_never(lm, text):
    """Begin, end and padding are one id; each sentence alone, without padding, by hand."""
    score = lm.score(text.sentences)
    for sentence, found in zip(text.sentences, score.log_weights[0], strict=True):
        (row,) = lm.tokeniser.encode_batch([sentence])
        assert row[0] == row[-1] == lm.tokeniser.pad
        ids = torch.tensor([row])
        logits = lm.decoder.logits(lm.decoder(ids[:, :-1])).log_softmax(-1)
        assert_close(found, logits.gather(2, ids[:, 1:, None]).sum().double(), atol=1e-4, rtol=1e-5)
    whole = collate(text.sentences, lm.assets)
    assert_close(lm.log_likelihood(whole.decoder).double(), score.log_weights[0], atol=1e-4, rtol=1e-5)


def test_a_long_text_is_read_in_windows(lm, text):
    long = " ".join(text.sentences * 3)
    (row,) = lm.tokeniser.encode_batch([long])
    assert len(row) > 129
    expected = 0.0
    for first in range(0, len(row) - 1, 64):
        ids = torch.tensor([row[first : first + 65]])
        logits = lm.decoder.logits(lm.decoder(ids[:, :-1])).log_softmax(-1)
        expected += logits.gather(2, ids[:, 1:, None]).sum().item()
    score = lm.score([text.sentences[0], long])
    assert score.log_weights[0, 1].item() == pytest.approx(expected, rel=1e-5)
    assert score.lengths["tokens"].tolist()[1] == len(row) - 1
    assert score.lengths["windows"].tolist() == [1, -(-(len(row) - 1) // 64)]


def loss_of(method, batch, accumulate=1):
    """Loss and gradients of one step on a batch in equal parts."""
    config = TrainConfig(steps=1, accumulate=accumulate, clip=0.0, batch_size=len(batch))
    step = Step(
        config, Ranks(0, 1, torch.device("cpu")), enrol(method.players(), config, Ranks(0, 1, torch.device("cpu")))
    )
    step.begin(0, 0.5)
    seen = {}

    optimiser = step.trainees["lm"].player.optimiser
    optimiser.step = lambda *_: seen.update({n: p.grad.clone() for n, p in method.named_parameters()})
    step.minimise("lm", method.objective, batch)
    return step.averages()["loss"], seen


def test_parts_of_a_batch_with_unequal_padding_equal_the_whole(lm, text):
    """Accumulation 4 × 8 is the batch of 32: nats of all targets over their number, not a mean of means."""
    sentences = (text.sentences * 8)[:32]
    lengths = [1 + 3 * i for i in range(8)]
    short = [" ".join(one.split()[: lengths[i % 8]]) for i, one in enumerate(sentences)]
    batch = collate(sorted(short, key=len), lm.assets)
    nats = -lm.log_likelihood(batch.decoder).sum() / (batch.length - 1).sum()
    whole, gradients = loss_of(lm, batch)
    assert whole == pytest.approx(nats.item(), rel=1e-6)
    parts, of_parts = loss_of(lm, batch, accumulate=4)
    assert parts == pytest.approx(whole, rel=1e-6)
    for name, gradient in gradients.items():
        assert_close(of_parts[name], gradient, rtol=1e-4, atol=1e-7)
    of_means = np.mean(
        [-lm.log_likelihood(p.decoder).sum().item() / (p.length - 1).sum().item() for p in quarters(batch)]
    )
    assert abs(of_means - whole) > 0.01  # what a mean of means would be


def quarters(batch):
    return [batch[i : i + 8] for i in range(0, 32, 8)]


class Store:
    """A store in memory."""

    def __init__(self, rows):
        flat = np.concatenate(rows)
        self.decoder = Ragged(flat, np.cumsum([0, *map(len, rows)]))
        self.encoder = self.labels = None


def test_ranks_divide_by_the_targets_of_the_global_batch(lm):
    random = np.random.default_rng(0)
    rows = [np.array([299, *random.integers(0, 200, random.integers(1, 40)), 299]) for _ in range(64)]
    store = Store(rows)
    whole = text_stream(store, pad=299, batch=16, seed=0, noise=2.0).batch(1)
    losses = []
    for rank in range(4):
        mine = text_stream(store, pad=299, batch=16, seed=0, noise=2.0, rank=rank, ranks=4).batch(1)
        assert isinstance(mine, TextBatch)
        losses.append(lm.objective(mine, None)["loss"].item())
    expected = (-lm.log_likelihood(whole.decoder).sum() / (whole.length - 1).sum()).item()
    assert np.mean(losses) == pytest.approx(expected, rel=1e-6)


# -- packing


def packed(rows, **options):
    return Packed(Store(rows).decoder, **({"context": 8, "shared": True, "batch": 4, "seed": 3} | options))


def documents(count=60, seed=0, begin=0):
    """Document i repeats the token i + 1 between its begin and end (0)."""
    random = np.random.default_rng(seed)
    return [np.array([begin, *[i + 1] * random.integers(1, 9), 0]) for i in range(count)]


def test_an_epoch_of_blocks_holds_every_document_once_and_in_one_piece():
    rows = documents()
    stream = packed(rows, batch=1)
    batches = [stream.batch(step) for step in range(stream.steps_per_epoch)]
    order = np.argsort([int(batch.ids[0]) for batch in batches])
    assert sorted(int(batch.ids[0]) for batch in batches) == list(range(stream.blocks))
    text = np.concatenate([batches[i].tokens[0, :-1].numpy() for i in order])
    for one, two in pairwise(order):  # a block's last target is the first token of the next
        assert batches[one].tokens[0, -1] == batches[two].tokens[0, 0]
    total = sum(len(row) - 1 for row in rows)  # begin and end are shared
    assert stream.blocks == (total - 1) // 8
    assert len(text) == stream.blocks * 8
    read = [piece for piece in np.split(text, np.flatnonzero(text == 0) + 1) if len(piece) and piece[-1] == 0]
    assert all(np.array_equal(piece, rows[piece[0] - 1][1:]) for piece in read)
    assert len({piece[0] for piece in read}) == len(read) >= len(rows) - 8


def test_blocks_are_a_function_of_seed_and_step():
    rows = documents()
    one, two, other = packed(rows), packed(rows), packed(rows, seed=4)
    steps = one.steps_per_epoch
    for step in (2 * steps + 1, 0, 3):  # in any order
        assert torch.equal(one.batch(step).tokens, two.batch(step).tokens)
    assert not torch.equal(one.batch(0).tokens, other.batch(0).tokens)
    assert not torch.equal(one.batch(0).tokens, one.batch(steps).tokens)  # another epoch
    assert one.batch(0).tokens.shape == (4, 9)


def test_ranks_share_the_blocks_of_a_step():
    whole = packed(documents()).batch(2).tokens
    parts = [packed(documents(), rank=rank, ranks=2).batch(2).tokens for rank in range(2)]
    assert torch.equal(torch.cat(parts), whole)


def test_a_begin_token_of_its_own_stays_between_documents():
    rows = documents(begin=99)
    stream = packed(rows, shared=False)
    assert stream.blocks == (sum(map(len, rows)) - 1) // 8
    tokens = stream.batch(0).tokens
    after_end = tokens[:, 1:][tokens[:, :-1] == 0]
    assert len(after_end)
    assert (after_end == 99).all()


def test_too_little_text_to_pack():
    with pytest.raises(GeneraError, match="the data has 2 blocks of 100 tokens, fewer than one batch of 4"):
        packed(documents(40), context=100)


def test_the_loss_of_blocks_is_nats_per_token(lm):
    tokens = torch.randint(0, 280, (4, 17))
    batch = packed(documents()).batch(0)
    batch = replace(batch, tokens=tokens)
    logits = lm.decoder.logits(lm.decoder(tokens[:, :-1]))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    assert_close(lm.objective(batch, None)["loss"], expected, atol=1e-5, rtol=1e-5)


# -- unused tokens, and options that do not fit


def test_unused_tokens_are_never_written(tokenisers):
    torch.manual_seed(0)
    lm = Lm(LmConfig(decoder=LAYOUTS["gpt2"], vocabulary_multiple=512), tokenisers).eval()
    assert lm.decoder.size.vocabulary == 512
    with torch.no_grad():
        lm.decoder.tokens.weight[lm.tokeniser.size :] *= 50  # they would be the likeliest
    for options in ({"temperature": 1.0}, {"beams": 3}):
        drawn = lm.sample(3, generator=torch.Generator().manual_seed(0), max_tokens=5, **options)
        assert any(drawn)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"context": 2000}, "--context 2000 exceeds the 128 positions of the decoder"),
        ({"context": 1}, "--context must be at least 2, got 1"),
        ({"context": 64, "loss": "sentence"}, "--context packs texts into blocks without sentences; use --loss token"),
        ({"max_tokens": 200}, "--max-tokens 200 exceeds the 128 positions of the decoder"),
        ({"position_init": 0.0}, "--position-init must be above 0"),
        ({"position_init": 0.1, "decoder": LAYOUTS["llama"]}, "--position-init is for learned positions"),
        ({"vocabulary_multiple": 0}, "--vocabulary-multiple must be at least 1"),
    ],
)
def test_options_that_do_not_fit(changes, problem):
    with pytest.raises(GeneraError, match=problem):
        configure("lm:nano", **changes).check()


def test_the_preset_of_smollm2_is_the_shape_of_the_real_one():
    folder = Path(os.environ.get("GENERA_MODELS", "")) / "smollm2-135m"
    if not (folder / "config.json").exists():
        pytest.skip("GENERA_MODELS has no smollm2-135m")
    size = read_size(folder, DECODERS)
    assert preset("lm:smollm2-135m")[1].model.decoder == size.shape
