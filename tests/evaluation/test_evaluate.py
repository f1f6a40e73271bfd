"""Evaluation of a short training of sentences: what is measured, within which bounds, and what is written."""

import json
import math
import shutil

import pytest
import torch

import genera
from genera import worlds
from genera.errors import GeneraError
from genera.evaluation import likelihood
from genera.evaluation.evaluate import evaluate
from genera.evaluation.registry import definition
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.storage import FOLDER
from genera.methods.optimus import method as optimus

FEW = {
    "likelihood": {"items": 40, "samples": 30},
    "latent": {"items": 60},
    "reconstruction": {"items": 60},
    "samples": {"count": 40, "items": 60},
    "interpolation": {"pairs": 8},
    "analogy": {"count": 80},
}
SHARES = [
    "exact_reconstruction", "factor_accuracy_reconstruction", "grammatical_samples", "novel", "distinct_samples",
    "distinct_1", "distinct_2", "self_bleu", "vocabulary_coverage", "grammatical_interpolations",
    "monotone_interpolations", "analogy_exact", "factor_accuracy_analogy", "bleu_reconstruction",
]  # fmt: skip


def measured(run, *names, **config):
    """`run` measured on few items by the evaluators `names`, or by all."""
    options = {name: FEW[name] for name in names or FEW}
    return evaluate(run, EvaluateConfig(measures=names, **config), **options)


def strict(path):
    """What the newest file of RUN/evaluations holds."""

    def refuse(token):
        raise AssertionError(f"{token} is no JSON")

    newest = max((path / FOLDER).glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    return json.loads(newest.read_text(), parse_constant=refuse)


def blocks(stored, section, kind=None):
    return [b for b in stored.blocks if b["section"] == section and kind in (None, b["kind"])]


def latent_map(stored):
    (scatter,) = blocks(stored, "Latent space", "scatter")
    return scatter


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    """A copy of the run that was measured, and what `evaluate` returned."""
    path = shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "run")
    return path, measured(genera.load(path, device="cpu"))


def test_what_is_returned_is_what_is_written(evaluated):
    path, stored = evaluated
    written = strict(path)
    assert written == json.loads(json.dumps({k: v for k, v in vars(stored).items() if k != "name"}))
    assert (stored.method, stored.split, stored.step) == ("optimus", "test", 100)
    assert stored.settings["likelihood"] == {"items": 40, "samples": 30}
    assert written["results"]["latent"]["options"] == {"items": 60}
    assert [one["temperature"] for one in written["results"]["samples"]["facts"]["decoding"]] == [0]  # greedy


def test_figures_are_sane(evaluated):
    figures, v = {figure.key: figure for figure in evaluated[1].figures}, evaluated[1].values
    assert all(figure.value is not None and figure.n > 0 for figure in figures.values())
    assert all(definition(figure.measure).title for figure in figures.values())
    assert v["elbo"] == pytest.approx(-(v["reconstruction"] + v["kl"]))
    assert v["iw_bound/K=10"] <= v["iw_bound"] + 1e-6
    assert v["elbo"] <= v["iw_bound/K=10"] + 3 * figures["elbo"].error
    assert v["iw_bound"] <= v["log_likelihood_of_world"] + 1e-6, "nothing beats the entropy of the world"
    assert v["mi"] <= v["mi_ceiling"] == pytest.approx(math.log(60))
    assert 0 <= v["au"] <= v["latent_size"] == 8
    assert v["ppl_word"] > 1
    assert v["ppl_token"] > 1
    assert figures["reconstruction"].n == figures["kl"].n == 40
    assert {name for name in SHARES if not 0 <= v[name] <= (100 if "bleu" in name else 1)} == set()


def test_likelihoods_are_those_of_the_scores(evaluated):
    """40 items are scored at once, so the draws are those of one call."""
    path, stored = evaluated
    run, v = genera.load(path, device="cpu"), stored.values
    items = run.method.dataset.open(run.config.data, run.method.assets).items("test", 40)
    score = run.score(items, samples=30, seed=0)
    nats = math.log(30) - score.log_weights.logsumexp(0)
    assert v["iw_bound"] == pytest.approx(-nats.mean().item())
    few = score.log_weights[:10].logsumexp(0) - math.log(10)
    assert v["iw_bound/K=10"] == pytest.approx(few.mean().item())
    assert v["reconstruction"] == pytest.approx(-score.log_likelihood.mean().item())
    words = sum(len(item.split()) + 1 for item in items)
    assert v["ppl_word"] == pytest.approx(math.exp(nats.sum().item() / words))
    tokens = sum(len(ids) - 1 for ids in run.method.assets.decoder.encode_batch(items))
    assert v["ppl_token"] == pytest.approx(math.exp(nats.sum().item() / tokens))
    assert v["ppl_token_bos_eos"] == pytest.approx(math.exp(nats.sum().item() / (tokens + len(items))))


