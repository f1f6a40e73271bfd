"""`genera import` and `genera export`: from folders of transformers to runs that every command uses."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer

import genera as library
from commands import QUICK, contents, genera
from genera import worlds
from genera.blocks.pretrained import export_weights
from genera.data.vocabularies.tokenisers import Tokeniser
from storage import read_only

SIZE = {"layers": 2, "hidden": 64, "heads": 4, "positions": 128}  # as optimus:nano


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A random BERT and a random GPT-2 as transformers saves them, each with its tokeniser."""
    torch.manual_seed(1)
    folder, sentences = tmp_path_factory.mktemp("parts"), worlds.load("captions-small").sentences(500)
    tokenisers = {kind: Tokeniser.train(kind, lambda: sentences, 300) for kind in ("wordpiece", "bpe")}
    bert = transformers.BertConfig(
        vocab_size=tokenisers["wordpiece"].size, hidden_size=SIZE["hidden"], num_hidden_layers=SIZE["layers"],
        num_attention_heads=SIZE["heads"], intermediate_size=256, max_position_embeddings=SIZE["positions"],
    )  # fmt: skip
    gpt2 = transformers.GPT2Config(
        vocab_size=tokenisers["bpe"].size - 3, n_embd=SIZE["hidden"], n_layer=SIZE["layers"], n_head=SIZE["heads"],
        n_positions=SIZE["positions"], bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    transformers.BertModel(bert).save_pretrained(folder / "bert")
    transformers.GPT2LMHeadModel(gpt2).save_pretrained(folder / "gpt2")
    tokenisers["wordpiece"].save(folder / "bert")
    tokenisers["bpe"].save(folder / "gpt2")
    return folder


@pytest.fixture(scope="module")
def imported(parts):
    words = ("--encoder", parts / "bert", "--decoder", parts / "gpt2", "--out", parts / "run")
    done = genera("import", "optimus", *words, "--latent-size", 6, "--json")
    assert done.code == 0, done.err
    assert done.json["state"] == "done"
    assert done.json["imported"] == f"{parts / 'bert'} + {parts / 'gpt2'}"
    return parts / "run"


def test_bert_and_gpt2_become_an_optimus(parts, imported):
    run = library.load(imported, device="cpu")
    assert run.config.preset == "paper"
    assert run.config.model.pretrained_encoder == str(parts / "bert")
    assert (run.method.latent_size, run.config.data.max_tokens) == (6, 128)
    for side, model in (
        ("encoder", transformers.BertModel.from_pretrained(parts / "bert")),
        ("decoder", transformers.GPT2Model.from_pretrained(parts / "gpt2")),
    ):
        ours = export_weights(getattr(run.method.network, side))
        assert ours.keys() == model.state_dict().keys()
        for name, tensor in model.state_dict().items():
            assert torch.equal(ours[name][: len(tensor)], tensor), name


def test_the_maps_follow_the_seed(parts, imported):
    def maps(run):
        network = library.load(run, device="cpu").method.network
        return torch.cat([m.weight.flatten() for m in (network.to_posterior, network.to_memory, network.to_embedding)])

    words = ("--encoder", parts / "bert", "--decoder", parts / "gpt2", "--latent-size", 6)
    assert genera("import", "optimus", *words, "--out", parts / "same").code == 0
    assert genera("import", "optimus", *words, "--out", parts / "other", "--seed", 1).code == 0
    assert torch.equal(maps(parts / "same"), maps(imported))
    assert (maps(parts / "other") != maps(imported)).all()
    assert 0.015 < maps(imported).std() < 0.025


def test_every_use_and_evaluation_work(imported):
    sentence = "many boys are hiding the bottle ."
    short = ("--max-tokens", 5)
    for words in (
        ("sample", imported, "--count", 2, *short),
        ("reconstruct", imported, sentence, *short),
        ("interpolate", imported, sentence, "a man .", "--steps", 2, *short),
        ("analogy", imported, sentence, "a man .", "a cat .", *short),
        ("encode", imported, sentence, "--json"),
    ):
        assert genera(*words).code == 0
    measured = genera("evaluate", imported, "--data", "world:captions-small", *QUICK.split(), "--json")
    assert measured.code == 0, measured.err
    assert measured.json["latent_size"] == 6
    assert genera("report", imported).code == 0


def test_training_begins_with_an_imported_run(parts, tmp_path):
    words = ("--encoder", parts / "bert", "--decoder", parts / "gpt2", "--out", tmp_path / "start")
    assert genera("import", "optimus:nano", *words).code == 0
    options = "--data world:captions-small --limit 300 --steps 2 --batch-size 8 --validate-every 0 --lr 1e-9"
    words = ("--init", tmp_path / "start", "--out", tmp_path / "tuned")
    done = genera("train", "optimus:nano", *options.split(), *words)
    assert done.code == 0, done.err
    begun, tuned = (
        load_file(next((tmp_path / name / "checkpoints").glob("*/weights.safetensors"))) for name in ("start", "tuned")
    )
    for name, tensor in begun.items():
        torch.testing.assert_close(tuned[name], tensor, rtol=0, atol=1e-7)


def test_gpt2_alone_becomes_a_language_model(parts, tmp_path):
    done = genera("import", "gpt2-lm", parts / "gpt2", "--out", tmp_path / "lm")
    assert done.code == 0, done.err
    assert "/config.yaml --init" in done.err
    assert len(genera("sample", tmp_path / "lm", "--count", 2, "--max-tokens", 5, "--json").json) == 2
    exported = genera("export", tmp_path / "lm", "--out", tmp_path / "out", "--json")
    assert exported.json == {"export": str(tmp_path / "out")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.md", "config.json", "genera.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


def test_other_tokenisers_can_be_named(parts, tmp_path):
    words = ("--encoder", parts / "bert", "--decoder", parts / "gpt2", "--out", tmp_path / "run")
    (tmp_path / "larger").mkdir()
    larger = Tokenizer.from_file(str(parts / "gpt2" / "tokenizer.json"))
    larger.add_tokens(["<red>", "<blue>"])
    larger.save(str(tmp_path / "larger/tokenizer.json"))
    done = genera("import", "optimus", *words, "--decoder-tokeniser", tmp_path / "larger")
    assert done.code == 0, done.err
    assert f"genera train --config {tmp_path}/run/config.yaml --init {tmp_path}/run --data SOURCE" in done.err
    vocabulary = library.load(tmp_path / "run", device="cpu").method.network.decoder.size.vocabulary
    assert vocabulary == larger.get_vocab_size() >= 302
    sentences = worlds.load("captions").sentences(300)
    Tokeniser.train("bpe", lambda: sentences, 400).save(tmp_path / "other")
    words = (*words[:-1], tmp_path / "not")
    message = genera("import", "optimus", *words, "--decoder-tokeniser", tmp_path / "other").error
    assert "has only 297 tokens, but the tokeniser has 400, such as 'utside'; give the tokeniser" in message
    Tokeniser.train("bpe", lambda: sentences, 265).save(tmp_path / "smaller")
    message = genera("import", "optimus", *words, "--decoder-tokeniser", tmp_path / "smaller").error
    assert "give the tokeniser that belongs to these weights" in message


def test_export_writes_the_whole_folder_or_nothing(imported, tmp_path):
    assert genera("export", imported, "--out", tmp_path / "out").lines == [str(tmp_path / "out")]
    assert json.loads((tmp_path / "out/genera.json").read_text())["method"] == "optimus"
    assert sorted(contents(tmp_path / "out")) == sorted(
        ["README.md", "genera.json", "latent.safetensors"]
        + [
            f"{side}/{file}"
            for side in ("encoder", "decoder")
            for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
        ]
    )
    before = contents(tmp_path / "out")
    assert "already exists; choose another --out" in genera("export", imported, "--out", tmp_path / "out").error
    assert contents(tmp_path / "out") == before
    (tmp_path / "locked").mkdir()
    with read_only(tmp_path / "locked") as place:
        assert "cannot write" in genera("export", imported, "--out", place / "out").error
    assert not (tmp_path / "locked/out").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("import", None),
        ("import --out x", "name the method first: genera import METHOD"),
        ("import optimus", "give a run folder: --out runs/NAME"),
        ("export nowhere --out x", "nowhere is not a run folder"),
    ],
)
def test_bad_lines(words, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = genera(*words.split())
    if named is None:
        assert "usage: genera import METHOD" in result.out
    else:
        assert named in result.error
