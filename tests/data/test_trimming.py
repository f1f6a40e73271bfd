"""A trimmed tokeniser: the corpus as before, everything else in smaller pieces, nothing unknown."""

import json
import os
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

import genera
from genera import worlds
from genera.data.text.corpus import DecoderCorpus, share_in_pieces
from genera.data.text.sources import parse_source
from genera.data.vocabularies.tokenisers import Tokeniser
from genera.errors import GeneraError

HOUSES = [item.text for item in islice(parse_source("world:houses").items(), 300)]
ENGLISH = worlds.load("captions").sentences(800, seed=1) + HOUSES[:200]
CORPUS = worlds.load("captions-small").sentences(300, seed=3)


@pytest.fixture(scope="module", params=["append", "own"])
def whole(request):
    return Tokeniser.train("bpe", lambda: ENGLISH, 900, special_tokens=request.param)


@pytest.fixture(scope="module")
def trimmed(whole):
    return whole.trimmed(CORPUS)


def test_the_corpus_has_the_same_tokens(whole, trimmed):
    assert 256 < trimmed.size < 0.7 * whole.size
    kept = trimmed.whole_ids
    assert list(kept) == sorted(set(kept))
    for before, now in zip(whole.encode_batch(CORPUS), trimmed.encode_batch(CORPUS), strict=True):
        assert [kept[i] for i in now] == before
    assert trimmed.pieces(range(trimmed.size)) == whole.pieces(kept)
    assert [kept[i] for i in (trimmed.pad, trimmed.bos, trimmed.eos)] == [whole.pad, whole.bos, whole.eos]


@cache
def small():
    return Tokeniser.train("bpe", lambda: ENGLISH, 600).trimmed(CORPUS[:50])


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_any_text_comes_back(text):
    trimmed = small()
    (ids,) = trimmed.encode_batch([text])
    assert trimmed.decode_batch([ids]) == [text]


def test_other_words_fall_into_smaller_pieces(whole, trimmed):
    other = HOUSES[200:]
    pairs = list(zip(whole.encode_batch(other), trimmed.encode_batch(other), strict=True))
    assert all(len(now) >= len(before) for before, now in pairs)
    assert 0.05 < share_in_pieces(trimmed, other) < 1
    assert share_in_pieces(trimmed, CORPUS) == 0


def test_it_is_saved_with_what_it_was_cut_from(whole, trimmed, tmp_path):
    trimmed.save(tmp_path)
    again = Tokeniser.load(tmp_path, "bpe", "own" if whole.own else "append")
    assert again.trimming == trimmed.trimming
    assert again.encode_batch(ENGLISH[:20]) == trimmed.encode_batch(ENGLISH[:20])
    assert again.whole.identity == whole.identity
    (tmp_path / "kept.json").write_text(json.dumps([1, 2, 3]))
    with pytest.raises(GeneraError, match=r"keeps 3 tokens, but has \d+; restore its files"):
        Tokeniser.load(tmp_path, "bpe", "own" if whole.own else "append")


def test_a_merge_survives_only_with_its_parts_and_its_result():
    """abc is made from ab and c, and from a and bc: both ways stay, and nothing else does."""
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*bytes_, "ab", "bc", "abc", "xy", "Ġabc", "xyz"])}
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), ("x", "y"), ("Ġ", "abc"), ("xy", "z")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trimmed = Tokeniser(tokenizer, "bpe", "mine").trimmed(["abc"])
    assert trimmed.pieces(range(256, trimmed.size)) == ["ab", "bc", "abc", "Ġabc", "<PAD>", "<BOS>", "<EOS>"]
    kept = json.loads(trimmed.to_json())["model"]["merges"]
    assert [tuple(m) for m in kept] == [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), ("Ġ", "abc")]


def test_other_kinds_of_bpe_are_refused():
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    with pytest.raises(GeneraError, match="needs a byte-level BPE tokeniser, and mine is of another kind"):
        Tokeniser(tokenizer, "bpe", "mine").trimmed(["ab"])


def test_smollm2_on_reviews():
    """Real text and a real vocabulary: 235 bytes, 17 added tokens, 48,900 merges."""
    models_, data = os.environ.get("GENERA_MODELS"), os.environ.get("GENERA_DATA")
    if (
        not models_
        or not (Path(models_) / "smollm2-135m").is_dir()
        or not (Path(data or "") / "yelp_sentiment").is_dir()
    ):
        pytest.skip("GENERA_MODELS has no smollm2-135m, or GENERA_DATA no yelp_sentiment")
    whole = Tokeniser.load(Path(models_) / "smollm2-135m", "bpe", "own")
    source = parse_source(f"text:{data}/yelp_sentiment")
    texts = [item.text for item in islice(source.items(), 20_000)]
    trimmed = whole.trimmed(texts)
    assert trimmed.size < 10_000
    for before, now in zip(whole.encode_batch(texts), trimmed.encode_batch(texts), strict=True):
        assert [trimmed.whole_ids[i] for i in now] == before


def test_it_needs_a_tokeniser_that_was_not_trained_here():
    config = genera.configure("gpt2-lm:nano", trim_vocabulary=True).data
    assert any("--trim-vocabulary needs --decoder-tokeniser" in complaint for complaint in config.check())


def test_a_corpus_is_trimmed_and_another_one_is_told_of(whole, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path / "cache"))
    whole.save(tmp_path / "whole")
    special = "own" if whole.own else "append"
    options = {"decoder_tokeniser": str(tmp_path / "whole"), "trim_vocabulary": True, "special_tokens": special}
    config = genera.configure("gpt2-lm:nano", data="world:captions-small", limit=300, **options).data
    corpus = DecoderCorpus.open(config)
    size = corpus.assets.decoder.size
    assert f"trimmed to {size:,} of {whole.size:,} tokens" in capsys.readouterr().err
    DecoderCorpus.open(config, corpus.assets)
    assert "smaller pieces" not in capsys.readouterr().err
    other = genera.configure("gpt2-lm:nano", data="world:houses", limit=100).data
    DecoderCorpus.open(other, corpus.assets)
    assert "of the words fall into smaller pieces" in capsys.readouterr().err
    untrimmed = genera.configure("gpt2-lm:nano", data="world:captions-small", limit=300, decoder_tokeniser=None).data
    with pytest.raises(GeneraError, match="--trim-vocabulary cannot trim the vocabulary of a run"):
        DecoderCorpus.open(config, DecoderCorpus.open(untrimmed).assets)