def test_everything_a_report_shows_is_there(evaluated):
    stored = evaluated[1]
    assert {"Latent space", "Reconstructions", "Samples from the prior", "Interpolations", "Analogies", "Factors"} == {
        block["section"] for block in stored.blocks
    }
    assert len(blocks(stored, "Interpolations")[0]["cards"][0]) == 11
    kl, variance = (block["values"] for block in blocks(stored, "Latent space", "bars"))
    assert len(kl) == len(variance) == 8
    assert sum(kl) == pytest.approx(stored.values["kl"], rel=0.2)  # 60 against 40 items
    assert len(latent_map(stored)["points"]) == len(latent_map(stored)["texts"]) == 60
    assert set(worlds.load("captions-small").factors) <= set(latent_map(stored)["labels"])
    kept, moved = (block["values"] for block in blocks(stored, "Factors"))
    assert set(kept["subject"]) == set(moved["subject"]) == {"right", "chance"}
    roles = [line["role"].split(" ")[0] for line in blocks(stored, "Analogies")[0]["cards"][0]]
    assert roles[:4] == ["A", "B", "C", "output"]
    assert stored.diagnosis


def test_texts_are_as_long_as_those_of_the_training_may_be(copied):
    run = copied()
    torch.manual_seed(0)
    with torch.no_grad():  # a model that has not learned to end
        for parameter in run.method.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    (shown,) = blocks(measured(run, "samples"), "Samples from the prior")
    longest = run.config.data.max_tokens
    assert longest > 64
    texts = [line["text"] for card in shown["cards"] for line in card]
    assert texts == run.sample(40, max_tokens=longest)[:24]
    assert texts != run.sample(40, max_tokens=64)[:24]


def test_some_measures_alone(copied):
    figures = measured(copied(), "latent").values
    assert {"kl", "au", "mi"} <= set(figures)
    assert not {"elbo", "exact_reconstruction", "self_bleu"} & set(figures)
    with pytest.raises(GeneraError, match="unknown evaluator 'latnet'; did you mean latent"):
        evaluate(copied(), EvaluateConfig(measures=("latnet",)))


def test_the_kl_is_that_of_the_bound_whichever_was_measured_first(copied, evaluated):
    run = copied()
    alone = measured(run, "latent").values["kl"]
    settings = {"latent": FEW["latent"]}  # of the same file
    both = evaluate(run, EvaluateConfig(measures=("likelihood", "latent")), **settings, likelihood=FEW["likelihood"])
    assert both.values["kl"] == evaluated[1].values["kl"] != alone


@pytest.mark.parametrize(
    ("name", "field"),
    [("likelihood", "samples"), ("likelihood", "items"), ("latent", "items"), ("samples", "count"),
     ("interpolation", "pairs"), ("analogy", "count")],
)  # fmt: skip
def test_zero_of_anything_is_refused(run, name, field):
    with pytest.raises(GeneraError, match=f"--{name}.{field} must be at least 1, got 0"):
        evaluate(run, **{name: {field: 0}})


def test_figures_do_not_depend_on_how_items_are_batched(evaluated, copied, monkeypatch):
    """Exactly, but for those that draw noise: these within their errors."""
    monkeypatch.setattr(likelihood, "SCORED_AT_ONCE", 7)
    monkeypatch.setattr(optimus, "ROWS_AT_ONCE", 11)
    other, whole = ({f.key: f for f in stored.figures} for stored in (measured(copied()), evaluated[1]))
    drawn = {"reconstruction", "elbo", "iw_bound", "iw_bound/K=10", "ppl_word", "ppl_token", "ppl_token_bos_eos"}
    drawn |= {"ppl_word_untrained", "bits_per_byte"}
    assert other.keys() == whole.keys()
    for key, figure in whole.items():
        tolerance = 3 * figure.error if key in drawn else 1e-3 * abs(figure.value)
        assert other[key].value == pytest.approx(figure.value, abs=tolerance), key


