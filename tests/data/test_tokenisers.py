import json
import subprocess
import sys

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from genera.data.text.pairs import PAIR
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers, sketch
from genera.errors import GeneraError

TEXTS = ["a person dances on a rock .", "The cat sat on the mat , quietly .", "Two dogs : one cat ."] * 3
LITERAL = "say <EOS> then [SEP] and <PAD> [CLS] <|endoftext|> [PAD] <BOS> ."


@pytest.fixture(scope="module")
def wordpiece():
    return Tokeniser.train("wordpiece", lambda: [*TEXTS, LITERAL], 400)


@pytest.fixture(scope="module")
def bpe():
    return Tokeniser.train("bpe", lambda: TEXTS, 400)


# -- lower case and words that are never split


def test_a_vocabulary_in_lower_case_and_with_whole_words(tmp_path, wordpiece):
    texts = ["<NAV> Is the SOFA near ? <ORA> Walk to the Café .", "<TAR> lamp"] * 3
    tags = ("<NAV>", "<ORA>", "<TAR>")
    made = Tokeniser.train("wordpiece", lambda: texts, 300, lowercase=True, whole=tags)
    assert made.size <= 300
    one, two = made.encode_batch(["<NAV> the SOFA <TAR> café", "<NAV>THE sofa<TAR> CAFE"])
    assert one == two
    assert made.pieces(one) == ["[CLS]", "<NAV>", "the", "sofa", "<TAR>", "cafe", "[SEP]"]
    made.save(tmp_path)
    again = Tokeniser.load(tmp_path, "wordpiece")
    assert again.encode_batch(texts) == made.encode_batch(texts)
    assert not any(any(mark in piece for mark in "<>NOT") for piece in made.pieces(range(5, made.size - 3)))
    assert wordpiece.encode_batch(["The"]) != wordpiece.encode_batch(["the"])  # case is kept by default


# -- the layout that published weights expect ----------------------------------------------------------


def test_bert_layout(tmp_path):
    # The ids of BERT-base cased for this sentence, at their places in an otherwise empty vocabulary.
    ids = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 119, "a": 170, "on": 1113,
           "person": 1825, "rock": 2067, "dances": 12761}  # fmt: skip
    tokens = [f"[unused{i}]" for i in range(28_996)]
    for token, i in ids.items():
        tokens[i] = token
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    tokeniser = Tokeniser.load(tmp_path, "wordpiece")
    assert tokeniser.encode_batch(["a person dances on a rock ."]) == [
        [101, 170, 1825, 12761, 1113, 170, 2067, 119, 102]
    ]
    assert (tokeniser.size, tokeniser.pad, tokeniser.bos, tokeniser.eos) == (28_996, 0, 101, 102)
    assert tokeniser.encode_batch(["Rock"]) == [[101, 100, 102]]  # case is kept
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    assert Tokeniser.load(tmp_path, "wordpiece").encode_batch(["Rock"]) == [[101, 2067, 102]]


def test_gpt2_layout(tmp_path):
    words = {"Ġa": 257, "Ġon": 319, "Ġrock": 3881, "Ġperson": 1048, "Ġdances": 38_207, "Ġ.": 764}
    vocabulary, merges = {}, []
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    for word in words:
        for end in range(2, len(word) + 1):  # merge from the left
            pair = (word[: end - 1], word[end - 1])
            merges += [] if pair in merges else [pair]
    parts = [*alphabet, *dict.fromkeys("".join(pair) for pair in merges)]
    free = iter(i for i in range(50_256) if i not in words.values())
    for part in parts:
        vocabulary[part] = words.get(part) or next(free)
    vocabulary |= {f"unused{i}": i for i in free} | {"<|endoftext|>": 50_256}
    assert len(vocabulary) == 50_257
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")
    tokeniser = Tokeniser.load(tmp_path, "bpe")
    expected = [50_258, 257, 1048, 38_207, 319, 257, 3881, 764, 50_259]
    assert tokeniser.encode_batch(["a person dances on a rock ."]) == [expected]
    assert (tokeniser.size, tokeniser.pad, tokeniser.bos, tokeniser.eos) == (50_260, 50_257, 50_258, 50_259)
    assert tokeniser.decode_batch([[*expected, 50_257, 50_257]]) == ["a person dances on a rock ."]
    tokeniser.save(tmp_path / "saved")
    again = Tokeniser.load(tmp_path / "saved", "bpe")
    assert (again.size, again.pad) == (50_260, 50_257)
    assert again.encode_batch(["a person dances on a rock ."]) == [expected]


