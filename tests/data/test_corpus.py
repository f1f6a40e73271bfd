import dataclasses

import numpy as np
import pytest

from genera.data.splits import WHOLE
from genera.data.text.config import DataConfig
from genera.data.text.corpus import DecoderCorpus, TextCorpus
from genera.data.text.store import StoreWriter
from genera.data.vocabularies.tokenisers import Tokenisers
from genera.errors import GeneraError
from genera.worlds import load

SMALL = load("captions-small").sentences(3000)


@pytest.fixture
def config(write, tmp_path):
    write("d/train.tsv.gz", "\n".join(f"{text}\t{['b', '10', '9'][i % 3]}" for i, text in enumerate(SMALL)))
    write("d/valid.tsv", "a b\tb\n \n")
    write("d/test.tsv", "c\t9\n")
    return DataConfig(data=f"tsv:{tmp_path}/d", vocabulary=400)


def test_open_trains_tokenisers_and_reads_all(config, capsys):
    corpus = TextCorpus.open(config)
    assert corpus.train.texts() == SMALL
    assert corpus.valid.texts() == ["a b"]
    assert corpus.test.texts() == ["c"]
    assert corpus.world is None
    assert corpus.label_names == ()
    assert corpus.train.labels is None
    report = corpus.report(batch=32)
    assert report["items"] == {"train": 3000, "valid": 1, "test": 1}
    assert report["words"]["train"] == sum(len(text.split()) for text in SMALL)
    assert report["tokens"]["train"] == corpus.train.decoder.lengths().sum()
    assert report["dropped"] == {"empty": 1, "over 64 words": 0, "over 256 tokens": 0}
    assert report["vocabulary"] == {
        "encoder": corpus.tokenisers.encoder.size,
        "decoder": corpus.tokenisers.decoder.size,
    }
    assert 0 < report["padding_share"] < 0.2
    said = capsys.readouterr().err.strip()
    assert said.endswith("3,000 train, 1 valid, 1 test texts; dropped 1 empty, 0 over 64 words, 0 over 256 tokens.")
    assert said.count("\n") == 0


def test_labels_are_sorted_and_shared_by_the_splits(config):
    corpus = TextCorpus.open(dataclasses.replace(config, label_column="1"))
    assert corpus.label_names == ("9", "10", "b")
    assert corpus.train.labels[:6].tolist() == [2, 1, 0, 2, 1, 0]
    assert corpus.valid.labels.tolist() == [2]
    assert corpus.test.labels.tolist() == [0]


def test_drops_are_counted(config, tokenisers):
    corpus = TextCorpus.open(dataclasses.replace(config, max_words=12, max_tokens=14), tokenisers)
    kept = [
        text for text in SMALL
        if len(text.split()) <= 12
        and all(len(getattr(tokenisers, side).encode_batch([text])[0]) <= 14 for side in ("encoder", "decoder"))
    ]  # fmt: skip
    assert corpus.train.texts() == kept
    dropped = corpus.report(32)["dropped"]
    assert dropped["over 12 words"] == sum(len(text.split()) > 12 for text in SMALL)
    assert dropped["over 14 tokens"] == 3000 - len(kept) - dropped["over 12 words"] > 0


def test_limit_keeps_the_first_training_items(config, tokenisers):
    corpus = TextCorpus.open(dataclasses.replace(config, limit=100), tokenisers)
    assert corpus.train.texts() == SMALL[:100]
    assert len(corpus.valid) == len(corpus.test) == 1


def test_cache_is_used_and_follows_every_option(config, tokenisers, cache, monkeypatch, write):
    first = TextCorpus.open(config, tokenisers)
    assert TextCorpus.open(config, tokenisers).train.folder == first.train.folder
    changes = [{"limit": 7}, {"max_words": 20}, {"max_tokens": 30}, {"label_column": "1"}, {"text_column": "1"}]
    folders = {TextCorpus.open(dataclasses.replace(config, **c), tokenisers).train.folder for c in changes}
    folders.add(TextCorpus.open(config, Tokenisers(None, tokenisers.decoder)).train.folder)
    folders.add(TextCorpus.open(config).train.folder)
    folders.add(TextCorpus.open(dataclasses.replace(config, vocabulary=500)).train.folder)
    folders.add(first.train.folder)
    write("d/test.tsv", "d\t9\n")
    folders.add(TextCorpus.open(config, tokenisers).train.folder)
    assert len(folders) == len(changes) + 5
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]


def test_a_killed_build_leaves_no_cache(config, tokenisers, cache, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "close", die)
        with pytest.raises(KeyboardInterrupt):
            TextCorpus.open(config, tokenisers)
    assert list(cache.iterdir()) == []
    assert len(TextCorpus.open(config, tokenisers).train) == 3000


def test_without_an_encoder(config):
    corpus = DecoderCorpus.open(config)
    assert corpus.tokenisers.encoder is None
    assert corpus.train.encoder is None
    assert corpus.stream("train", 16, seed=0).batch(0).encoder is None
    assert corpus.report(16)["vocabulary"]["encoder"] is None


def test_tokenisers_from_directories(config, tokenisers, tmp_path):
    tokenisers.save(tmp_path / "t")
    own = dataclasses.replace(
        config, encoder_tokeniser=f"{tmp_path}/t/encoder", decoder_tokeniser=f"{tmp_path}/t/decoder"
    )
    assert TextCorpus.open(own).train.folder == TextCorpus.open(config, tokenisers).train.folder


