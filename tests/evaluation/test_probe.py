"""Probes: the features are the encoder's, the curves are honest, and what cannot be probed is said."""

import json

import numpy as np
import pytest
import torch

import genera
from genera.data.text.pairs import PAIR
from genera.engine.registry import configure
from genera.errors import GeneraError
from genera.evaluation.probe import findings
from genera.files import read_json
from genera.uses.fine_tuning import FineTuned, read
from genera.uses.settings import ProbeConfig
from genera.worlds import load

QUICK = {"factor": "number", "items": 400, "test_items": 120, "shots": (1, 20), "draws": 3, "map_items": 20}
WORLD = load("captions-small")


def test_features_are_what_the_posterior_is_linear_in(run):
    texts = WORLD.sentences(5, seed=3, split="test")
    with torch.no_grad():
        h = run.method.features(texts)
        mean, _ = run.method.network.to_posterior(h).chunk(2, dim=1)
    assert h.shape == (5, 64)
    assert torch.allclose(mean, run.encode(texts).mean)


@pytest.fixture(scope="module")
def probed(trained, tmp_path_factory):
    import shutil

    folder = shutil.copytree(trained, tmp_path_factory.mktemp("probed") / "run")
    settings = QUICK | {"tune_draws": 2, "tune_steps": 20, "tune_lr": 1e-3, "against": (str(trained),)}
    return folder, genera.load(folder, device="cpu").probe(**settings)


def test_the_curves(probed):
    folder, result = probed
    assert read_json(folder / "probe.json") == json.loads(json.dumps(result))
    names = {"features", "features, untrained", "features, optimus", "fine-tuned", "fine-tuned, untrained", "TF-IDF"}
    assert set(result["curves"]) == names
    for name, points in result["curves"].items():
        assert [point["shots"] for point in points] == [1, 20]
        for point in points:
            assert len(point["draws"]) == (2 if name.startswith("fine-tuned") else 3)
            assert point["accuracy"] == pytest.approx(np.mean(point["draws"]))
            assert point["sd"] == pytest.approx(np.std(point["draws"], ddof=1))
            assert -1 <= point["matthews"] <= 1
    best = {name: points[1]["accuracy"] for name, points in result["curves"].items()}
    assert best["TF-IDF"] > result["chance"] + 0.1  # "is" and "are" tell the number
    assert best["features"] > result["chance"] + 0.1
    assert best["fine-tuned"] > result["chance"] + 0.1
    assert result["curves"]["features"] == result["curves"]["features, optimus"]  # the same weights, the same draws
    assert "no significant difference at 1, 20" in next(f for f in result["findings"] if "features, optimus" in f)


def scatter(result):
    (found,) = [block for block in result["blocks"] if block["kind"] == "scatter"]
    return found


def test_the_map_has_every_item_with_its_label(probed):
    _, result = probed
    placed = scatter(result)
    assert len(placed["points"]) == len(placed["texts"]) == 20
    assert [WORLD.factors_of(text)["number"] for text in placed["texts"]] == placed["labels"]["label"]


def test_a_probe_is_a_function_of_its_seed_and_leaves_the_run_alone(copied):
    run = copied()
    before = {name: tensor.clone() for name, tensor in run.method.state_dict().items()}
    settings = QUICK | {"tuned": False}
    first, again = run.probe(**settings), run.probe(**settings)
    assert first["curves"] == again["curves"] != run.probe(**settings, seed=1)["curves"]
    assert all(torch.equal(before[name], tensor) for name, tensor in run.method.state_dict().items())


def test_fine_tuning_learns_what_it_is_shown_and_gives_the_model_back_unchanged(run):
    texts = WORLD.sentences(60, seed=9)
    classes = np.array([WORLD.factors_of(text)["number"] == "plural" for text in texts], np.int64)
    before = [p.clone() for p in run.method.parameters()]
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    tuner = FineTuned(run.method, 2, ProbeConfig(tune_steps=60, tune_dropout=0.0), lr=1e-3)
    answers = tuner.fit(texts, classes, seed=0).predict(texts)
    assert (answers == classes).mean() > 0.95
    assert (tuner.fit(texts, 1 - classes, seed=0).predict(texts) == classes).mean() < 0.05  # it begins anew
    assert all(torch.equal(old, new) for old, new in zip(before, run.method.parameters(), strict=True))
    assert not any(p.grad is not None for p in run.method.parameters())
    assert torch.equal(torch.rand(2), expected)


def points(*accuracies):
    return [
        {"shots": n, "draws": [a - 0.01, a, a + 0.01]} for n, a in zip((1, 10, 100), accuracies, strict=True)
    ]  # fmt: skip


