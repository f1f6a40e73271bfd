"""Dialogues from files: formats, bad input, exchanges, and batches of contexts and responses."""

import json

import numpy as np
import pytest
import torch

from genera.data.dialogues.batches import collate_contexts, contexts_of
from genera.data.dialogues.config import DialogueConfig
from genera.data.dialogues.corpus import DialogueCorpus, Exchange
from genera.data.dialogues.sources import parse_dialogues
from genera.data.splits import WHOLE
from genera.data.text.store import Ragged
from genera.errors import GeneraError

TURNS = ("How are you ?", "Fine . And you ?", "Tired .")


def read(path):
    return [(dialogue.turns, dialogue.responses) for dialogue in parse_dialogues(f"dialogues:{path}").dialogues()]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("daily.txt", " __eou__ ".join(TURNS) + " __eou__\t1\t2 1 1\t0 0 0"),
        ("daily.txt.gz", " __eou__ ".join(TURNS)),
        ("tabs.txt", "\t".join(TURNS)),
        ("list.jsonl", json.dumps(TURNS)),
        ("turns.jsonl.gz", json.dumps({"turns": TURNS})),
        ("chat.jsonl", json.dumps({"messages": [{"role": "user", "content": turn} for turn in TURNS]})),
    ],
)
def test_every_format_gives_the_same_turns(write, name, line):
    assert read(write(name, f"{line}\n\n{line}\n")) == [(TURNS, ())] * 2


def test_several_responses_to_a_context(write):
    line = json.dumps({"context": TURNS[:1], "responses": ["Fine .", "Tired ."]})
    assert read(write("several.jsonl", line)) == [(TURNS[:1], ("Fine .", "Tired ."))]


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("a.txt", "Hello .\t\tBye .", r"a.txt:2: turn 2 of 3 is empty; fill it in"),
        ("a.txt", "Hello . __eou__  __eou__ Bye .", r"a.txt:2: turn 2 of 3 is empty"),
        ("a.txt", "Hello .", r"a.txt:2 has a single turn; a dialogue needs at least two"),
        ("a.jsonl", "[]", r"a.jsonl:2 has no turn; a dialogue needs at least two"),
        ("a.jsonl", '["Hello .", 3]', r'a.jsonl:2 is not a dialogue; write a list of turns, {"turns"'),
        ("a.jsonl", "{not json", r"a.jsonl:2 is not JSON"),
        ("a.jsonl", '{"messages": ["Hello ."]}', r"a.jsonl:2: the messages are not a list of objects with a field"),
        ("a.jsonl", '{"context": [], "responses": ["a"]}', r"a.jsonl:2 has no turn; at least one is needed"),
        ("a.jsonl", '{"context": ["a"], "responses": []}', r"a.jsonl:2 has no response; at least one is needed"),
        ("a.jsonl", '{"context": ["a"]}', r"a.jsonl:2 is not a dialogue"),
        ("a.jsonl", '["a", "\\ud800"]', r"a.jsonl:2 is not JSON .*half of a .u surrogate pair"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(write, name, line, message):
    good = json.dumps(TURNS) if name.endswith("jsonl") else "\t".join(TURNS)
    path = write(name, f"{good}\n{line}\n")
    with pytest.raises(GeneraError, match=message):
        read(path)


def test_only_dialogues_are_read(write):
    with pytest.raises(
        GeneraError, match="gives texts, but dialogues are needed here: dialogues:PATH, world:dialogues"
    ):
        parse_dialogues("text:a.txt")
    with pytest.raises(GeneraError, match="does not exist"):
        parse_dialogues("dialogues:/nowhere/a.txt")


def config(path, **options):
    return DialogueConfig(data=f"dialogues:{path}", vocabulary=400, **options)


def several(write, count=40):
    return write("several.txt", "\n".join(f"turn {i} .\tanswer {i} .\tbye {i} now ." for i in range(count)))


def test_each_turn_but_the_first_responds(write):
    train = DialogueCorpus.open(config(several(write))).items("train", 3)
    turns = train[0].context
    assert train[1] == Exchange((*turns, train[0].references[0]), train[1].references)
    assert len(turns) == 1
    assert train[1].references[0].startswith("bye")


def test_contexts_that_are_the_same_share_their_references(write):
    write("one.train.txt", "Hello .\tHi !\nHello .\tGood day .\nHello .\tHi !\n" + "\n".join(["a\tb"] * 5))
    path = write("one.test.txt", "Hello .\tHi !\nHello .\tGood day .\nHello .\tHi !\n")
    corpus = DialogueCorpus.open(config(path.parent))
    assert corpus.items("test", 5) == [Exchange(("Hello .",), ("Hi !", "Good day ."))]
    assert corpus.size("test") == 3


def test_held_out_dialogues_are_whole(write):
    corpus = DialogueCorpus.open(config(several(write, 800)))
    numbers = {
        split: {turn.split()[1] for item in corpus.items(split, 10**6) for turn in (*item.context, *item.references)}
        for split in ("train", "valid", "test")
    }
    assert all(numbers.values())
    assert sum(map(len, numbers.values())) == 800


def test_the_limits_hold(write):
    path = several(write)
    assert DialogueCorpus.open(config(path, limit=20)).size("train") == 40
    short = DialogueCorpus.open(config(path, max_words=3))
    assert all(len(reference.split()) <= 3 for item in short.items("train", 99) for reference in item.references)
    assert all(len(item.context) == 1 for item in DialogueCorpus.open(config(path, max_turns=1)).items("train", 99))
    with pytest.raises(GeneraError, match="has no exchange to train on: of 40 dialogues 80 responses are over 2 words"):
        DialogueCorpus.open(config(path, max_words=2))
    with pytest.raises(GeneraError, match="80 responses are over 3 tokens"):
        DialogueCorpus.open(config(path, max_tokens=3))


def plain_context(turns, begin, limit):
    """The second implementation: one turn after the other."""
    ids, segments = [begin], [0]
    for distance, turn in zip(range(len(turns) - 1, -1, -1), turns, strict=True):
        ids += turn[1:]
        segments += [1 - distance % 2] * (len(turn) - 1)
    if len(ids) > limit:
        ids, segments = [begin, *ids[-limit + 1 :]], [0, *segments[-limit + 1 :]]
    return ids, [segments[1], *segments[1:]]


@pytest.mark.parametrize("limit", [3, 7, 99])
def test_contexts_are_turns_between_separators(limit):
    random = np.random.default_rng(0)
    turns = [[2, *random.integers(5, 99, random.integers(1, 6)).tolist(), 3] for _ in range(12)]
    ragged = Ragged(np.array([i for turn in turns for i in turn]), np.cumsum([0, *map(len, turns)]))
    first, stop = np.array([0, 3, 3, 11]), np.array([3, 4, 11, 12])
    ids, segments = contexts_of(ragged, first, stop, limit, 2, width=60)
    for row, (a, b) in enumerate(zip(first, stop, strict=True)):
        expected, sides = plain_context(turns[a:b], 2, limit)
        assert ids[row].tolist() == expected + [0] * (60 - len(expected))
        assert segments[row].tolist() == sides + [0] * (60 - len(sides))


def test_batches_are_the_exchanges(write):
    corpus = DialogueCorpus.open(config(several(write)))
    store, decoder = corpus.split("train"), corpus.assets.decoder
    batch = corpus.stream("train", 8, seed=1).batch(5)
    for row, number in enumerate(batch.ids.tolist()):
        first, stop, response = store.exchanges[number]
        ids, segments = collate_contexts([store.turns.texts(range(first, stop))], corpus.assets)
        assert batch.context[row, : ids.shape[1]].tolist() == ids[0].tolist()
        assert batch.segments[row, : ids.shape[1]].tolist() == segments[0].tolist()
        assert not batch.context[row, ids.shape[1] :].any()
        assert decoder.decode_batch(batch.decoder[row : row + 1, 1:].numpy()) == store.turns.texts([response])
    assert batch.context.shape[1] == max(int((row != 0).sum()) for row in batch.context)


def test_ranks_see_together_what_one_sees(write):
    style = write("style.txt", "\n".join(f"verily , {i} ." for i in range(60)))
    corpus = DialogueCorpus.open(config(several(write), style=f"text:{style}"))
    whole = corpus.stream("train", 8, seed=1).batch(3)
    parts = [corpus.stream("train", 8, seed=1, rank=rank, ranks=2).batch(3) for rank in range(2)]
    for name, tensor in vars(whole).items():
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), tensor), name
    assert not torch.equal(whole.style_decoder, corpus.stream("train", 8, seed=1).batch(4).style_decoder)