def test_world():
    corpus = TextCorpus.open(DataConfig(limit=500))
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (500, 2000, 2000)
    assert corpus.world is load("captions")
    assert corpus.test.texts() == corpus.world.sentences(2000, seed=0, split="test")
    assert all(corpus.world.factors_of(text) for text in corpus.train.texts(slice(0, 50)))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (" \n\n \n", {}, "has only empty lines"),
        (
            "one two three\n" * 5,
            {"max_words": 2},
            r"all texts of .* 2 words \(text 1 has 3\); raise --max-words",
        ),
        (
            "one two three\n" * 5,
            {"max_tokens": 4},
            "all training texts of .* more than --max-tokens 4 tokens; raise --max-tokens",
        ),
    ],
)
def test_nothing_left(write, tokenisers, content, options, message):
    config = DataConfig(data=f"text:{write('a.txt', content)}", **options)
    with pytest.raises(GeneraError, match=message):
        TextCorpus.open(config, tokenisers)


def test_nothing_left_when_the_tokeniser_is_trained(write, cache):
    with pytest.raises(GeneraError, match="has only empty lines"):
        TextCorpus.open(DataConfig(data=f"text:{write('a.txt', ' ')}"))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("field", "value"), [("limit", 0), ("max_words", 0), ("max_tokens", 2), ("vocabulary", 299)])
def test_config_bounds(field, value):
    (complaint,) = DataConfig(**{field: value}).check()
    assert complaint.startswith(f"--{field.replace('_', '-')} must be at least")
    assert complaint.endswith(f"got {value}")


# -- real corpora ----------------------------------------------------------------------------------------


def test_ptb(real_data, tokenisers):
    corpus = TextCorpus.open(DataConfig(data=f"text:{real_data('ptb')}", max_words=100, limit=None), tokenisers)
    report = corpus.report(64)
    # The published 42,068 training sentences of 21.1 words; no test file is here, so 2 % are held out.
    dropped_tokens = report["dropped"]["over 256 tokens"]
    assert report["items"]["train"] + report["items"]["test"] + report["items"]["valid"] + dropped_tokens == (
        42_068 + 3_370
    )
    assert report["dropped"]["empty"] == report["dropped"]["over 100 words"] == 0
    assert np.mean(corpus.train.words) == pytest.approx(21.1, abs=0.1)
    assert 0.015 < report["items"]["test"] / 42_068 < 0.025


def test_sst2(real_data, tokenisers):
    path = real_data("sst2") / "train.tsv.gz"
    config = DataConfig(data=f"tsv:{path}", text_column="sentence", label_column="label", limit=2000)
    corpus = TextCorpus.open(config, tokenisers)
    assert corpus.label_names == ("0", "1")
    assert corpus.train.texts([0]) == ["hide new secretions from the parental units"]
    assert len(corpus.train) == 2000
    assert 0.4 < np.mean(corpus.train.labels) < 0.7


def test_flickr_captions(real_data, tokenisers):
    config = DataConfig(data=f"tsv:{real_data('flickr_captions')}", text_column="3", limit=1000)
    corpus = TextCorpus.open(config, tokenisers)
    assert corpus.train.texts([0])[0].startswith("Two young guys with shaggy hair")
    train, held = set(corpus.train.texts()), set(corpus.valid.texts()) | set(corpus.test.texts())
    assert not train & held
    assert len(corpus.train) == 1000


def test_sketch_has_the_sizes_of_the_real_thing(config, tokenisers):
    assets, batch = TextCorpus.sketch(config, 4)
    real = TextCorpus.open(config).stream("train", 4, seed=0).batch(0)
    assert (assets.encoder.size, assets.decoder.size) == (config.vocabulary, config.vocabulary)
    for name in ("ids", "encoder", "decoder", "length"):
        sketched, expected = getattr(batch, name), getattr(real, name)
        assert (sketched.dtype, sketched.shape[:1], sketched.dim()) == (
            expected.dtype,
            expected.shape[:1],
            expected.dim(),
        )
    published = dataclasses.replace(
        config, encoder_tokeniser="google-bert/bert-base-cased", decoder_tokeniser="openai-community/gpt2"
    )
    assets, _ = TextCorpus.sketch(published, 4)
    assert (assets.encoder.size, assets.decoder.size) == (28_996, 50_260)


def test_whole_data_holds_nothing_out(write, tokenisers, config):
    lines = write("one.txt", "\n".join(SMALL[:300]))
    corpus = TextCorpus.open(DataConfig(data=f"text:{lines}", limit=5), tokenisers, whole=True)
    assert corpus.splits == (WHOLE,)
    assert corpus.items(WHOLE, 400) == SMALL[:300]
    with pytest.raises(GeneraError, match="unknown split of this data 'test'; known: all"):
        corpus.size("test")
    named = TextCorpus.open(config, tokenisers, whole=True)
    assert {split: named.size(split) for split in named.splits} == {"train": 3000, "valid": 1, "test": 1}


def test_many_labels_are_numbered_at_once(write, tokenisers):
    rows = write("many.tsv", "\n".join(f"a man\t{'²' if i == 7 else f'label {i}'}" for i in range(40_000)))
    corpus = TextCorpus.open(DataConfig(data=f"tsv:{rows}", label_column="1"), tokenisers, whole=True)
    assert len(corpus.label_names) == 40_000
    assert [corpus.label_names[i] for i in corpus.split(WHOLE).labels[6:9]] == ["label 6", "²", "label 8"]
