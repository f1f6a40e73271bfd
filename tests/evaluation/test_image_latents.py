"""The evaluators of latents, likelihood and reconstruction on images, of a small VAE that was trained for seconds."""

import math
import shutil

import pytest
import torch
from PIL import Image

import genera
from genera.data.images.store import to_float
from genera.evaluation.evaluate import evaluate
from genera.evaluation.item_types import ITEM_TYPES
from genera.evaluation.settings import EvaluateConfig
from genera.measures.reconstruction import psnr, squared_error
from genera.report.card import model_card
from genera.report.page import write_report
from genera.uses.facts import facts_of
from genera.worlds import load
from small_methods import train_image_vae

LATENT = ("likelihood", "latent", "reconstruction", "interpolation", "analogy")
FEW = {
    "likelihood": {"items": 60, "samples": 12},
    "latent": {"items": 200},
    "reconstruction": {"items": 200},
    "interpolation": {"pairs": 6},
}


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    """Its run folder; not to be changed."""
    return train_image_vae(tmp_path_factory.mktemp("vae") / "run")


@pytest.fixture(scope="module")
def measured(vae, tmp_path_factory):
    path = shutil.copytree(vae, tmp_path_factory.mktemp("measured") / "run")
    return path, evaluate(genera.load(path, device="cpu"), measures=LATENT, **FEW)


def test_an_image_vae_has_the_figures_of_a_latent_model(measured):
    figures, v = {figure.key: figure for figure in measured[1].figures}, measured[1].values
    assert all(figure.value is not None and figure.n > 0 for figure in figures.values())
    assert v["elbo"] == pytest.approx(-(v["reconstruction"] + v["kl"]))
    assert v["elbo"] <= v["iw_bound"] + 3 * figures["elbo"].error
    assert v["iw_bound/K=10"] <= v["iw_bound"] + 1e-6
    assert v["bits_per_dimension"] == pytest.approx(-v["iw_bound"] / (3 * 8 * 8 * math.log(2)))
    assert v["mi"] <= v["mi_ceiling"] == pytest.approx(math.log(200))
    assert 1 <= v["au"] <= v["latent_size"] == 6
    assert v["mse_reconstruction"] < 0.5 * v["mse_of_mean_image"]
    assert v["likelihood_lost_on_swap"] > 5
    assert v["monotone_interpolations"] > 0.9
    assert {"factor_accuracy_reconstruction", "valid_interpolations"} <= set(v)
    assert not {
        "ppl_word",
        "exact_reconstruction",
        "bleu_reconstruction",
        "log_likelihood_of_world",
        "analogy_exact",
    } & set(v)
    (judged,) = [finding for finding in measured[1].diagnosis if finding["use"] == "reconstructions"]
    assert judged["finding"].startswith("Reconstructions are poor: details kept")  # of blurred shapes
    assert judged["evidence"].keys() >= {"mse_reconstruction", "mse_of_mean_image", "mse_untrained", "details_of_blur"}


def test_reconstruction_errors_are_those_of_the_run(measured):
    path, stored = measured
    run = genera.load(path, device="cpu")
    items = run.method.dataset.open(run.config.data, run.method.assets).items("test", 200)
    errors = squared_error(torch.stack(run.reconstruct(items)), torch.stack(items))
    assert stored.values["mse_reconstruction"] == pytest.approx(errors.mean().item(), rel=1e-4)
    assert stored.values["psnr_reconstruction"] == pytest.approx(psnr(errors).mean().item(), rel=1e-4)


def test_a_model_without_weights_to_speak_of_looks_untrained(vae, measured, tmp_path):
    run = genera.load(shutil.copytree(vae, tmp_path / "run"), device="cpu")
    with torch.no_grad():
        for parameter in run.method.parameters():
            parameter.mul_(0.01)
    v, trained = evaluate(run, measures=LATENT, **FEW).values, measured[1].values
    assert v["bits_per_dimension"] > trained["bits_per_dimension"] + 0.1
    assert v["likelihood_lost_on_swap"] < 0.5
    assert v["mse_reconstruction"] > 0.9 * v["mse_of_mean_image"]
    assert v["au"] == 0