def test_too_few_sentences_in_the_style(write):
    style = write("style.txt", "verily .\n")
    with pytest.raises(GeneraError, match="no style sentence is left in valid; provide more of them"):
        DialogueCorpus.open(config(several(write, 800), style=f"text:{style}")).stream("valid", 2, seed=0)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("hello", "a context is a list of at least one turn"),
        ([], "a context is a list of at least one turn"),
        (["hello", " "], "a turn of the context .* is empty"),
        (["\udcff"], "is not UTF-8"),
    ],
)
def test_contexts_that_cannot_be_read(write, context, message):
    assets = DialogueCorpus.open(config(several(write))).assets
    with pytest.raises(GeneraError, match=message):
        collate_contexts([context], assets)


def test_assets_come_back(write, tmp_path):
    assets = DialogueCorpus.open(config(several(write), max_turns=3, max_context_tokens=20)).assets
    assets.save(tmp_path / "assets")
    again = type(assets).load(tmp_path / "assets")
    assert (again.turns, again.context_tokens) == (3, 20)
    assert again.decoder.to_json() == assets.decoder.to_json()


@pytest.mark.parametrize("option", [{"max_turns": 0}, {"max_context_tokens": 2}])
def test_values_that_make_no_sense(option):
    (complaint,) = DialogueConfig(**option).check()
    assert next(iter(option)).replace("_", "-") in complaint


def test_whole_data_holds_nothing_out(write):
    lines = "\n".join(f"how are you {i} ?\tfine {i} .\tgood {i} ." for i in range(300))
    corpus = DialogueCorpus.open(DialogueConfig(data=f"dialogues:{write('a.txt', lines)}", vocabulary=400), whole=True)
    assert (corpus.splits, corpus.size(WHOLE)) == ((WHOLE,), 600)
    assert len(corpus.items(WHOLE, 1000)) == 600
