"""Fluency: perplexities under a reference model, of trigrams, of a run, or of a GPT-2 in the Hugging Face layout."""

import json
import math
from types import SimpleNamespace

import huggingface_hub.constants
import pytest
import torch
import transformers

import genera
from genera import worlds
from genera.errors import GeneraError
from genera.evaluation.evaluate import evaluate
from genera.evaluation.fluency_reference import open_reference
from genera.evaluation.settings import EvaluateConfig
from genera.measures.kneser_ney import SentenceModel
from genera.report.export import export_run

COUNT = 60


def fluency(run, *, reference=None, **config):
    settings = EvaluateConfig(measures=("fluency",), **config)
    return evaluate(run, settings, fluency={"count": COUNT, "reference": reference})


def test_trigrams_of_the_training_split_are_the_default(copied):
    run = copied()
    stored = fluency(run)
    v = stored.values
    corpus = run.method.dataset.open(run.config.data, run.method.assets)

    assert v["fluency_data"] < 5 < 30 < v["fluency_shuffled"]
    assert v["fluency_data"] < v["fluency_unigram"] < v["fluency_reconstructions"]  # pieces of words
    assert {"fluency_samples", "fluency_interpolations"} <= set(v)
    samples = run.sample(COUNT, max_tokens=run.config.data.max_tokens)
    nats = SentenceModel(corpus.items("train", corpus.size("train"))).nats(samples)
    words = sum(len(sample.split()) + 1 for sample in samples)
    assert v["fluency_samples"] == pytest.approx(math.exp(nats.sum() / words))
    assert v.facts["fluency_reference"] == "a trigram model of the training split"


def test_a_run_and_its_exported_folder_judge_alike(copied, trained_lm, tmp_path):
    judge = genera.load(trained_lm, device="cpu")
    by_run = fluency(copied(), reference=str(trained_lm)).values
    assert by_run["fluency_data"] > 1
    export_run(judge, tmp_path / "shared")
    by_folder = fluency(copied(), reference=str(tmp_path / "shared")).values
    for name in ("fluency_data", "fluency_shuffled", "fluency_unigram"):
        assert by_folder[name] == pytest.approx(by_run[name], rel=1e-4)
    assert by_run["fluency_samples"] > 100  # some are longer than the judge reads, which it reads in parts
    assert by_folder["fluency_samples"] > 100


def test_another_reference_is_another_evaluation(copied, trained_lm):
    run = copied()
    names = {fluency(run).name, fluency(run, reference=str(trained_lm)).name}
    assert len(names) == 2


def test_a_reference_that_cannot_judge_is_refused(copied, tmp_path, monkeypatch):
    with pytest.raises(GeneraError, match=r"nowhere is neither a run folder .* nor a GPT-2"):
        fluency(copied(), reference="nowhere")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(GeneraError, match="someone/no-such-model is not a folder and could not be downloaded"):
        fluency(copied(), reference="someone/no-such-model")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(GeneraError, match="model_type 'mamba'; expected 'gpt2' or 'llama'"):
        fluency(copied(), reference=str(tmp_path))


def test_a_llama_judges_as_transformers_computes_it(trained_lm, tmp_path):
    tokeniser = genera.load(trained_lm, device="cpu").method.tokeniser
    config = transformers.LlamaConfig(
        vocab_size=tokeniser.size, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=32, max_position_embeddings=64, bos_token_id=tokeniser.bos, eos_token_id=tokeniser.eos,
        initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    oracle = transformers.LlamaForCausalLM(config).eval()
    oracle.save_pretrained(tmp_path)
    tokeniser.export(tmp_path)
    sentences = worlds.load("captions-small").sentences(8, seed=9, split="test")
    expected = []
    for ids in tokeniser.encode_batch(sentences):
        with torch.no_grad():
            scores = oracle(torch.tensor([ids[:-1]])).logits[0].double().log_softmax(-1)
        expected.append(-scores.gather(1, torch.tensor(ids[1:])[:, None]).sum().item())
    evaluation = SimpleNamespace(run=SimpleNamespace(device="cpu"))
    nats, name = open_reference(evaluation, str(tmp_path))
    assert nats(sentences) == pytest.approx(expected, rel=1e-4)
    assert name == str(tmp_path)


def test_data_without_a_training_split_needs_a_reference(copied, trained_lm, tmp_path):
    (tmp_path / "mine.txt").write_text("\n".join(worlds.load("captions-small").sentences(40, seed=9, split="test")))
    data = f"text:{tmp_path}/mine.txt"
    with pytest.raises(GeneraError, match="needs a training split to fit its trigram model to"):
        fluency(copied(), data=data)
    assert "fluency_samples" in fluency(copied(), data=data, reference=str(trained_lm)).values
