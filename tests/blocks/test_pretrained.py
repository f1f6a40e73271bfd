import json

import huggingface_hub.constants
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.pretrained import DECODERS, export_weights, find, load_weights, read_size, write_folder
from genera.errors import GeneraError


def copy(folder, target, change=lambda tensors: tensors, **config):
    """The folder again, with its weights and config.json changed."""
    save_file(change(load_file(folder / "model.safetensors")), target / "model.safetensors")
    entries = json.loads((folder / "config.json").read_text()) | config
    (target / "config.json").write_text(json.dumps(entries))
    return target


def state(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_exported_weights_are_what_was_loaded(bert, bert_folder, gpt2, gpt2_folder):
    for model, oracle in [
        (bert, transformers.BertModel.from_pretrained(bert_folder)),
        (gpt2, transformers.GPT2LMHeadModel.from_pretrained(gpt2_folder).transformer),
    ]:
        exported = export_weights(model)
        assert exported.keys() == oracle.state_dict().keys()
        for name, tensor in oracle.state_dict().items():
            assert torch.equal(exported[name], tensor), name


def test_prefixes_old_names_heads_and_half_precision_are_understood(bert, bert_folder, gpt2, gpt2_folder, tmp_path):
    def old(tensors):
        tensors = {
            "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
            for name, t in tensors.items()
        }
        return tensors | {"cls.predictions.bias": torch.zeros(50), "bert.embeddings.position_ids": torch.arange(16)}

    again = Bert(bert.size, pooler=True)
    load_weights(again, copy(bert_folder, tmp_path, old))
    for name, tensor in state(bert).items():
        assert torch.equal(again.state_dict()[name], tensor), name
    load_weights(Bert(bert.size), bert_folder)  # its pooler is left aside

    def bare(tensors):
        tensors = {name.removeprefix("transformer."): t.half() for name, t in tensors.items()}
        return tensors | {"h.0.attn.bias": torch.ones(1, 1, 16, 16), "lm_head.weight": torch.zeros(40, 24)}

    again = Decoder(gpt2.size)
    load_weights(again, copy(gpt2_folder, tmp_path, bare))
    for name, tensor in state(gpt2).items():
        assert_close(again.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


def test_shards_are_read_and_a_lost_one_is_named(gpt2, gpt2_folder, tmp_path):
    transformers.GPT2LMHeadModel.from_pretrained(gpt2_folder).save_pretrained(tmp_path, max_shard_size="20KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2
    again = Decoder(gpt2.size)
    load_weights(again, tmp_path)
    for name, tensor in state(gpt2).items():
        assert torch.equal(again.state_dict()[name], tensor), name
    shards[1].unlink()
    with pytest.raises(GeneraError, match=shards[1].name):
        load_weights(again, tmp_path)


def test_all_that_does_not_fit_is_listed_and_nothing_is_changed(gpt2, gpt2_folder, tmp_path):
    def spoil(tensors):
        tensors["transformer.h.1.ln_2.bias"] = torch.zeros(7)
        tensors["transformer.h.9.ln_1.bias"] = torch.zeros(24)
        del tensors["transformer.wpe.weight"], tensors["transformer.h.0.mlp.c_fc.weight"]
        return tensors

    before = state(gpt2)
    with pytest.raises(GeneraError) as error:
        load_weights(gpt2, copy(gpt2_folder, tmp_path, spoil))
    for part in (
        "wpe.weight is missing",
        "h.0.mlp.c_fc.weight is missing",
        "h.1.ln_2.bias is (7,) instead of (24,)",
        "h.9.ln_1.bias is unknown",
    ):
        assert part in str(error.value)
    for name, tensor in before.items():
        assert torch.equal(gpt2.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        ("bert", {"model_type": "roberta"}, "'roberta'; expected 'bert'"),
        ("bert", {"hidden_act": "relu"}, "hidden_act is 'relu'; only 'gelu'"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("bert", {"attention_probs_dropout_prob": 0.5}, "several dropout rates"),
        ("gpt2", {"activation_function": "relu"}, "activation_function"),
        ("gpt2", {"tie_word_embeddings": False}, "tie_word_embeddings"),
        ("gpt2", {"n_head": 5}, "5 heads"),
    ],
)
def test_a_model_that_would_be_computed_differently_is_refused(request, tmp_path, kind, change, named):
    folder = request.getfixturevalue(f"{kind}_folder")
    with pytest.raises(GeneraError, match=named):
        read_size(copy(folder, tmp_path, **change), (kind,))


def test_an_incomplete_config_is_refused(gpt2_folder, tmp_path):
    folder = copy(gpt2_folder, tmp_path)
    entries = json.loads((folder / "config.json").read_text())
    del entries["n_layer"]
    (folder / "config.json").write_text(json.dumps(entries))
    with pytest.raises(GeneraError, match="no entry 'n_layer'"):
        read_size(folder, DECODERS)


def test_folders_without_safe_weights_are_refused_with_a_way_out(gpt2, gpt2_folder, tmp_path):
    with pytest.raises(GeneraError, match=r"no model\.safetensors"):
        load_weights(gpt2, tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(GeneraError, match=r"pickle.*convert it to model\.safetensors"):
        load_weights(gpt2, tmp_path)
    whole = (gpt2_folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GeneraError, match="damaged"):
        load_weights(gpt2, tmp_path)


def test_a_folder_is_itself_and_an_unreachable_name_asks_for_one(monkeypatch, tmp_path):
    assert find(tmp_path) == tmp_path
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for source in ("someone/some-model-that-is-not-cached", tmp_path / "missing"):
        with pytest.raises(GeneraError, match="give the path of a folder"):
            find(source)


def test_a_written_folder_is_computed_alike_by_transformers_and_read_again(bert, gpt2, tmp_path):
    ids = torch.arange(1, 13).view(2, 6)
    write_folder(bert, tmp_path / "bert", pad_token_id=0)
    theirs = transformers.BertModel.from_pretrained(tmp_path / "bert").eval()
    assert theirs.config.pad_token_id == 0
    ours = bert.eval()(ids)
    assert_close(theirs(ids).last_hidden_state, ours)
    assert_close(theirs(ids).pooler_output, bert.pooled(ours))
    write_folder(gpt2, tmp_path / "gpt2", pad_token_id=39)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "gpt2").eval()
    assert_close(theirs(ids).logits, gpt2.logits(gpt2.eval()(ids)))
    for model, kind in ((bert, "bert"), (gpt2, "gpt2")):
        size = read_size(tmp_path / kind, (kind,))
        assert size == model.size
        again = type(model)(size, pooler=True) if kind == "bert" else type(model)(size)
        load_weights(again, tmp_path / kind)
        for name, tensor in state(model).items():
            assert torch.equal(again.state_dict()[name], tensor), name