def test_a_model_that_overflows_still_gives_json(copied):
    run = copied()
    with torch.no_grad():
        run.method.network.to_posterior.weight.mul_(1e22)
    figures = {figure.key: figure.value for figure in measured(run, "likelihood", "latent").figures}
    assert figures["kl"] is None
    kept = strict(run.folder.path)["results"]["likelihood"]["figures"]
    assert next(figure["value"] for figure in kept if figure["measure"] == "elbo") is None


def test_the_language_model(trained_lm):
    run = genera.load(trained_lm, device="cpu")
    stored = measured(run, "likelihood", "samples")
    v = stored.values
    assert [one["temperature"] for one in stored.results["samples"]["facts"]["decoding"]] == [1]
    assert "decoding" not in stored.results["likelihood"]["facts"]
    assert v["log_likelihood"] <= v["log_likelihood_of_world"] + 1e-6
    assert v["ppl_token"] > 1
    everything = evaluate(run, likelihood=FEW["likelihood"], samples=FEW["samples"]).values
    assert not {"kl", "elbo", "iw_bound", "mi", "au", "exact_reconstruction"} & set(everything)
    with pytest.raises(GeneraError, match=r"gpt2-lm .* cannot be measured by 'latent', which needs Encodes"):
        evaluate(run, EvaluateConfig(measures=("latent",)))


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
    stored = measured(copied(), data=f"text:{tmp_path}/my.*.txt", split="test")
    assert next(figure.n for figure in stored.figures if figure.measure == "exact_reconstruction") == 40
    assert {"elbo", "mi", "exact_reconstruction", "self_bleu", "monotone_interpolations"} <= set(stored.values)
    without = {"log_likelihood_of_world", "factor_accuracy_reconstruction", "grammatical_samples", "analogy_exact"}
    assert not without & set(stored.values)
    card = blocks(stored, "Analogies")[0]["cards"][0]
    assert [line["role"] for line in card] == ["A", "B", "C", "output"]
    assert card[3]["right"] is None
    assert set(latent_map(stored)["labels"]) == {"words"}


def test_data_with_labels(copied, sentences, tmp_path):
    rows = [f"{text}\t{'even' if i % 2 == 0 else 'odd'}" for i, text in enumerate(sentences)]
    write(tmp_path / "train.tsv", rows[:4])
    write(tmp_path / "test.tsv", rows)
    stored = measured(copied(), "latent", data=f"tsv:{tmp_path}/*.tsv", label_column="1", split="test")
    assert latent_map(stored)["labels"]["label"] == ["even", "odd"] * 20


def test_a_run_on_labelled_data_can_be_measured_on_plain_text(sentences, tmp_path):
    rows = [f"{i % 2}\t{text}" for i, text in enumerate(sentences)]
    for split in ("train", "valid", "test"):
        write(tmp_path / f"{split}.tsv", rows)
    config = genera.configure(
        "optimus:nano", data=f"tsv:{tmp_path}/*.tsv", text_column="1", label_column="0", vocabulary=300, steps=2,
        batch_size=8, device="cpu",
    )  # fmt: skip
    run = genera.load(genera.train(config, tmp_path / "run").path, device="cpu")
    assert latent_map(measured(run, "latent"))["labels"]["label"] == ["0", "1"] * 20
    plain = write(tmp_path / "plain.txt", sentences)
    stored = measured(run, "latent", data=f"text:{plain}")
    assert stored.split == "all"
    assert set(latent_map(stored)["labels"]) == {"words"}


def test_columns_belong_to_the_data_given(run):
    with pytest.raises(GeneraError, match="--text-column and --label-column need --data"):
        evaluate(run, EvaluateConfig(label_column="1"))


def test_data_that_is_gone_names_the_way_out(copied, tmp_path):
    with pytest.raises(GeneraError, match=r"nowhere.txt.* give --data SOURCE"):
        measured(copied(), "latent", data=f"text:{tmp_path}/nowhere.txt")


def test_a_whole_file_is_measured_by_all_evaluators_of_texts(copied, sentences, tmp_path):
    plain = write(tmp_path / "plain.txt", sentences)
    stored = evaluate(copied(), EvaluateConfig(data=f"text:{plain}"), **FEW)
    assert stored.split == "all"
    assert set(stored.results) == {"likelihood", "latent", "reconstruction", "samples", "interpolation", "analogy"}
    assert "novel" not in stored.values  # there is no training set to be new to
    assert stored.values.n("exact_reconstruction") == len(sentences)
