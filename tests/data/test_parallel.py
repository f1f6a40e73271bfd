"""Parallel texts: two files, two columns, languages, bad input, and batches."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from genera.data.images.sources import parse_pairs
from genera.data.parallel.config import ParallelConfig
from genera.data.parallel.corpus import ParallelAssets, ParallelCorpus
from genera.data.parallel.sources import Columns, ParallelItem, parse_parallel
from genera.data.splits import WHOLE
from genera.data.streams import Bucketed, TokenBudget
from genera.errors import GeneraError

ENGLISH = [f"the house number {i} is {'very ' * (i % 9)}old" for i in range(600)]
GERMAN = [f"das Haus Nummer {i} ist {'sehr ' * (i % 9)}alt" for i in range(600)]


@pytest.fixture
def files(write):
    """(German file, English file)"""
    return write("d/a.de.gz", "\n".join(GERMAN)), write("d/a.en", "\n".join(ENGLISH))


def read(spec, **columns):
    return list(parse_parallel(spec, Columns(**columns)).items())


# -- sources ----------------------------------------------------------------------------------------------------------


def test_lines_correspond_and_the_endings_are_the_languages(files):
    items = read(f"pairs:{files[0]},{files[1]}")
    assert [item.source for item in items] == GERMAN
    assert [item.target for item in items] == ENGLISH
    assert {item[3:] for item in items} == {("de", "en")}
    assert {item.split for item in items} == {"train", "valid", "test"}  # held out
    named = read(f"pairs:{files[0]},{files[1]}", source_language="deu", target_language="eng")
    assert {item[3:] for item in named} == {("deu", "eng")}


@pytest.mark.parametrize(
    ("names", "languages"),
    [
        (("train.de.gz", "train.en.gz"), ("de", "en")),
        (("corpus.de.txt", "corpus.zh-Hans.txt"), ("de", "zh-Hans")),
        (("news.de-en.de", "news.de-en.en"), ("de", "en")),
        (("left.txt", "right.txt"), ("src", "tgt")),
        (("text.source", "text.target"), ("src", "tgt")),
    ],
)
def test_languages_of_file_names(write, names, languages):
    one, other = (write(name, "a\nb\n") for name in names)
    assert {item[3:] for item in read(f"pairs:{one},{other}")} == {languages}


def test_named_splits_of_folders_and_globs(write, tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for language in ("de", "en"):
            write(f"d/{split}.{language}", "".join(f"{split} {language} {i}\n" for i in range(count)))
    source = parse_parallel(f"pairs:{tmp_path}/d/*.de,{tmp_path}/d/*.en")
    assert source.splits == ("train", "valid")
    whole = list(source.items(whole=True))
    assert whole[0] == ParallelItem("train", "train de 0", "train en 0", "de", "en")
    assert Counter(item.split for item in whole) == {"train": 3, "valid": 2}


def test_columns_of_tsv_and_jsonl(write):
    rows = write("a.tsv", "lang\teng\tother\nara\tgood\tجيد\nfra\tbad\tmauvais\n")
    options = {"source": "other", "target": "eng", "target_language": "eng"}
    items = read(f"tsv:{rows}", source_language="column:lang", **options)
    assert [item[1:] for item in items] == [("جيد", "good", "ara", "eng"), ("mauvais", "bad", "fra", "eng")]
    lines = write("a.jsonl", '{"de": "gut", "en": "good"}\n')
    assert read(f"jsonl:{lines}", source="de", target="en")[0][1:] == ("gut", "good", "src", "tgt")


def test_sources_are_joined(files):
    spec = f"pairs:{files[0]},{files[1]} + pairs:{files[1]},{files[0]}"
    assert Counter(item[3:] for item in read(spec)) == {("de", "en"): 600, ("en", "de"): 600}
    prints = {parse_parallel(part).fingerprint() for part in (spec, *spec.split(" + "))}
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("spec", "columns", "message"),
    [
        ("pairs:{de}", {}, r"does not name two sides; write pairs:FILE\.de,FILE\.en"),
        ("pairs:{de},{de}", {}, "both sides have the language 'de'; give --source-language"),
        ("pairs:{de},{short}", {}, r"a\.de\.gz has 600 lines and .*short\.en has 2; line i"),
        ("pairs:{short},{de}", {"source_language": "xx"}, r"short\.en has 2 lines and .*a\.de\.gz has 600"),
        ("pairs:{de},{folder}", {}, "the two sides need matching files"),
        ("pairs:{de},/no/such.en", {}, "/no/such.en does not exist"),
        ("pairs:{de},{en}", {"source_language": "column:0"}, "has no columns"),
        ("tsv:{en}", {"source_language": "column:0", "target_language": "column:1"}, "only one of the two languages"),
        ("text:{en}", {}, r"gives texts, but parallel texts .* are needed here: tsv:PATH, .*pairs:FILE\.src,FILE\.tgt"),
        ("world:shapes", {}, "world:shapes gives images, but parallel texts"),
    ],
)
def test_bad_sources_are_one_sentence(files, write, tmp_path, spec, columns, message):
    write("s/train.en", "a\n")
    write("s/test.en", "a\n")
    places = {"de": files[0], "en": files[1], "short": write("short.en", "a\nb\n"), "folder": tmp_path / "s"}
    with pytest.raises(GeneraError, match=message) as error:
        read(spec.format(**places), **columns)
    assert "\n" not in str(error.value)


def test_pairs_of_texts_are_no_image_pairs(files):
    with pytest.raises(GeneraError, match="names two text files; image pairs are pairs:DIR"):
        parse_pairs(f"pairs:{files[0]},{files[1]}")


# -- the corpus -------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(files):
    return ParallelConfig(data=f"pairs:{files[0]},{files[1]}", vocabulary=400, batch_tokens=300)


def test_a_batch_is_the_pairs_with_their_languages(config):
    both = replace(config, data=f"{config.data} + {':'.join(['pairs', ','.join(config.data[6:].split(',')[::-1])])}")
    corpus = ParallelCorpus.open(both)
    assert corpus.assets.languages.names == ("de", "en")
    stream = corpus.stream("train", 4, seed=0)
    assert isinstance(stream, TokenBudget)
    tokeniser, names = corpus.assets.tokeniser, corpus.assets.languages.names
    seen = set()
    for step in range(stream.steps_per_epoch):
        batch = stream.batch(step)
        assert max(batch.source.numel(), batch.target.numel()) <= 300
        assert len(batch) % 4 == 0
        sources, targets = (tokeniser.decode_batch(ids[:, 1:].numpy()) for ids in (batch.source, batch.target))
        for one, other, here, there in zip(
            sources, targets, batch.source_language.tolist(), batch.target_language.tolist(), strict=True
        ):
            seen.add((names[here], names[there]))
            assert (ENGLISH if names[here] == "en" else GERMAN).index(one) == (
                ENGLISH if names[there] == "en" else GERMAN
            ).index(other)
    assert seen == {("de", "en"), ("en", "de")}


def test_weights_make_the_mean_over_tokens_of_the_whole_batch(config):
    corpus = ParallelCorpus.open(config)
    pad = corpus.assets.tokeniser.pad

    def mean(ranks):
        """Of a loss that is the id of the token, over ranks as training has it, and over tokens."""
        shares = [corpus.stream("train", 4, seed=0, rank=rank, ranks=ranks).batch(3) for rank in range(ranks)]
        losses = [batch.target[:, 1:] * (batch.target[:, 1:] != pad) for batch in shares]
        tokens = sum(int((batch.target[:, 1:] != pad).sum()) for batch in shares)
        weighted = [(batch.weight * loss.sum(1)).mean() for batch, loss in zip(shares, losses, strict=True)]
        return torch.stack(weighted).mean().item(), sum(int(loss.sum()) for loss in losses) / tokens

    one, two = mean(1), mean(2)
    assert one[0] == pytest.approx(one[1])
    assert two[0] == pytest.approx(two[1])
    assert one[1] == two[1]


def test_without_a_token_budget_batches_have_rows(config):
    stream = ParallelCorpus.open(replace(config, batch_tokens=0)).stream("train", 8, seed=0)
    assert isinstance(stream, Bucketed)
    assert len(stream.batch(0)) == 8
    assert 0 < stream.padding_share < 0.2


def test_empty_sides_and_long_pairs_are_dropped_and_counted(write, capsys):
    one = write("a.de", "\n".join(["eins", "", "drei", "vier " * 400, *GERMAN]))
    other = write("a.en", "\n".join(["one", "two", " ", "four", *ENGLISH]))
    corpus = ParallelCorpus.open(ParallelConfig(data=f"pairs:{one},{other}", vocabulary=400))
    assert sum(corpus.size(split) for split in corpus.splits) == 601
    assert "of de-en; dropped 2 empty on one side, 1 over 256 tokens." in capsys.readouterr().err
    with pytest.raises(GeneraError, match="has no training pair left: dropped 2 empty on one side, 602 over 4 tokens"):
        ParallelCorpus.open(ParallelConfig(data=f"pairs:{one},{other}", max_tokens=4), corpus.assets)


def test_assets_come_back_and_unknown_languages_are_named(config, tmp_path):
    corpus = ParallelCorpus.open(config)
    corpus.assets.save(tmp_path / "assets")
    assets = ParallelAssets.load(tmp_path / "assets")
    assert assets.languages == corpus.assets.languages
    assert assets.tokeniser.to_json() == corpus.assets.tokeniser.to_json()
    again = ParallelCorpus.open(replace(config, limit=100), assets)
    assert again.size("train") == 100
    assert again.items("train", 2) == corpus.items("train", 2)
    with pytest.raises(GeneraError, match=r"unknown language of .*'fr'; known: de, en"):
        ParallelCorpus.open(replace(config, source_language="fr"), assets)


def test_a_whole_file_is_one_split(config):
    corpus = ParallelCorpus.open(replace(config, limit=5), whole=True)
    assert corpus.splits == (WHOLE,)
    assert corpus.size(WHOLE) == 600
    assert [pair.source for pair in corpus.items(WHOLE, 3)] == GERMAN[:3]
    with pytest.raises(GeneraError, match="unknown split of this data 'test'; known: all"):
        corpus.size("test")


def test_a_sketch_has_the_sizes(config):
    assets, batch = ParallelCorpus.sketch(replace(config, batch_tokens=4096), 8)
    assert (assets.tokeniser.size, tuple(batch.source.shape)) == (400, (16, 256))
    assert len(ParallelCorpus.sketch(replace(config, batch_tokens=0), 8)[1]) == 8


def test_bad_values_are_named():
    wrong = ParallelConfig(data="pairs:a,b", batch_tokens=100, limit=0, bucket_noise=-1).check()
    assert len(wrong) == 3


# -- real data --------------------------------------------------------------------------------------------------------


def test_multi30k_in_two_directions(real_data):
    folder = real_data("multi30k")
    spec = f"pairs:{folder}/*.de.gz,{folder}/*.en.gz"
    corpus = ParallelCorpus.open(ParallelConfig(data=spec, limit=3000, vocabulary=1000, batch_tokens=4096))
    assert (corpus.size("train"), corpus.size("valid")) == (3000, 1014)
    assert corpus.items("train", 1)[0].target == "Two young, White males are outside near many bushes."
    stream = corpus.stream("train", 8, seed=0)
    sizes = [stream.batch(step).target.numel() for step in range(stream.steps_per_epoch)]
    assert max(sizes) <= 4096
    assert stream.padding_share < 0.15


def test_iwslt_is_all_one_split(real_data):
    folder = real_data("iwslt14_de_en")
    source = parse_parallel(f"pairs:{folder}/valid.de.gz,{folder}/valid.en.gz")
    items = list(source.items(whole=True))
    assert (len(items), {item[3:] for item in items}) == (7602, {("de", "en")})


def test_tatoeba_has_its_languages_in_a_column(real_data):
    source = f"tsv:{real_data('tatoeba')}/pairs.tsv.gz"
    options = {"source": "2", "target": "1", "source_language": "column:0", "target_language": "eng"}
    items = read(source, **options)
    assert len(items) == 12_034
    assert len({item.source_language for item in items}) == 24
    assert items[0].target == "Sami earned good money."