# -- text is text ----------------------------------------------------------------------------------------


def test_literal_special_tokens_are_spelled_out(bpe, wordpiece, tmp_path):
    for tokeniser in (bpe, wordpiece):
        tokeniser.save(tmp_path / tokeniser.kind)
        for each in (tokeniser, Tokeniser.load(tmp_path / tokeniser.kind, tokeniser.kind)):
            (ids,) = each.encode_batch([LITERAL])
            assert ids[0] == each.bos
            assert ids[-1] == each.eos
            assert not {each.pad, each.bos, each.eos} & set(ids[1:-1])
            assert each.decode_batch([ids])[0].replace(" ", "") == LITERAL.replace(" ", "")
    assert bpe.decode_batch(bpe.encode_batch([LITERAL])) == [LITERAL]


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[PAIR]), max_size=40))
def test_bpe_round_trip_of_any_text(bpe, text):
    assert bpe.decode_batch(bpe.encode_batch([text])) == [text]


def test_decode_stops_at_the_first_end(bpe):
    (ids,) = bpe.encode_batch(["the cat ."])
    batch = np.array([[*ids, bpe.pad, bpe.pad], [*ids, *ids[1:3]]])
    assert bpe.decode_batch(batch) == ["the cat .", "the cat ."]
    assert bpe.decode_batch(np.array([ids[:-1]])) == ["the cat ."]  # no end yet
    assert bpe.decode_batch(np.array([[bpe.bos, bpe.eos]])) == [""]


def test_first_word_is_the_same_token_as_inside(bpe):
    first, inside = bpe.encode_batch(["cat", "a cat"])
    assert first[1:-1] == inside[2:-1]


# -- training ----------------------------------------------------------------------------------------


def test_trained_layout(bpe, wordpiece):
    assert (wordpiece.pad, wordpiece.bos, wordpiece.eos) == (0, 2, 3)
    assert (bpe.pad, bpe.bos, bpe.eos) == (bpe.size - 3, bpe.size - 2, bpe.size - 1)
    assert bpe.size <= 400
    assert wordpiece.size <= 400
    upper, lower = wordpiece.encode_batch(["The", "the"])
    assert upper != lower
    assert wordpiece.decode_batch([upper, lower]) == ["The", "the"]


def test_training_is_deterministic_across_processes():
    code = """
import hashlib
from genera.data.text.pairs import PAIR
from genera.data.vocabularies.tokenisers import Tokeniser
texts = [f"word{i % 97} Näme{i % 31} x{i} !" for i in range(500)]
print([hashlib.sha256(Tokeniser.train(k, lambda: texts, 330).to_json().encode()).hexdigest()
       for k in ("wordpiece", "bpe")])
"""
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(runs) == 1


def test_pair_round_trip(tmp_path, tokenisers):
    tokenisers.save(tmp_path / "tokenisers")
    (tmp_path / "tokenisers").rename(tmp_path / "moved")
    again = Tokenisers.load(tmp_path / "moved")
    for side in ("encoder", "decoder"):
        assert getattr(again, side).to_json() == getattr(tokenisers, side).to_json()
        assert getattr(again, side).encode_batch(TEXTS) == getattr(tokenisers, side).encode_batch(TEXTS)
    Tokenisers(encoder=None, decoder=tokenisers.decoder).save(tmp_path / "one")
    assert Tokenisers.load(tmp_path / "one").encoder is None


