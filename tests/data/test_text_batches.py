import dataclasses
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import torch

from genera.data.text.batches import collate
from genera.data.text.config import DataConfig
from genera.data.text.corpus import TextCorpus
from genera.errors import GeneraError

BATCH = 8


@pytest.fixture(scope="module")
def corpus(tokenisers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    random = np.random.default_rng(0)
    words = ["man", "woman", "is", "was", "carrying", "a", "guitar", "near", "the", "museum", "at", "noon"]
    lines = [" ".join(random.choice(words, random.integers(1, 30))) + f"\t{i % 3}" for i in range(1003)]
    for split in ("train", "valid", "test"):
        (folder / f"{split}.tsv").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENERA_CACHE", str(folder / "cache"))
        return TextCorpus.open(DataConfig(data=f"tsv:{folder}/*.tsv", label_column="1"), tokenisers)


def tensors(batch):
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if value is not None}


def test_a_batch_is_the_padded_sentences(corpus):
    store, (encoder, decoder) = corpus.train, (corpus.tokenisers.encoder, corpus.tokenisers.decoder)
    batch = corpus.stream("train", BATCH, seed=0).batch(17)
    texts = store.texts(batch.ids.numpy())
    assert batch.length.tolist() == [len(row) for row in decoder.encode_batch(texts)]
    for ids, tokeniser in ((batch.encoder, encoder), (batch.decoder, decoder)):
        rows = tokeniser.encode_batch(texts)
        width = max(map(len, rows))
        assert ids.tolist() == [row + [tokeniser.pad] * (width - len(row)) for row in rows]
        assert ids.dtype == torch.int64
    assert batch.labels.tolist() == store.labels[batch.ids.numpy()].tolist()
    assert decoder.decode_batch(batch.decoder.numpy()) == texts


def test_an_epoch_sees_each_text_at_most_once_and_epochs_differ(corpus):
    stream = corpus.stream("train", BATCH, seed=0)
    assert stream.steps_per_epoch == 125
    epochs = [np.concatenate([stream.batch(e * 125 + i).ids.numpy() for i in range(125)]) for e in range(3)]
    for ids in epochs:
        assert len(set(ids)) == len(ids) == 1000
    assert not np.array_equal(epochs[0], epochs[1])
    left_out = [set(range(1003)) - set(ids) for ids in epochs]
    assert all(len(rest) == 3 for rest in left_out)
    assert len(set(map(frozenset, left_out))) == 3


def test_batches_are_a_function_of_the_step_and_the_seed(corpus):
    forward = corpus.stream("train", BATCH, seed=1)
    expected = [forward.batch(step) for step in range(300)]
    fresh = corpus.stream("train", BATCH, seed=1)
    for step in (299, 0, 130, 124):  # in any order, across epochs
        for name, value in tensors(fresh.batch(step)).items():
            assert torch.equal(value, getattr(expected[step], name))
    assert not torch.equal(corpus.stream("train", BATCH, seed=2).batch(0).ids, expected[0].ids)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_the_global_batch(corpus, ranks):
    whole = corpus.stream("train", BATCH, seed=0)
    parts = [corpus.stream("train", BATCH, seed=0, rank=rank, ranks=ranks) for rank in range(ranks)]
    for step in (0, 1, 126):
        shares = [tensors(part.batch(step)) for part in parts]
        for name, value in tensors(whole.batch(step)).items():
            assert torch.equal(torch.cat([share[name] for share in shares]), value)


def test_batches_are_bucketed_by_length(corpus):
    stream = corpus.stream("train", BATCH, seed=0)
    used = room = 0
    for step in range(stream.steps_per_epoch):
        batch = stream.batch(step)
        used += int((batch.decoder != corpus.tokenisers.decoder.pad).sum() + (batch.encoder != 0).sum())
        room += batch.decoder.numel() + batch.encoder.numel()
    assert stream.padding_share == pytest.approx(1 - used / room)
    tight = dataclasses.replace(corpus, bucket_noise=0.0).stream("train", BATCH, seed=0)
    assert tight.padding_share < 0.1 < stream.padding_share < 0.2  # in random order nearly half would be padding
    widths = [stream.batch(step).decoder.shape[1] for step in range(100)]
    assert abs(np.corrcoef(widths, np.arange(100))[0, 1]) < 0.5  # and not from short to long


def test_batch_moves_and_slices(corpus):
    batch = corpus.stream("train", BATCH, seed=0).batch(0)
    half = batch[2:5].to("cpu")
    assert len(half) == 3
    assert torch.equal(half.decoder, batch.decoder[2:5])


def test_stream_errors(corpus):
    with pytest.raises(GeneraError, match="the data has 1003 texts, fewer than one batch of 2000"):
        corpus.stream("train", 2000, seed=0)
    with pytest.raises(GeneraError, match="a batch of 8 cannot be shared by 3 ranks"):
        corpus.stream("train", 8, seed=0, ranks=3)


def test_collate_is_what_the_stream_gives(corpus):
    batch = corpus.stream("train", BATCH, seed=0).batch(3)
    own = collate(corpus.train.texts(batch.ids.numpy()), corpus.tokenisers)
    for name in ("encoder", "decoder", "length"):
        assert torch.equal(getattr(own, name), getattr(batch, name))
    assert own.ids.tolist() == list(range(BATCH))
    assert own.labels is None


def test_collate_errors(tokenisers):
    assert collate(["a man"], tokenisers, max_tokens=4).decoder.shape == (1, 4)
    with pytest.raises(GeneraError, match=r"sentence 2 is empty"):
        collate(["a", "  \n"], tokenisers)
    with pytest.raises(GeneraError, match="no sentences were given"):
        collate([], tokenisers)
    with pytest.raises(GeneraError, match=r"sentence \d, 'man man .*'…, has 10002 tokens; this model reads at most 64"):
        collate(["a man", "man " * 10_000], tokenisers, max_tokens=64)


def test_config_and_sources_do_not_import_torch():
    modules = "genera.data.text.config, genera.data.text.sources, genera.data.images.sources"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
