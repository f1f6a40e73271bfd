"""Import, fine-tuning and export of `lm` against transformers: a Llama with an end token of its own."""

import json
import os
from pathlib import Path

import pytest
import torch
import transformers
from torch.testing import assert_close

import genera
from commands import genera as command
from genera.data.vocabularies.tokenisers import Tokeniser
from genera.engine.origin import Origin
from genera.errors import GeneraError
from genera.report.export import export_run
from genera.uses.share import import_run

SENTENCES = ["many boys are hiding the bottle .", "a nurse is fixing a kite near the school ."]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A small Llama as transformers saves it: more vectors than tokens, tokenizer_config.json of a chat model."""
    folder = tmp_path_factory.mktemp("published")
    tokeniser = Tokeniser.train(
        "bpe", lambda: genera.worlds.load("captions-small").sentences(300), 320, special_tokens="own"
    )
    tokeniser.save(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}))
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=tokeniser.size + 7, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
        initializer_range=0.2, rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def imported(published, tmp_path_factory):
    folder = import_run("lm", tmp_path_factory.mktemp("imported") / "run", Origin(source=str(published)))
    return genera.load(folder.path, device="cpu")


def logits_of(run, ids):
    with torch.no_grad():
        return run.method.decoder.logits(run.method.decoder(ids))


def test_an_import_reads_the_layout_and_computes_the_same(published, imported):
    model = transformers.LlamaForCausalLM.from_pretrained(published).eval()
    decoder, tokeniser = imported.method.decoder, imported.method.tokeniser
    assert (decoder.layout.name, decoder.size.groups, decoder.size.rotary_base) == ("llama", 2, 500.0)
    assert sum(p.numel() for p in decoder.parameters()) == model.num_parameters()
    assert tokeniser.bos == tokeniser.eos == tokeniser.id_of("<|endoftext|>")
    assert decoder.size.vocabulary == tokeniser.size + 7
    for row in tokeniser.encode_batch(SENTENCES):
        ids = torch.tensor([row])
        with torch.no_grad():
            assert_close(logits_of(imported, ids), model(ids).logits, atol=1e-4, rtol=1e-4)
            loss = model(ids, labels=ids).loss * (len(row) - 1)
        ((ours,),) = imported.score([tokeniser.decode_batch([row])[0]]).log_likelihood
        assert -ours.item() == pytest.approx(loss.item(), rel=1e-4)
    assert all(imported.sample(4, seed=1, max_tokens=8))


def test_an_export_gives_transformers_the_same_ids_and_logits_and_comes_back(imported, tmp_path):
    export_run(imported, tmp_path / "out")
    model = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out").eval()
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = imported.method.tokeniser.encode_batch(SENTENCES)
    assert theirs(SENTENCES).input_ids == ids
    assert model.config.eos_token_id == theirs.eos_token_id == imported.method.tokeniser.eos
    with torch.no_grad():
        assert_close(model(torch.tensor(ids[:1])).logits, logits_of(imported, torch.tensor(ids[:1])))
    assert "LlamaForCausalLM.from_pretrained" in (tmp_path / "out/README.md").read_text()
    again = genera.load(import_run("lm", tmp_path / "again", Origin(source=str(tmp_path / "out"))).path, device="cpu")
    assert again.config == imported.config
    assert torch.equal(logits_of(again, torch.tensor(ids[:1])), logits_of(imported, torch.tensor(ids[:1])))
    assert again.sample(3, seed=2, max_tokens=8) == imported.sample(3, seed=2, max_tokens=8)


def test_an_import_is_fine_tuned_with_its_own_settings(imported, tmp_path):
    """The command that `genera import` names: sizes, tokeniser and packing are those of the import."""
    (tmp_path / "mine.txt").write_text("\n".join(genera.worlds.load("captions-small").sentences(300, seed=5)) + "\n")
    path = imported.folder.path
    words = ("--config", f"{path}/config.yaml", "--init", path, "--data", f"text:{tmp_path}/mine.txt")
    more = ("--steps", 30, "--batch-size", 8, "--lr", 0.01, "--warmup", 0, "--device", "cpu", "--json")
    done = command("train", *words, "--out", tmp_path / "tuned", *more)
    assert done.code == 0, done.err
    tuned = genera.load(tmp_path / "tuned", device="cpu")
    assert tuned.config.data.context == 64
    assert tuned.method.tokeniser.identity == imported.method.tokeniser.identity
    texts = genera.worlds.load("captions-small").sentences(50, seed=6, split="test")
    before, after = (run.score(texts).log_weights.mean().item() for run in (imported, tuned))
    assert after > before + 5


def test_a_tokeniser_without_an_end_is_one_sentence(published, tmp_path):
    folder = tmp_path / "endless"
    folder.mkdir()
    for file in ("config.json", "model.safetensors"):
        (folder / file).write_bytes((published / file).read_bytes())
    tokenizer = json.loads((published / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = []
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(GeneraError, match=r"endless has no usable end-of-text token: .* names no eos_token"):
        import_run("lm", tmp_path / "run", Origin(source=str(folder)))


def test_the_real_smollm2(tmp_path):
    folder = Path(os.environ.get("GENERA_MODELS", "")) / "smollm2-135m"
    if not (folder / "config.json").exists():
        pytest.skip("GENERA_MODELS has no smollm2-135m")
    run = genera.load(import_run("lm", tmp_path / "run", Origin(source=str(folder))).path, device="cpu")
    assert sum(p.numel() for p in run.method.parameters()) == 134_515_008
    assert run.config.data.context == 1024
    ids = torch.tensor(run.method.tokeniser.encode_batch(["Two dogs run across a field of grass ."]))
    assert ids[0, 0] == ids[0, -1] == 0  # <|endoftext|>
    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        assert_close(logits_of(run, ids), model(ids).logits, atol=1e-4, rtol=1e-4)