def test_truncation_and_padding_of_a_file_are_ignored(tmp_path, bpe):
    other = Tokenizer.from_str(bpe.to_json())
    other.enable_truncation(4)
    other.enable_padding(length=12)
    other.save(str(tmp_path / "tokenizer.json"))
    assert Tokeniser.load(tmp_path, "bpe").encode_batch(TEXTS) == bpe.encode_batch(TEXTS)


# -- special tokens of a vocabulary's own


def with_tokens(folder, bpe, tokens, config):
    """A vocabulary as others publish it: ordinary bytes, and their special tokens first."""
    tokenizer = Tokenizer(
        models.BPE({t: i for i, t in enumerate([*tokens, *sorted(pre_tokenizers.ByteLevel.alphabet())])}, [])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = Tokenizer.from_str(bpe.to_json()).decoder
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


OWN = {
    "a chat model": (["<|im_start|>", "<|im_end|>", "<|endoftext|>"], {"eos_token": "<|im_end|>"}, 2, 2),
    "one begin, one end": (["<s>", "</s>"], {"bos_token": "<s>", "eos_token": {"content": "</s>"}}, 0, 1),
    "no begin": (["</s>", "<s>"], {"eos_token": "</s>", "bos_token": None}, 0, 0),
}


@pytest.mark.parametrize("case", OWN)
def test_a_vocabulary_uses_its_own_end_token(tmp_path, bpe, case):
    tokens, config, bos, eos = OWN[case]
    folder = with_tokens(tmp_path / "theirs", bpe, tokens, config)
    tokeniser = Tokeniser.load(folder, "bpe", "own")
    assert (tokeniser.bos, tokeniser.eos, tokeniser.pad) == (bos, eos, eos)
    assert tokeniser.size == 256 + len(tokens)  # none is added
    assert tokeniser.never_written == (() if bos == eos else (bos,))
    texts = ["a dog .", f"say {tokens[eos]} now", "two  dogs"]
    ids = tokeniser.encode_batch(texts)
    assert all(row[0] == bos and row[-1] == eos and not {bos, eos} & set(row[1:-1]) for row in ids)
    assert tokeniser.decode_batch([[*row, eos, eos] for row in ids]) == texts  # padded with the end
    assert tokeniser.decode_batch([row[1:] for row in ids]) == texts  # as generated, without the begin
    assert tokeniser.decode_batch([[eos], [eos, eos]]) == ["", ""]

    Tokenisers(encoder=None, decoder=tokeniser).save(tmp_path / "run")
    again = Tokenisers.load(tmp_path / "run").decoder
    assert (again.own, again.identity, again.size) == (True, tokeniser.identity, tokeniser.size)
    assert (again.bos, again.eos, again.encode_batch(texts)) == (bos, eos, ids)

    tokeniser.export(tmp_path / "out")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    plain = [texts[0], texts[2]]
    assert theirs(plain).input_ids == [ids[0], ids[2]]
    assert (theirs.bos_token_id, theirs.eos_token_id) == (bos, eos)
    assert Tokeniser.load(tmp_path / "out", "bpe", "own").encode_batch(texts) == ids
    assert Tokeniser.load(folder, "bpe").size == tokeniser.size + 3


def test_a_trained_vocabulary_with_one_special_token(bpe, tmp_path):
    own = Tokeniser.train("bpe", lambda: TEXTS, 280, special_tokens="own")
    assert own.bos == own.eos == own.pad == own.size - 1
    assert own.size <= 280
    assert own.pieces([own.eos]) == ["<|endoftext|>"]
    assert own.decode_batch(own.encode_batch([LITERAL])) == [LITERAL]
    assert own.identity != own.to_json()
    assert bpe.identity == bpe.to_json()
    tokeniser = sketch("bpe", "openai-community/gpt2", 8000, "own")
    assert (tokeniser.size, tokeniser.eos) == (50_257, 50_256)
    assert sketch("bpe", None, 8000, "own").size == 8000


@pytest.mark.parametrize(
    ("config", "problem"),
    [({}, "tokenizer_config.json names no eos_token"), ({"eos_token": "</s>"}, "its eos_token '</s>' is not in the v")],
)
def test_a_vocabulary_without_a_usable_end_token(tmp_path, bpe, config, problem):
    folder = with_tokens(tmp_path, bpe, ["<s>"], config)
    with pytest.raises(GeneraError, match=f"has no usable end-of-text token: .*{problem}.* --special-tokens append"):
        Tokeniser.load(folder, "bpe", "own")


# -- bad input ----------------------------------------------------------------------------------------


def test_load_errors(tmp_path, bpe):
    with pytest.raises(GeneraError, match=r"has no WordPiece tokeniser; a tokenizer.json or a vocab.txt"):
        Tokeniser.load(tmp_path, "wordpiece")
    with pytest.raises(GeneraError, match=r"vocab.json with merges.txt"):
        Tokeniser.load(tmp_path, "bpe")
    with pytest.raises(GeneraError, match="holds no tokenisers"):
        Tokenisers.load(tmp_path)
    with pytest.raises(GeneraError, match="is not a directory; give a tokeniser's directory"):
        Tokeniser.load(tmp_path / "absent", "bpe")
    bpe.save(tmp_path)
    with pytest.raises(GeneraError, match="is a BPE tokeniser; a WordPiece tokeniser is needed"):
        Tokeniser.load(tmp_path, "wordpiece")
    (tmp_path / "tokenizer.json").write_text('{"version"')
    with pytest.raises(GeneraError, match=r"the tokeniser in .* is not readable"):
        Tokeniser.load(tmp_path, "bpe")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["[UNK]", "[PAD]", "[CLS]", "[SEP]"], r"has a \[PAD\] that is not id 0"),
        (["[PAD]", "[UNK]", "a"], r"has no \[CLS\] and no \[SEP\]"),
    ],
)
def test_other_layouts_are_refused(tokens, message):
    model = models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]")
    with pytest.raises(GeneraError, match=message):
        Tokeniser(Tokenizer(model), "wordpiece", "mine")


