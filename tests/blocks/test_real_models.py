"""MiniLM and SmolLM2, the real weights, against transformers."""

import os
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from torch.testing import assert_close

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.pretrained import DECODERS, ENCODERS, load_weights, read_size, write_folder

SENTENCES = ["The two dogs ran across the street.", "A short one.", "the food was great and the service was friendly ."]


def model_folder(name: str) -> Path:
    models = os.environ.get("GENERA_MODELS")
    if models is None or not (Path(models) / name).is_dir():
        pytest.skip(f"GENERA_MODELS has no {name}")
    return Path(models) / name


def padded(tokeniser: Tokenizer, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    tokeniser.no_padding()
    rows = [tokeniser.encode(text).ids for text in SENTENCES]
    ids = torch.full((len(rows), max(map(len, rows))), pad)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    return ids, torch.arange(ids.shape[1]) < torch.tensor([[len(tokens)] for tokens in rows])


def test_minilm_has_the_states_and_sentence_vectors_of_transformers() -> None:
    folder = model_folder("minilm")
    ids, mask = padded(Tokenizer.from_file(str(folder / "tokenizer.json")), 0)
    ours = Bert(read_size(folder, ENCODERS), pooler=True).eval()
    load_weights(ours, folder)
    assert sum(p.numel() for p in ours.parameters()) == 22_713_216
    oracle = transformers.BertModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        states, theirs = ours(ids, mask), oracle(ids, attention_mask=mask.long())
    assert_close(states[mask], theirs.last_hidden_state[mask], atol=1e-4, rtol=1e-4)
    assert_close(ours.pooled(states), theirs.pooler_output, atol=1e-4, rtol=1e-4)
    ours_mean, theirs_mean = (
        torch.nn.functional.normalize((s * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))
        for s in (states, theirs.last_hidden_state)
    )
    assert_close(ours_mean, theirs_mean, atol=1e-5, rtol=1e-4)


def test_smollm2_has_the_logits_and_gradients_of_transformers(tmp_path: Path) -> None:
    folder = model_folder("smollm2-135m")
    size = read_size(folder, DECODERS)
    assert (size.layers, size.groups, size.width, size.rotary_base) == (30, 3, 64, 100_000)
    tokeniser = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ours = Decoder(size).eval()
    load_weights(ours, folder)
    assert sum(p.numel() for p in ours.parameters()) == 134_515_008
    oracle = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([tokeniser.encode(SENTENCES[0]).ids])
    logits, theirs = ours.logits(ours(ids)), oracle(ids).logits
    assert_close(logits, theirs, atol=1e-4, rtol=1e-4)
    logits.logsumexp(-1).sum().backward()
    theirs.logsumexp(-1).sum().backward()
    layer, their_layer = ours.blocks[0].attention, oracle.model.layers[0].self_attn
    assert layer.qkv.weight.grad is not None
    wanted = torch.cat([their_layer.q_proj.weight.grad, their_layer.k_proj.weight.grad, their_layer.v_proj.weight.grad])
    assert_close(layer.qkv.weight.grad, wanted, atol=1e-3 * wanted.abs().max().item(), rtol=1e-3)

    cache = ours.cache(1, 18)
    tokens = tokeniser.encode("The two dogs ran across").ids
    with torch.no_grad():
        last = ours(torch.tensor([tokens]), cache=cache)[:, -1]
        written = []
        for _ in range(12):
            written.append(int(ours.logits(last).argmax()))
            last = ours(torch.tensor([written[-1:]]), cache=cache)[:, -1]
    assert tokeniser.decode(written).startswith(" the street. The first dog ran 20 feet,")

    del ours, oracle, logits, theirs
    write_folder(Decoder(read_size(folder, DECODERS)), tmp_path)
    assert read_size(tmp_path, DECODERS) == size