def test_findings_say_who_wins_where():
    curves = {"features": points(0.8, 0.7, 0.7), "TF-IDF": points(0.6, 0.7, 0.9)}
    (found,) = findings(curves)
    assert found == (
        "features against TF-IDF: features wins at 1 by 20.0 points; TF-IDF wins at 100 by 20.0 points; "
        "no significant difference at 10 (shots per class)."
    )


def test_a_lead_that_two_draws_cannot_show_is_no_win():
    def curve(*draws):
        return [{"shots": 5, "draws": list(draws)}]

    (found,) = findings({"features": curve(0.70, 0.74), "TF-IDF": curve(0.68, 0.69)})
    assert found == "features against TF-IDF: no significant difference at 5 (shots per class)."
    (found,) = findings({"features": curve(*[0.70, 0.74] * 5), "TF-IDF": curve(*[0.68, 0.69] * 5)})
    assert "features wins at 5 by 3.5 points" in found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"factor": "number", "shots": (5, 99999)}, "99999 shots per class .* give at most"),
        ({"factor": "number", "shots": (0, 5)}, r"--shots must be at least 1 each, got \[0, 5\]"),
        ({"factor": "number", "draws": 1}, "--draws must be at least 2"),
        ({"factor": "number", "items": 0}, "--items must be at least 1, got 0"),
        ({"factor": "number", "tune_dropout": 1.0}, "--tune-dropout must lie in"),
        ({"factor": "number", "against": ("nowhere",)}, "nowhere is not a run folder"),
        ({"factor": "number", "against": ("a/run", "b/run")}, "told apart by their folders' names"),
        ({"label_column": "1"}, "need --data"),
        ({"factr": "number"}, "did you mean factor"),
        ({}, "has no labels; name them"),
    ],
)
def test_what_cannot_be_probed(run, settings, message):
    with pytest.raises(GeneraError, match=message):
        run.probe(**settings)


def test_a_method_without_an_encoder_says_who_has_one(tmp_path):
    sizes = {"image_size": 8, "max_width": 4, "latent_size": 8, "mapping_layers": 2}
    config = configure("stylegan2:nano", limit=8, steps=1, batch_size=4, device="cpu", **sizes)
    run = genera.load(genera.train(config, tmp_path / "run").path, device="cpu")
    with pytest.raises(GeneraError, match=r"stylegan2 cannot encode items into features; methods that can: .*optimus"):
        run.probe(factor="shape")


def test_a_language_model_is_a_rival(copied, trained_lm):
    result = copied().probe(**QUICK | {"tuned": False, "against": (str(trained_lm),)})
    points = result["curves"]["features, lm"]
    assert points[1]["accuracy"] > result["chance"] + 0.1


@pytest.fixture
def pairs(tmp_path):
    """Label 1 where the second sentence is the first in the other number."""
    random = np.random.default_rng(0)
    texts, rows = WORLD.sentences(500, seed=4), []
    for i, text in enumerate(texts):
        facts = WORLD.factors_of(text)
        facts["number"] = "plural" if facts["number"] == "singular" else "singular"
        label = int(random.integers(2))
        rows.append(f"{label}\t{text}\t{WORLD.render(facts) if label else texts[i - 1]}\n")
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(rows), encoding="utf-8")
    return {"data": f"tsv:{path}", "text_column": "1,2", "label_column": "0", "items": 400, "test_items": 100}


def test_pairs_are_read_jointly_or_apart(copied, pairs):
    settings = pairs | {"shots": (100,), "draws": 2, "tune_draws": 2, "tune_steps": 10, "map_items": 10}
    run, found = copied(), {}
    for how in ("joint", "apart"):
        result = run.probe(**settings, pairs=how)
        found[how] = {name: points[0] for name, points in result["curves"].items()}
        assert all(" | " in text for text in scatter(result)["texts"])
        assert all(0 <= point["f1"] <= 1 for point in found[how].values())
    assert found["apart"]["features"]["accuracy"] > 0.9  # |u - v| is small for a paraphrase
    assert found["joint"]["features"]["draws"] != found["apart"]["features"]["draws"]
    assert found["joint"]["TF-IDF"]["accuracy"] > 0.9  # of the words, most are shared
    assert found["joint"]["TF-IDF"] == found["apart"]["TF-IDF"]


def test_a_pair_read_apart_is_four_vectors(run):
    a, b = WORLD.sentences(2, seed=3)
    with torch.no_grad():
        u, v = run.method.features([a, b])
        h = read(run.method, [a + PAIR + b], True)[0]
        joint = read(run.method, [a + PAIR + b], False)[0]
    assert torch.allclose(h, torch.cat([u, v, (u - v).abs(), u * v]), atol=1e-5)
    assert joint.shape == u.shape
    assert torch.equal(joint, run.method.features([a + PAIR + b])[0])
