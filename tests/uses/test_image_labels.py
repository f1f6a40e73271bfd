"""Probes and guides of images: labelled items of any type, of a small VAE that was trained for seconds."""

import json
import shutil

import numpy as np
import pytest
import torch

import genera
from genera.errors import GeneraError
from genera.evaluation.label_blocks import label_blocks
from genera.files import read_json
from genera.report.page import write_report
from genera.uses.labelled import read_labelled
from genera.uses.settings import LabelConfig
from small_methods import train_image_vae

FEW = {"items": 300, "test_items": 100}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return genera.load(train_image_vae(tmp_path_factory.mktemp("vae") / "run"), device="cpu")


@pytest.fixture
def copied(run, tmp_path):
    return genera.load(shutil.copytree(run.folder.path, tmp_path / "copy"), device="cpu")


def test_labels_are_classes_or_factors_of_the_world(run):
    by_class = read_labelled(run, LabelConfig(**FEW), seed=0)
    assert by_class.names == tuple(sorted(run.method.assets.classes))
    assert len(by_class.train) == 300
    assert by_class.train[0].shape == (3, 8, 8)
    assert not {item.numpy().tobytes() for item in by_class.train} & {i.numpy().tobytes() for i in by_class.test}
    by_factor = read_labelled(run, LabelConfig(factor="colour", **FEW), seed=0)
    assert set(by_factor.names) == set(by_factor.world.factors["colour"])
    again = read_labelled(run, LabelConfig(factor="colour", **FEW), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(by_factor.train, again.train, strict=True))
    with pytest.raises(GeneraError, match="did you mean colour"):
        read_labelled(run, LabelConfig(factor="color"), seed=0)


def test_a_probe_of_images(copied):
    settings = {
        "factor": "background",
        "shots": (1, 20),
        "draws": 3,
        "tune_draws": 2,
        "tune_steps": 20,
        "tune_lr": 1e-3,
    }
    result = copied.probe(**FEW, **settings, map_items=20)
    assert set(result["curves"]) == {
        "features", "features, untrained", "fine-tuned", "fine-tuned, untrained", "pixels",
    }  # fmt: skip
    best = {name: points[1]["accuracy"] for name, points in result["curves"].items()}
    assert best["pixels"] > result["chance"] + 0.3
    assert best["features"] > result["chance"] + 0.3
    (scatter,) = [block for block in result["blocks"] if block["kind"] == "scatter"]
    assert len(scatter["points"]) == len(scatter["labels"]["label"]) == 20
    assert read_json(copied.folder.path / "probe.json") == json.loads(json.dumps(result))


@pytest.mark.parametrize("method", ["vector", "gan", "cara"])
def test_guided_images_come_from_every_kind_of_guide(copied, method):
    settings = {"vector": {}, "gan": {"gan_steps": 20}, "cara": {"gan_steps": 20, "cara_steps": 5}}[method]
    images = copied.guide("black", 3, factor="background", method=method, **FEW, **settings)
    assert [image.shape for image in images] == [(3, 8, 8)] * 3


def test_a_vector_moves_images_to_a_background(copied):
    def darkness(label):
        return -torch.stack(copied.guide(label, 40, factor="background", **FEW)).mean().item()

    assert darkness("black") > darkness("white") + 0.5


def test_scores_of_a_guide_of_images(copied):
    scores = copied.score_guide(6, factor="background", **FEW)
    measures = scores["measures"]
    assert set(measures) == {"oracle_accuracy", "oracle_own_accuracy", "valid_guided", "true_factor_accuracy"}
    assert measures["oracle_accuracy"]["value"] == pytest.approx(
        np.mean([shares["oracle_accuracy"] for shares in scores["labels"].values()])
    )
    assert measures["oracle_accuracy"]["value"] > 2 * scores["chance"]
    assert (copied.folder.path / scores["picture"]).exists()
    assert label_blocks(copied.folder.path) == json.loads(json.dumps(scores["blocks"]))
    page = write_report(copied.folder.path).read_text()
    assert "<h2>Guided generation</h2>" in page
    assert "background-vector: examples" in page


def test_items_of_another_type_are_refused_in_words(run):
    with pytest.raises(
        GeneraError, match=r"small-image-vae expects images .*tensors 3x8x8 in \[-1, 1\]\), got 'a man'"
    ):
        run.reconstruct(["a man"])
    with pytest.raises(GeneraError, match="got a tensor 3x16x16"):
        run.encode([torch.zeros(3, 16, 16)])
    with pytest.raises(GeneraError, match="got a ndarray"):
        run.score([np.zeros((3, 8, 8))])
    with pytest.raises(GeneraError, match="expected a list of at least one item"):
        run.encode([])
