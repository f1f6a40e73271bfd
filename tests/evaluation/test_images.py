"""Evaluation of image models whose state of health is known, on the shapes world and on labelled files."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from genera import run as runs
from genera.cli import sample
from genera.data.images.config import ImageConfig
from genera.data.images.dataset import ImageAssets, ImageData
from genera.data.images.files import read_image
from genera.data.images.formats import find_images
from genera.data.images.pixels import Form
from genera.data.images.store import to_float, to_uint8
from genera.engine.config import RunConfig, TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.method import Method
from genera.errors import GeneraError
from genera.evaluation.evaluate import evaluate
from genera.evaluation.registry import definition
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.verdict import grades
from genera.files import write_text
from genera.measures import in_domain
from genera.report.page import write_report
from genera.run import Run
from genera.worlds.shapes import SHAPES

DATA = ImageConfig(image_size=32, limit=1500)
FEW = {"images": 300}


@dataclass(frozen=True, kw_only=True)
class NoConfig:
    pass


class Painter(Method):
    """Paints images of the shapes world by itself, in one of several states of health."""

    dataset = ImageData

    def __init__(self, health: str, classes: tuple[str, ...] = SHAPES.classes) -> None:
        super().__init__(NoConfig(), ImageAssets(32, 3, classes))
        self.place = nn.Parameter(torch.zeros(1))
        self.health = health
        if classes:
            self.classes = len(classes)

    def sample(self, count, *, generator=None, classes=None, truncation=1.0):
        seed = 1000 + int(torch.randint(1 << 30, (1,), generator=generator))
        if self.health == "noise":
            return list(2 * torch.rand(count, 3, 32, 32, generator=generator) - 1)
        if self.health == "copies":
            return list(to_float(SHAPES.render(SHAPES.draw(20), 32)[torch.arange(count) % 20]))
        factors = SHAPES.draw(count, seed=seed)
        if classes is not None:
            factors.shape[:] = np.array([self.number(name) for name in classes])[np.arange(count) % len(classes)]
        if self.health == "no red":
            factors.colour[factors.colour == 0] = 1
        if self.health == "deaf":
            factors.shape[:] = SHAPES.draw(count, seed=seed).shape
        return list(to_float(SHAPES.render(factors, 32)))

    def number(self, name):
        return name if isinstance(name, int) else self.assets.classes.index(name)


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_domain, "STEPS", 60)
        yield


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """painted(health) → a run of such a painter, and its evaluation."""
    made = {}

    def paint(health):
        if health not in made:
            run = running(Painter(health), tmp_path_factory.mktemp(health.replace(" ", "-")) / "run")
            made[health] = run, evaluate(run, fidelity=FEW)
        return made[health]

    return paint


def running(method, path, data=DATA):
    config = RunConfig(method="painter", preset="test", data=data, train=TrainConfig(steps=1), model=method.config)
    folder = RunFolder(path)
    path.mkdir(parents=True)
    write_text(folder.config_file, "method: painter\npreset: test\ndata: {data: 'world:shapes'}\n")
    return Run(folder, config, method, step=1)


def values(stored):
    return {figure.key: figure.value for figure in stored.figures}


def findings(stored):
    return " ".join(finding["finding"] for finding in stored.diagnosis)


def blocks(stored, kind):
    """{title: block}"""
    return {block["title"]: block for block in stored.blocks if block["kind"] == kind}


def test_a_healthy_painter(painted):
    run, result = painted("healthy")
    found = values(result)
    assert found["valid_images"] > 0.98
    assert found["class_accuracy"] > 0.98
    assert found["fid"] < 3 * found["fid_of_data"]
    assert found["fid"] < found["fid_held_out"] < values(painted("noise")[1])["fid_held_out"] / 5
    assert found["precision"] > 0.8
    assert found["recall"] > 0.8
    assert found["rarest_value"] > 0.5
    assert found["modes_covered"] > 0.9
    assert abs(found["copies"] - found["copies_of_data"]) < 0.2
    assert grades(result.diagnosis) == {"generated images": "good", "class labels": "good"}
    assert all(definition(name) for name in found)
    shares = blocks(result, "shares")
    assert set(shares) == {"shape", "colour", "background"}
    for block in shares.values():
        assert sum(share["generated"] for share in block["values"].values()) == pytest.approx(1, abs=0.01)
    by_class = blocks(result, "table")["FID by class"]["rows"]
    assert [name for name, _ in by_class] == list(SHAPES.classes)
    assert np.mean([fid for _, fid in by_class]) == pytest.approx(found["fid_within_classes"])
    (file,) = (run.folder.path / "evaluations").glob("*.json")
    assert json.loads(file.read_text())["results"]["fidelity"]["facts"]["features"] == "in-domain classifier"


def test_a_dropped_mode_is_named(painted):
    _, result = painted("no red")
    assert "Mode dropping: 1 of 18 values" in findings(result)
    assert grades(result.diagnosis)["generated images"] == "poor"
    assert "colour red (0% as often as in the data)" in findings(result)
    assert values(result)["rarest_value"] == 0
    assert values(result)["fid"] > values(painted("healthy")[1])["fid"]


def test_noise_is_neither_valid_nor_near(painted):
    found = values(painted("noise")[1])
    assert found["valid_images"] < 0.05
    assert found["class_accuracy"] < 0.05
    assert found["fid"] > 10 * values(painted("healthy")[1])["fid"]
    assert found["recall"] < 0.2
    assert grades(painted("noise")[1].diagnosis) == {"generated images": "poor", "class labels": "poor"}


def test_a_painter_that_ignores_the_class(painted):
    found = values(painted("deaf")[1])
    assert found["valid_images"] > 0.98
    assert found["class_accuracy"] == pytest.approx(found["class_accuracy_ignored"], abs=0.1)
    assert found["class_accuracy_of_data"] == 1
    assert grades(painted("deaf")[1].diagnosis) == {"generated images": "good", "class labels": "poor"}
    assert found["fid_within_classes"] > 1.2 * values(painted("healthy")[1])["fid_within_classes"]


def test_copies_are_called_out_and_shown(painted):
    run, result = painted("copies")
    assert values(result)["copies"] > 0.95
    assert "near copies of training images 100 %" in findings(result)
    assert grades(result.diagnosis)["generated images"] == "poor"
    shown = blocks(result, "picture")["Nearest training images"]
    picture = np.asarray(Image.open(run.folder.path / shown["file"]))
    assert (picture[:64, :64] == picture[:64, 66:130]).all()  # a copy beside the image that it is a copy of


def test_without_labels_classes_are_not_asked_for(tmp_path):
    pixels = SHAPES.render(SHAPES.draw(200), 32).transpose(0, 2, 3, 1)
    np.savez(tmp_path / "a.npz", images=pixels)
    run = running(Painter("healthy", ()), tmp_path / "run", ImageConfig(data=f"npz:{tmp_path}/a.npz"))
    found = values(evaluate(run, fidelity={"images": 60}))
    assert found["fid"] > 0
    assert not {"class_accuracy", "fid_within_classes", "inception_score", "valid_images"} & found.keys()


def test_a_single_class_is_no_label_to_learn_from(tmp_path):
    pixels = SHAPES.render(SHAPES.draw(300), 32).transpose(0, 2, 3, 1)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.zeros(300, np.int64), label_names=np.array(["shape"]))
    run = running(Painter("healthy", ("shape",)), tmp_path / "run", ImageConfig(data=f"npz:{tmp_path}/a.npz"))
    found = values(evaluate(run, fidelity={"images": 60}))
    assert found["fid_within_classes"] > 0
    assert not {"class_accuracy", "inception_score", "rarest_value"} & found.keys()
    assert in_domain.in_domain(ImageData.open(run.config.data)).logits is None  # of quarter turns, which are no class


def test_labelled_files_are_judged_by_the_classifier(tmp_path):
    factors = SHAPES.draw(600)
    pixels = SHAPES.render(factors, 32).transpose(0, 2, 3, 1)
    names = np.array(SHAPES.classes)
    np.savez(tmp_path / "a.npz", images=pixels, labels=factors.shape, label_names=names)
    run = running(Painter("healthy"), tmp_path / "run", ImageConfig(data=f"npz:{tmp_path}/a.npz"))
    result = evaluate(run, measures=("factors", "fidelity"), fidelity={"images": 100})
    assert set(blocks(result, "shares")) == {"class"}
    assert set(blocks(result, "shares")["class"]["values"]) == set(SHAPES.classes)
    assert 1 <= values(result)["inception_score"] <= 6
    assert values(result)["class_accuracy"] > 0.15


def test_the_end_of_training_is_read_from_the_log(tmp_path):
    run = running(Painter("healthy"), tmp_path / "run")
    for step in range(1, 40):
        row = {"discriminator/real": step, "discriminator/fake": -5.0, "quantiser/blocks.1/usage": 0.5}
        run.folder.log({"step": step, **row, "quantiser/blocks.2/usage": 0.01, "quantiser/blocks.2/perplexity": 1.2})
    result = evaluate(run, measures=("training",))
    assert values(result)["discriminator_gap"] == pytest.approx(np.mean(range(20, 40)) + 5)
    assert values(result)["dictionary_usage"] == pytest.approx(0.01)
    assert "The discriminator wins" in findings(result)
    assert "The dictionary has collapsed" in findings(result)


def test_the_report_shows_the_images_and_the_histograms(painted):
    run, _ = painted("no red")
    page = write_report(run.folder.path).read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "How often each value occurs in generated images" in page
    assert "magenta" in page
    (picture,) = (run.folder.path / "evaluations").glob("*/samples.png")
    picture.unlink()
    assert write_report(run.folder.path).read_text().count("data:image/png;base64,") == 2


def test_sampling_writes_a_grid(painted, tmp_path, monkeypatch, capsys):
    run, _ = painted("healthy")
    monkeypatch.setattr(runs, "load", lambda *a, **k: run)
    words = ["run", "--count", "6", "--columns", "3", "--classes", "star", "0", "--out", str(tmp_path / "g.png")]
    sample.main(words)
    assert capsys.readouterr().out.strip() == str(tmp_path / "g.png")
    picture = np.asarray(Image.open(tmp_path / "g.png"))
    assert picture.shape == (130, 196, 3)
    images = [
        picture[r * 66 : r * 66 + 64, c * 66 : c * 66 + 64].transpose(2, 0, 1) for r in range(2) for c in range(3)
    ]
    found, _ = SHAPES.read(np.stack(images))
    assert found.shape.tolist() == [4, 0] * 3
    for wrong, message in (
        (["run"], "give an output: --out"),
        (["run", "--out", "g.jpg"], "must end in .png or be a folder"),
        (["run", "--out", str(tmp_path / "new"), "--columns", "2"], "of a grid"),
        (["run", "--out", "g.png", "--temperature", "0.5", "--top-k", "3"], "--temperature, --top-k are for sentences"),
    ):
        with pytest.raises(GeneraError, match=message):
            sample.main(wrong)


def test_sampling_writes_a_file_each_that_reads_back_as_data(painted, tmp_path, monkeypatch):
    run, _ = painted("healthy")
    monkeypatch.setattr(runs, "load", lambda *a, **k: run)
    sample.main(["run", "--count", "3", "--classes", "star", "--out", str(tmp_path / "drawn")])
    files = find_images(tmp_path / "drawn")
    assert [file.name for file in files] == ["00000.png", "00001.png", "00002.png"]
    found, _ = SHAPES.read(to_uint8(torch.stack([read_image(f, Form(32, 3, "centre")) for f in files])).numpy())
    assert found.shape.tolist() == [4, 4, 4]
    with pytest.raises(GeneraError, match="drawn is not empty"):
        sample.main(["run", "--out", str(tmp_path / "drawn")])


def test_bad_settings_are_named(painted, tmp_path):
    run, _ = painted("healthy")
    with pytest.raises(GeneraError, match=r"--fidelity.images must be at least 1, got 0"):
        evaluate(run, fidelity={"images": 0})
    with pytest.raises(GeneraError, match="cannot be measured by 'likelihood', which needs Scores"):
        evaluate(run, measures=("likelihood",))
    with pytest.raises(GeneraError, match="cannot be measured by 'navigation', which is for navigation"):
        evaluate(run, measures=("navigation",))
    with pytest.raises(GeneraError, match=r"missing\.pt does not exist"):
        evaluate(run, fidelity={"features": "missing.pt"} | FEW)
    with pytest.raises(GeneraError, match="images"):  # the factors are those of the images of fidelity
        evaluate(run, factors={"images": 10})
    untold = running(Painter("healthy"), tmp_path / "run")
    with pytest.raises(GeneraError, match="measured by 'training': needs a training log with terms of a disc"):
        evaluate(untold, measures=("training",))


class Decoder(Painter):
    """An image model that samples by decoding, as an autoencoder does: no discriminator, no classes."""

    latent_size = 4

    def __init__(self) -> None:
        super().__init__("healthy", ())

    def sample(self, count, *, generator=None):
        return self.decode(torch.randn(count, self.latent_size, generator=generator))

    def decode(self, z, *, generator=None):
        return super().sample(len(z), generator=torch.Generator().manual_seed(int(1000 * z[0, 0].abs())))


def test_any_model_that_samples_images_has_its_images_measured(tmp_path):
    result = evaluate(running(Decoder(), tmp_path / "run"), fidelity={"images": 100})
    assert {"fid", "kid", "recall", "valid_images", "copies"} <= values(result).keys()
    assert not {"class_accuracy", "fid_within_classes", "discriminator_gap"} & values(result).keys()
    assert set(result.results) >= {"pictures", "fidelity", "factors", "memorisation"}
    assert "training" not in result.results


def test_evaluators_of_images_look_at_the_same_images(tmp_path):
    drawn = []

    class Counting(Painter):
        def sample(self, count, **options):
            drawn.append(count)
            return super().sample(count, **options)

    evaluate(running(Counting("healthy"), tmp_path / "run"), fidelity={"images": 80})
    assert drawn == [80]


def test_pictures_of_another_evaluation_stay(tmp_path):
    run = running(Painter("healthy"), tmp_path / "run")
    for split in ("test", "valid"):
        evaluate(run, EvaluateConfig(split=split), measures=("pictures",), fidelity={"images": 60})
    assert len(list((run.folder.path / "evaluations").glob("*/data.png"))) == 2


def test_images_of_data_that_is_not_split_are_the_reference(tmp_path, monkeypatch):
    class Whole(ImageData):
        @classmethod
        def open(cls, config, assets=None, **options):
            data = super().open(config, assets)
            store = data.stores["train"]
            return replace(data, stores={"test": store}, key=f"{data.key}-whole", world=None)

    class OfFiles(Painter):
        dataset = Whole

    found = values(evaluate(running(OfFiles("healthy"), tmp_path / "run"), fidelity={"images": 100}))
    assert {"fid", "kid", "precision", "fid_within_classes", "factor_distance"} <= found.keys()
    assert not {"copies", "copies_of_data", "fid_held_out"} & found.keys()
    assert found["fid_of_data"] > 0  # of one half to the other
    noise = values(evaluate(running(OfFiles("noise"), tmp_path / "noise"), fidelity={"images": 100}))
    assert found["fid"] < noise["fid"] / 5