def test_examples_are_pictures_and_the_report_shows_them(measured):
    path, stored = measured
    pictures = {block["section"]: path / block["file"] for block in stored.blocks if block["kind"] == "picture"}
    assert set(pictures) == {"Reconstructions", "Interpolations", "Analogies"}
    assert Image.open(pictures["Interpolations"]).size[0] == 11 * 64 + 10 * 2  # one path a row
    (scatter,) = [block for block in stored.blocks if block["kind"] == "scatter"]
    assert set(scatter["labels"]) == {"label", "shape", "colour", "background"}
    assert len(scatter["points"]) == len(scatter["texts"]) == 200
    page = write_report(path).read_text()
    assert all(f"<h2>{section}</h2>" in page for section in (*pictures, "Latent space"))
    assert page.count("data:image/png") >= 3


def test_the_card_speaks_of_images(measured):
    path, stored = measured
    card = model_card(genera.load(path, device="cpu"), "- weights")
    assert "Trained on `world:shapes`: 8x8 RGB images of 6 classes, the first 1,000 of them." in card
    assert f"| {stored.values['elbo']:.4g} ± " in card
    assert "It generates images that resemble its training images" in card
    assert "texts" not in card


def test_another_split_is_another_evaluation_with_pictures_of_its_own(measured):
    path, stored = measured
    run, few = genera.load(path, device="cpu"), {"interpolation": {"pairs": 2}}
    config = EvaluateConfig(measures=("interpolation",), split="valid")
    other = evaluate(run, config, **few)
    assert other.name != stored.name
    files = [next(b["file"] for b in one.blocks if b["section"] == "Interpolations") for one in (other, stored)]
    assert len(set(files)) == 2
    assert all((path / file).exists() for file in files)


def test_the_likelihood_of_the_small_vae_sums_to_one(vae):
    """Over the 256 values of one pixel: p(x|z) is proportional to its distribution where all others are fixed."""
    method = genera.load(vae, device="cpu").method
    images = torch.zeros(256, 3, 8, 8)
    images[:, 1, 2, 3] = to_float(torch.arange(256, dtype=torch.uint8).numpy())
    z = torch.randn(1, method.latent_size, generator=torch.Generator().manual_seed(0)).expand(256, -1)
    with torch.no_grad():
        log_p = method.score_given(list(images), z)
        centre, scale = method.network["decoder"](z[:1])[0, 1, 2, 3], method.network["scale"]["log"].exp()
        of_lowest = ((-1 + 1 / 255 - centre) / scale).double().sigmoid().log()
    assert (log_p - log_p[0] + of_lowest).exp().sum().item() == pytest.approx(1, abs=1e-3)


def test_squared_error_and_psnr_are_of_values_from_0_to_1():
    black, white, grey = -torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    assert squared_error(black, white).item() == 1
    assert psnr(squared_error(black, white)).item() == pytest.approx(0, abs=1e-6)
    assert psnr(squared_error(grey, white)).item() == pytest.approx(10 * math.log10(4))
    assert psnr(squared_error(white, white)).item() == pytest.approx(100)


def test_a_world_tells_the_factors_of_sentences_and_of_images():
    captions, shapes = load("captions-small"), load("shapes")
    sentence = captions.sentences(1, seed=0, split="test")[0]
    assert facts_of([sentence, "no sentence"], captions) == [captions.factors_of(sentence), None]
    factors = shapes.draw(5, split="test")
    images = list(to_float(shapes.render(factors, 32)))
    told = facts_of([*images, torch.zeros(3, 32, 32)], shapes)
    assert told[-1] is None
    assert [fact["shape"] for fact in told[:5]] == [shapes.factors["shape"][i] for i in factors.shape]
    assert facts_of(images, None) is None
    assert facts_of([image[:1] for image in images], shapes) is None


def test_progress_of_images_goes_from_the_start_to_the_end():
    start, end = -torch.ones(3, 4, 4), torch.ones(3, 4, 4)
    path = [start + t * (end - start) for t in (0.0, 0.25, 0.5, 1.0)]
    assert ITEM_TYPES["images"].progress(path, start, end) == pytest.approx([-2, -1, 0, 2])
