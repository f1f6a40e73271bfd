"""Beginning with pretrained BERT and GPT-2: folders as transformers saves them, needed at the first start alone."""

from dataclasses import replace

import pytest
import torch
import transformers

import genera
from genera.blocks.pretrained import export_weights
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.engine.registry import preset
from genera.errors import GeneraError
from genera.methods.lm.config import Gpt2LmConfig
from genera.methods.lm.method import Lm
from genera.methods.optimus.method import Optimus
from training import start, tiny

NANO = preset("optimus:nano")[1].model


@pytest.fixture
def pretrained(text, tmp_path):
    """Folders of a BERT and a GPT-2 of nano's size, each with its tokeniser."""
    torch.manual_seed(1)
    size, folders = NANO.decoder, {"bert": tmp_path / "bert", "gpt2": tmp_path / "gpt2"}
    bert = transformers.BertConfig(
        vocab_size=text.tokenisers.encoder.size, hidden_size=size.hidden, num_hidden_layers=size.layers,
        num_attention_heads=size.heads, intermediate_size=size.feed_forward, max_position_embeddings=size.positions,
    )  # fmt: skip
    gpt2 = transformers.GPT2Config(
        vocab_size=text.tokenisers.decoder.size - 3, n_embd=size.hidden, n_layer=size.layers, n_head=size.heads,
        n_positions=size.positions, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    transformers.BertModel(bert).save_pretrained(folders["bert"])
    transformers.GPT2LMHeadModel(gpt2).save_pretrained(folders["gpt2"])
    text.tokenisers.encoder.save(folders["bert"])
    text.tokenisers.decoder.save(folders["gpt2"])
    return folders


def assert_pretrained(network, folders, atol=0.0):
    theirs = {
        "encoder": transformers.BertModel.from_pretrained(folders["bert"]).state_dict(),
        "decoder": transformers.GPT2Model.from_pretrained(folders["gpt2"]).state_dict(),
    }
    for side, tensors in theirs.items():
        ours = export_weights(getattr(network, side))
        assert len(ours) > 20
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor[: len(tensors[name])], tensors[name], atol=atol, rtol=0)


def test_weights_are_copied_and_the_new_tokens_are_random(pretrained, text):
    decoder = replace(NANO.decoder, init=0.02)
    config = replace(
        NANO,
        feature="pooler",
        decoder=decoder,
        pretrained_encoder=str(pretrained["bert"]),
        pretrained_decoder=str(pretrained["gpt2"]),
    )
    model = Optimus(config, text.tokenisers)
    built = model.network.decoder.tokens.weight.detach().clone()
    model.initialise()
    assert_pretrained(model.network, pretrained)
    new = model.network.decoder.tokens.weight[-3:]
    assert torch.equal(new, built[-3:])
    assert len(torch.unique(new, dim=0)) == 3
    assert 0.015 < new.std() < 0.025

    lm = Lm(Gpt2LmConfig(decoder=NANO.decoder, pretrained_decoder=str(pretrained["gpt2"])), text.tokenisers)
    lm.initialise()
    assert torch.equal(lm.decoder.tokens.weight[:-3], model.network.decoder.tokens.weight[:-3])


def test_weights_of_another_size_or_kind(pretrained, text):
    wide = replace(NANO, decoder=replace(NANO.decoder, hidden=32), pretrained_decoder=str(pretrained["gpt2"]))
    with pytest.raises(GeneraError, match=r"gpt2 have size .*hidden=64.* the model has .*hidden=32"):
        Optimus(wide, text.tokenisers).initialise()
    swapped = replace(NANO, pretrained_encoder=str(pretrained["gpt2"]))
    with pytest.raises(GeneraError, match="model_type 'gpt2'; expected 'bert'"):
        Optimus(swapped, text.tokenisers).initialise()
    other = Tokenisers(text.tokenisers.encoder, Tokeniser.train("bpe", lambda: text.sentences, 300))
    with pytest.raises(GeneraError, match="has 317 tokens, but the tokeniser has only 300; give the tokeniser"):
        Optimus(replace(NANO, pretrained_decoder=str(pretrained["gpt2"])), other).initialise()
    with pytest.raises(GeneraError, match=r"does-not-exist is not a folder and could not be downloaded"):
        Optimus(replace(NANO, pretrained_encoder="./does-not-exist"), text.tokenisers).initialise()


def test_only_the_first_start_reads_the_folders(pretrained, tmp_path):
    spec, *words = tiny("optimus")
    words += [
        "train.checkpoint_every=2", "train.steps=6", "train.validate_every=0",
        f"model.pretrained_encoder={pretrained['bert']}", f"model.pretrained_decoder={pretrained['gpt2']}",
        f"data.encoder_tokeniser={pretrained['bert']}", f"data.decoder_tokeniser={pretrained['gpt2']}",
    ]  # fmt: skip
    killed = start(spec, tmp_path / "run", *words, "kill=step:4")
    assert killed.returncode == -9, killed.stderr
    away = {name: folder.rename(tmp_path / f"{name}-away") for name, folder in pretrained.items()}
    done = start(spec, tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    assert "resuming from step 2" in done.stderr
    run = genera.load(tmp_path / "run", device="cpu")
    assert run.step == 6
    assert_pretrained(run.method.network, away, atol=2e-3)  # six small steps away from them
