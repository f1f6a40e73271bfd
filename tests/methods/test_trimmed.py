"""Pretrained decoders in part: the tokens of a corpus, the first layers; and the whole vocabulary in exports."""

import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch.testing import assert_close

import genera
from genera import worlds
from genera.blocks.pretrained import DECODERS, ENCODERS, export_weights, read_size
from genera.data.text.batches import collate
from genera.data.text.sources import parse_source
from genera.data.vocabularies.tokenisers import Tokeniser
from genera.engine.origin import Origin
from genera.errors import GeneraError
from genera.report.export import export_run
from genera.uses.share import import_run

SHORT = {
    "data": "world:captions-small",
    "max_tokens": 64,
    "limit": 200,
    "steps": 3,
    "batch_size": 16,
    "validate_every": 0,
}
SENTENCES = worlds.load("captions-small").sentences(6, seed=9)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A MiniLM and two language models of three layers: a Llama with an output matrix of its own, and a GPT-2."""
    torch.manual_seed(2)
    root = tmp_path_factory.mktemp("pretrained")
    houses = [item.text for item in islice(parse_source("world:houses").items(), 200)]
    texts = worlds.load("captions").sentences(900, seed=1) + houses
    wordpiece, bpe = (Tokeniser.train(kind, lambda: texts, 700, special_tokens="own") for kind in ("wordpiece", "bpe"))
    models = {
        "bert": transformers.BertModel(transformers.BertConfig(
            vocab_size=wordpiece.size, hidden_size=24, num_hidden_layers=3, num_attention_heads=2,
            intermediate_size=48, max_position_embeddings=64,
        )),
        "llama": transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=bpe.size, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=48, max_position_embeddings=64, tie_word_embeddings=False,
        )),
        "gpt2": transformers.GPT2LMHeadModel(transformers.GPT2Config(
            vocab_size=bpe.size, n_embd=24, n_layer=3, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0,
        )),
    }  # fmt: skip
    for name, model in models.items():
        model.save_pretrained(root / name)
        (wordpiece if name == "bert" else bpe).save(root / name)
    return root


def imported(folders, out, decoder="llama", **options):
    """A run that begins with these parts, whose vocabulary is trimmed to a corpus."""
    origin = Origin(
        encoder=str(folders / "bert"), decoder=str(folders / decoder), latent_size=4,
        **{"trim_vocabulary": "world:captions-small", **options},
    )  # fmt: skip
    return genera.load(import_run("optimus", out, origin).path, device="cpu")


@pytest.mark.parametrize("decoder", ["llama", "gpt2"])
def test_states_are_those_of_the_whole_model(folders, tmp_path, decoder):
    method = imported(folders, tmp_path / "run", decoder).method.eval()
    whole = imported(folders, tmp_path / "whole", decoder, trim_vocabulary=None).method.eval()
    tokeniser = method.assets.decoder
    assert tokeniser.size < 0.7 * whole.assets.decoder.size
    kept = torch.tensor(tokeniser.whole_ids)
    special = [tokeniser.pad, tokeniser.bos, tokeniser.eos]  # appended, so they begin at random
    with torch.no_grad():
        whole.network.decoder.tokens.weight[kept[special]] = method.network.decoder.tokens.weight[special]
    ids, before = (collate(SENTENCES, m.assets).decoder for m in (method, whole))
    assert torch.equal(kept[ids], before)
    states, wanted = method.network.decoder(ids), whole.network.decoder(before)
    assert_close(states, wanted)
    logits, of_all = method.network.decoder.logits(states), whole.network.decoder.logits(wanted)
    known = kept < read_size(folders / decoder, DECODERS).vocabulary
    assert known.sum() >= len(kept) - 3
    assert_close(logits[..., known], of_all[..., kept[known]])


@pytest.mark.parametrize("decoder", ["llama", "gpt2"])
def test_an_export_has_the_whole_vocabulary_again(folders, tmp_path, decoder):
    imported(folders, tmp_path / "begin", decoder)
    config = genera.configure("optimus:nano", **SHORT, init=(str(tmp_path / "begin"),))
    start = genera.load(tmp_path / "begin").config.model
    run = genera.load(genera.train(replace(config, model=replace(start, lr=1e-2)), tmp_path / "run").path, device="cpu")
    export = export_run(run, tmp_path / "out")
    kept = torch.tensor(run.method.assets.decoder.whole_ids)
    source, written = (
        load_file(folders / decoder / "model.safetensors"),
        load_file(export / "decoder/model.safetensors"),
    )
    ours = export_weights(run.method.network.decoder)
    tables = {"llama": {"embed_tokens": "model.embed_tokens", "lm_head": "lm_head"}, "gpt2": {"wte": "transformer.wte"}}
    for name, theirs in tables[decoder].items():
        table, before, trained = written[f"{theirs}.weight"], source[f"{theirs}.weight"], ours[f"{name}.weight"]
        assert torch.equal(table[kept], trained)
        unseen = [i for i in range(len(before)) if i not in set(kept.tolist())]
        assert len(unseen) > 100
        assert torch.equal(table[unseen], before[unseen])
        known = kept[kept < len(before)]
        assert not torch.equal(table[known], before[known])  # training has moved them
    theirs = transformers.AutoModelForCausalLM.from_pretrained(export / "decoder").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(export / "decoder")(SENTENCES[0])["input_ids"]
    (row,) = run.method.assets.decoder.encode_batch(SENTENCES[:1])
    assert tokens == [run.method.assets.decoder.whole_ids[i] for i in row]
    states = run.method.network.decoder(torch.tensor([row]))
    assert_close(theirs(torch.tensor([tokens])).logits[..., kept], run.method.network.decoder.logits(states))

    again = genera.load(import_run("optimus", tmp_path / "again", Origin(source=str(export))).path, device="cpu")
    assert again.method.assets.decoder.trimming is None
    assert_close(again.encode(SENTENCES).mean, run.encode(SENTENCES).mean)
    whole_ids = again.method.assets.decoder.encode_batch(SENTENCES[:1])
    assert whole_ids == [tokens]


def test_an_export_without_the_source(folders, tmp_path):
    moved = shutil.copytree(folders, tmp_path / "moved")
    run = imported(moved, tmp_path / "run")
    (moved / "llama").rename(tmp_path / "away")
    with pytest.raises(GeneraError, match=r"the \d+ tokens that --trim-vocabulary left out .*moved/llama.* --trimmed"):
        export_run(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export = export_run(run, tmp_path / "out", trimmed=True)
    again = genera.load(import_run("optimus", tmp_path / "again", Origin(source=str(export))).path, device="cpu")
    for name, tensor in run.method.state_dict().items():
        assert torch.equal(again.method.state_dict()[name], tensor), name
    assert again.reconstruct(SENTENCES) == run.reconstruct(SENTENCES)


def test_a_language_model_is_trimmed_too(folders, tmp_path):
    config = genera.configure(
        "gpt2-lm:nano", **SHORT, pretrained_decoder=str(folders / "gpt2"), decoder_tokeniser=str(folders / "gpt2"),
        trim_vocabulary=True, special_tokens="own", lr=1e-3,
    )  # fmt: skip
    shape = read_size(folders / "gpt2", DECODERS).shape
    config = replace(config, model=replace(config.model, decoder=shape))
    run = genera.load(genera.train(config, tmp_path / "run").path, device="cpu")
    assert run.method.tokeniser.size < 600
    export = export_run(run, tmp_path / "out")
    assert read_size(export, DECODERS).vocabulary == run.method.tokeniser.whole.size
    origin = Origin(source=str(folders / "llama"), trim_vocabulary="world:captions-small", decoder_layers=2)
    again = genera.load(import_run("gpt2-lm:nano", tmp_path / "again", origin).path, device="cpu")
    assert again.method.decoder.size.layers == 2
    assert again.method.tokeniser.trimming is not None


# the first layers


def test_the_first_layers_are_those_of_the_folder(folders, tmp_path):
    method = imported(folders, tmp_path / "run", trim_vocabulary=None, decoder_layers=2, encoder_layers=1).method
    assert (method.network.encoder.size.layers, method.network.decoder.size.layers) == (1, 2)
    for side, name, theirs in (
        ("decoder", "llama", transformers.LlamaModel), ("encoder", "bert", transformers.BertModel),
    ):  # fmt: skip
        of_all = {k: v for k, v in theirs.from_pretrained(folders / name).state_dict().items() if k != "lm_head.weight"}
        ours = export_weights(getattr(method.network, side))
        for tensor_name, tensor in ours.items():
            if tensor_name in of_all:
                assert torch.equal(tensor[: len(of_all[tensor_name])], of_all[tensor_name]), tensor_name
        dropped = {name for name in of_all if name not in ours}
        assert dropped
        assert all(
            "layers.2." in name or "layer.1." in name or "layer.2." in name or "pooler" in name for name in dropped
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decoder_layers": 4}, r"--decoder-layers must lie in 1 \.\. 3, the layers there are, got 4"),
        ({"encoder_layers": 0}, r"--encoder-layers must lie in 1 \.\. 3, the layers there are, got 0"),
        ({"trim_vocabulary": None, "text_column": "3"}, "--text-column is of the corpus of --trim-vocabulary"),
        ({"trim_vocabulary": "text:nowhere.txt"}, "nowhere.txt"),
    ],
)
def test_imports_that_cannot_be(folders, tmp_path, options, words):
    with pytest.raises(GeneraError, match=words):
        imported(folders, tmp_path / "run", **options)


def test_more_layers_or_tokens_than_there_are(folders, tmp_path):
    config = genera.configure("gpt2-lm:nano", **SHORT, pretrained_decoder=str(folders / "gpt2"))
    shape = read_size(folders / "gpt2", DECODERS).shape
    deep = replace(config, model=replace(config.model, decoder=replace(shape, layers=5)))
    with pytest.raises(GeneraError, match=r"gpt2 has 3 layers, not 5; set --decoder\.layers 3"):
        genera.train(deep, tmp_path / "deep")
    texts = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").splitlines()
    Tokeniser.train("bpe", lambda: texts, 2000).save(tmp_path / "larger")
    fits = replace(config, model=replace(config.model, decoder=shape))
    other = replace(fits, data=replace(fits.data, decoder_tokeniser=str(tmp_path / "larger")))
    with pytest.raises(
        GeneraError, match=r"has only \d+ tokens, but the tokeniser has \d+, such as '.*'; give the tok"
    ):
        genera.train(other, tmp_path / "other")


def test_only_tensors_of_later_layers_are_left_aside(folders, tmp_path):
    copied = shutil.copytree(folders / "gpt2", tmp_path / "gpt2")
    tensors = load_file(copied / "model.safetensors")
    tensors["transformer.h.2.adapter.weight"] = torch.zeros(3)
    del tensors["transformer.h.1.ln_1.bias"]
    from safetensors.torch import save_file

    save_file(tensors, copied / "model.safetensors")
    with pytest.raises(GeneraError) as error:
        import_run("gpt2-lm:nano", tmp_path / "run", Origin(source=str(copied), decoder_layers=2))
    assert "h.2.adapter.weight is unknown" in str(error.value)
    assert "h.1.ln_1.bias is missing" in str(error.value)
    assert "h.2.ln_1" not in str(error.value)
    assert read_size(folders / "bert", ENCODERS).layers == 3
