"""Evaluation of a short training: what is measured, within which bounds, and what is written."""

import json
import math
import shutil

import pytest
import torch

import genera
from genera import worlds
from genera.errors import GeneraError
from genera.evaluation import text as text_evaluation
from genera.evaluation.evaluate import evaluate
from genera.measures.catalogue import definition
from genera.methods.optimus import method as optimus
from genera.uses.settings import EvaluateConfig

FEW = EvaluateConfig(items=60, likelihood_items=40, importance_samples=30, prior_samples=40, pairs=8)
SHARES = [
    "exact_reconstruction", "factor_accuracy_reconstruction", "grammatical_samples", "novel", "distinct_samples",
    "distinct_1", "distinct_2", "self_bleu", "vocabulary_coverage", "grammatical_interpolations",
    "monotone_interpolations", "analogy_exact", "factor_accuracy_analogy", "bleu_reconstruction",
]  # fmt: skip


def few(**changes):
    return EvaluateConfig(**(vars(FEW) | changes))


def strict(path):
    def refuse(token):
        raise AssertionError(f"{token} is no JSON")

    return json.loads((path / "evaluation.json").read_text(), parse_constant=refuse)


def values(result):
    return {name: figure["value"] for name, figure in result["measures"].items()}


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    """A copy of the run with its evaluation.json, and what `evaluate` returned."""
    path = shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "run")
    return path, evaluate(genera.load(path, device="cpu"), FEW)


def test_what_is_returned_is_what_is_written(evaluated):
    path, result = evaluated
    assert strict(path) == json.loads(json.dumps(result))
    assert (result["method"], result["split"], result["step"], result["items"]) == ("optimus", "test", 100, 60)
    assert result["settings"]["importance_samples"] == 30


def test_figures_are_sane(evaluated):
    figures = evaluated[1]["measures"]
    v = values(evaluated[1])
    assert all(figure["value"] is not None and figure["n"] > 0 for figure in figures.values())
    assert all(definition(name).title for name in figures)
    assert v["elbo"] == pytest.approx(-(v["reconstruction"] + v["kl"]))
    assert v["iw_bound_10"] <= v["iw_bound"] + 1e-6
    assert v["elbo"] <= v["iw_bound_10"] + 3 * figures["elbo"]["error"]
    assert v["iw_bound"] <= -v["nll_floor"] + 1e-6, "nothing beats the entropy of the world"
    assert v["mi"] <= v["mi_ceiling"] == pytest.approx(math.log(60))
    assert 0 <= v["au"] <= v["latent_size"] == 8
    assert v["ppl_word"] > 1
    assert v["ppl_token"] > 1
    assert figures["reconstruction"]["n"] == 40
    assert {name for name in SHARES if not 0 <= v[name] <= (100 if "bleu" in name else 1)} == set()


def test_likelihoods_are_those_of_the_scores(evaluated):
    """40 items are scored at once, so the draws are those of one call."""
    path, result = evaluated
    run, v = genera.load(path, device="cpu"), values(result)
    items = run.method.dataset.open(run.config.data, run.method.assets).items("test", 40)
    score = run.score(items, samples=30, seed=0)
    nats = math.log(30) - score.log_weights.logsumexp(0)
    assert v["iw_bound"] == pytest.approx(-nats.mean().item())
    few = score.log_weights[:10].logsumexp(0) - math.log(10)
    assert v["iw_bound_10"] == pytest.approx(few.mean().item())
    assert v["reconstruction"] == pytest.approx(-score.log_likelihood.mean().item())
    words = sum(len(item.split()) + 1 for item in items)
    assert v["ppl_word"] == pytest.approx(math.exp(nats.sum().item() / words))
    tokens = sum(len(ids) - 1 for ids in run.method.assets.decoder.encode_batch(items))
    assert v["ppl_token"] == pytest.approx(math.exp(nats.sum().item() / tokens))


def test_everything_a_report_shows_is_there(evaluated):
    result = evaluated[1]
    assert set(result["examples"]) == {"samples", "reconstructions", "interpolations", "analogies"}
    assert len(result["examples"]["interpolations"][0]["path"]) == 11
    assert len(result["kl_per_dimension"]) == len(result["variance_per_dimension"]) == 8
    assert sum(result["kl_per_dimension"]) == pytest.approx(values(result)["kl"], rel=0.2)  # 60 against 40 items
    assert len(result["latent_map"]["points"]) == len(result["latent_map"]["texts"]) == 60
    assert set(worlds.load("captions-small").factors) <= set(result["latent_map"]["labels"])
    assert set(result["factors"]["subject"]) == {"reconstruction", "chance", "analogy", "analogy_chance"}
    assert result["diagnosis"]


def test_texts_are_as_long_as_those_of_the_training_may_be(copied):
    run = copied()
    torch.manual_seed(0)
    with torch.no_grad():  # a model that has not learned to end
        for parameter in run.method.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    result = evaluate(run, few(measures=("samples",)))
    longest = run.config.data.max_tokens
    assert longest > 64
    assert result["examples"]["samples"] == run.sample(40, max_tokens=longest)[:24]
    assert result["examples"]["samples"] != run.sample(40, max_tokens=64)[:24]


def test_some_measures_alone(copied):
    result = evaluate(copied(), few(measures=("latent",)))
    assert {"kl", "au", "mi"} <= set(result["measures"])
    assert not {"elbo", "exact_reconstruction", "self_bleu"} & set(result["measures"])
    with pytest.raises(GeneraError, match="unknown measure 'latnet'; did you mean latent"):
        evaluate(copied(), few(measures=("latnet",)))