def test_hub_name_without_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(GeneraError, match="'no-one/nothing' is not a local directory and could not be fetched"):
        Tokeniser.load("no-one/nothing", "bpe")


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_an_exported_tokeniser_gives_the_same_ids_in_transformers_and_here(request, tmp_path, kind):
    tokeniser = request.getfixturevalue(kind)
    tokeniser.export(tmp_path)
    texts = ["a man walks .", "dogs  run", "naïve 42 !"]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = tokeniser.encode_batch(texts)
    assert theirs(texts).input_ids == ids
    assert theirs.pad_token_id == tokeniser.pad
    assert [text.strip() for text in theirs.batch_decode(ids, skip_special_tokens=True)] == tokeniser.decode_batch(ids)
    assert Tokeniser.load(tmp_path, kind).encode_batch(texts) == ids


def test_a_pair_has_a_separator_between_its_sentences():
    texts = ["a dog runs .", "the cat sleeps .", "one bird"]
    for kind in ("wordpiece", "bpe"):
        tokeniser = Tokeniser.train(kind, lambda: texts, 320)
        a, b, c = tokeniser.encode_batch(texts)
        pair, single = tokeniser.encode_batch([f"{texts[0]}{PAIR}{texts[1]}", texts[2]])
        assert single == c
        if kind == "wordpiece":
            assert pair == a + b[1:]  # [CLS] a [SEP] b [SEP]
        else:
            assert tokeniser.decode_batch([pair]) == [f"{texts[0]} {texts[1]}"]