@pytest.mark.parametrize("field", ["importance_samples", "items", "likelihood_items", "prior_samples", "pairs"])
def test_zero_of_anything_is_refused(run, field):
    with pytest.raises(GeneraError, match=f"--{field.replace('_', '-')} must be at least 1, got 0"):
        evaluate(run, few(**{field: 0}))


def test_figures_do_not_depend_on_how_items_are_batched(evaluated, copied, monkeypatch):
    """Exactly, but for those that draw noise: these within their errors."""
    monkeypatch.setattr(text_evaluation, "SCORED_AT_ONCE", 7)
    monkeypatch.setattr(optimus, "ROWS_AT_ONCE", 11)
    other, whole = evaluate(copied(), FEW)["measures"], evaluated[1]["measures"]
    drawn = {"reconstruction", "elbo", "iw_bound", "iw_bound_10", "ppl_word", "ppl_token"}
    assert other.keys() == whole.keys()
    for name, figure in whole.items():
        tolerance = 3 * figure["error"] if name in drawn else 1e-3 * abs(figure["value"])
        assert other[name]["value"] == pytest.approx(figure["value"], abs=tolerance), name


def test_a_model_that_overflows_still_gives_json(copied):
    run = copied()
    with torch.no_grad():
        run.method.network.to_posterior.weight.mul_(1e22)
    result = evaluate(run, few(measures=("likelihood", "latent")))
    assert result["measures"]["kl"]["value"] is None
    assert strict(run.folder.path)["measures"]["elbo"]["value"] is None


def test_the_language_model(trained_lm):
    result = evaluate(genera.load(trained_lm, device="cpu"), FEW)
    v = values(result)
    assert v["log_likelihood"] <= -v["nll_floor"] + 1e-6
    assert v["ppl_token"] > 1
    assert not {"kl", "elbo", "iw_bound", "mi", "au", "exact_reconstruction"} & set(v)
    with pytest.raises(GeneraError, match="gpt2-lm on world:captions-small cannot be measured by 'latent'"):
        evaluate(genera.load(trained_lm, device="cpu"), few(measures=("latent",)))


# other data


def write(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def sentences():
    return worlds.load("captions-small").sentences(40, seed=9, split="test")


def test_data_without_a_world(copied, sentences, tmp_path):
    write(tmp_path / "my.train.txt", sentences[:5])
    write(tmp_path / "my.test.txt", sentences)
    result = evaluate(copied(), few(data=f"text:{tmp_path}/my.*.txt"))
    assert result["items"] == 40
    assert {"elbo", "mi", "exact_reconstruction", "self_bleu", "monotone_interpolations"} <= set(result["measures"])
    without = {"nll_floor", "factor_accuracy_reconstruction", "grammatical_samples", "analogy_exact"}
    assert not without & set(result["measures"])
    assert result["examples"]["analogies"][0]["expected"] is None
    assert set(result["latent_map"]["labels"]) == {"words"}


def test_data_with_labels(copied, sentences, tmp_path):
    rows = [f"{text}\t{'even' if i % 2 == 0 else 'odd'}" for i, text in enumerate(sentences)]
    write(tmp_path / "train.tsv", rows[:4])
    write(tmp_path / "test.tsv", rows)
    result = evaluate(copied(), few(data=f"tsv:{tmp_path}/*.tsv", label_column="1", measures=("latent",)))
    assert result["latent_map"]["labels"]["label"] == ["even", "odd"] * 20


def test_a_run_on_labelled_data_can_be_measured_on_plain_text(sentences, tmp_path):
    rows = [f"{i % 2}\t{text}" for i, text in enumerate(sentences)]
    for split in ("train", "valid", "test"):
        write(tmp_path / f"{split}.tsv", rows)
    config = genera.configure(
        "optimus:nano", data=f"tsv:{tmp_path}/*.tsv", text_column="1", label_column="0", vocabulary=300, steps=2,
        batch_size=8, device="cpu",
    )  # fmt: skip
    run = genera.load(genera.train(config, tmp_path / "run").path, device="cpu")
    assert evaluate(run, few(measures=("latent",)))["latent_map"]["labels"]["label"] == ["0", "1"] * 20
    plain = write(tmp_path / "plain.txt", sentences)
    result = evaluate(run, few(data=f"text:{plain}", split="train", measures=("latent",)))
    assert set(result["latent_map"]["labels"]) == {"words"}


def test_columns_belong_to_the_data_given(run):
    with pytest.raises(GeneraError, match="--text-column and --label-column are those of --data"):
        evaluate(run, few(label_column="1"))


def test_a_split_without_items(copied, sentences, tmp_path):
    file = write(tmp_path / "my.txt", sentences[:3])
    with pytest.raises(GeneraError, match="has no test items; give another --split or --data"):
        evaluate(copied(), few(data=f"text:{file}"))
    assert evaluate(copied(), few(data=f"text:{file}", split="train", measures=("latent",)))["items"] == 3


def test_data_that_is_gone_names_the_way_out(copied, tmp_path):
    with pytest.raises(GeneraError, match=r"nowhere.txt.* give --data SOURCE"):
        evaluate(copied(), few(data=f"text:{tmp_path}/nowhere.txt"))
