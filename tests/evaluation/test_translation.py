"""Evaluation of translators whose quality is known, on the world whose true translation is known."""

import numpy as np
import pytest
import torch
from torch import nn

from genera.data.images.config import ImageConfig
from genera.data.images.dataset import ImageAssets
from genera.data.images.pairs import PairData
from genera.data.images.store import to_float, to_uint8
from genera.engine.config import RunConfig, TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.method import Method
from genera.errors import GeneraError
from genera.evaluation.evaluate import evaluate
from genera.evaluation.registry import definition
from genera.evaluation.verdict import grades
from genera.files import write_text
from genera.measures import in_domain
from genera.report.page import write_report
from genera.run import Run
from genera.worlds.shapes import SHAPES_PAIRS


class Translator(Method):
    dataset = PairData
    directions = ("a2b", "b2a")

    def __init__(self, able: bool) -> None:
        super().__init__(None, ImageAssets(32, 3, ()))
        self.place = nn.Parameter(torch.zeros(1))
        self.able = able

    def translate(self, items, direction):
        if not self.able:
            return list(items)
        return list(to_float(SHAPES_PAIRS.translate(to_uint8(torch.stack(list(items))).numpy(), direction[2])))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_domain, "STEPS", 60)
        for able in (True, False):
            path = tmp_path_factory.mktemp("pairs") / "run"
            path.mkdir()
            data = ImageConfig(data="world:shapes-pairs", limit=1000)
            config = RunConfig(method="t", preset="t", data=data, train=TrainConfig(steps=1), model=None)
            folder = RunFolder(path)
            write_text(folder.config_file, "method: t\npreset: t\ndata: {data: 'world:shapes-pairs'}\n")
            result = evaluate(Run(folder, config, Translator(able), 1), translation={"images": 150})
            found[able] = path, {figure.key: figure.value for figure in result.figures} | grades(result.diagnosis)
    return found


@pytest.mark.parametrize("way", ["a2b", "b2a"])
def test_the_true_translation_is_perfect_and_none_is_not(evaluated, way):
    true, none = (evaluated[able][1] for able in (True, False))
    assert true[f"translation_error/{way}"] < 0.01
    assert none[f"translation_error/{way}"] == none[f"untranslated_error/{way}"] > 0.2
    for name in ("valid", "shape", "colour"):
        assert true[f"translation_{name}/{way}"] > 0.95
        assert none[f"translation_{name}/{way}"] < 0.2
    assert true[f"translation_domain/{way}"] > 0.9 > 0.1 > none[f"translation_domain/{way}"]
    assert none[f"translation_domain/{way}"] == none[f"translation_domain_of_source/{way}"]
    assert true[f"translation_domain_of_data/{way}"] > 0.9
    assert true[f"kid/{way}"] < 0.1 * none[f"kid/{way}"]
    assert none[f"kid/{way}"] == pytest.approx(none[f"kid_of_source/{way}"])
    assert true[f"fid_infinity/{way}"] < true[f"fid/{way}"] < none[f"fid_infinity/{way}"]
    assert true[f"content_returned/{way}"] > 0.95
    assert none[f"content_returned/{way}"] == 1
    use = f"translations from {way[0].upper()} to {way[2].upper()}"
    assert (true[use], none[use]) == ("good", "poor")
    # U-GAT-IT's own figure prefers doing nothing: it is mostly the distance from the source
    assert true[f"kid_u_gat_it/{way}"] > none[f"kid_u_gat_it/{way}"]


def test_figures_are_defined_and_images_shown(evaluated):
    path, figures = evaluated[True]
    figures = {key: value for key, value in figures.items() if not key.startswith("translations from")}
    assert all(key.endswith(("/a2b", "/b2a")) and definition(key[:-4]).title for key in figures)
    assert write_report(path).read_text().count("data:image/png;base64,") == 2


def test_collapsed_dictionaries_of_a_translator_are_named(tmp_path):
    (tmp_path / "run").mkdir()
    data = ImageConfig(data="world:shapes-pairs", limit=1000)
    config = RunConfig(method="t", preset="t", data=data, train=TrainConfig(steps=1), model=None)
    folder = RunFolder(tmp_path / "run")
    for step in range(3):
        row = {"quantiser/a/layers.1/usage": 0.6, "quantiser/b/layers.1/usage": 0.01}
        folder.log({"step": step, **row, "quantiser/b/layers.1/perplexity": 1.5})
    result = evaluate(Run(folder, config, Translator(True), 1), measures=("training",))
    assert {figure.key: figure.value for figure in result.figures}["dictionary_usage"] == pytest.approx(0.01)
    assert "The dictionary has collapsed" in result.diagnosis[0]["finding"]


def test_one_image_of_each_domain_is_too_few_for_distances(tmp_path):
    (tmp_path / "run").mkdir()
    data = ImageConfig(data="world:shapes-pairs", limit=1000)
    config = RunConfig(method="t", preset="t", data=data, train=TrainConfig(steps=1), model=None)
    run = Run(RunFolder(tmp_path / "run"), config, Translator(True), 1)
    with pytest.raises(GeneraError, match="'translation': needs at least two images of each domain"):
        evaluate(run, measures=("translation",), translation={"images": 1})
    shown = evaluate(run, measures=("translation-truth", "translation-pictures"), translation={"images": 1})
    assert {figure.n for figure in shown.figures} == {1}
    assert [block["title"] for block in shown.blocks] == ["A to B", "B to A"]


def test_a_domain_alone_is_a_data_set(tmp_path):
    for name, count in (("trainA", 30), ("trainB", 50)):
        np.savez(tmp_path / f"{name}.npz", images=np.random.default_rng(0).integers(0, 256, (count, 8, 8), np.uint8))
    data = PairData.open(ImageConfig(data=f"pairs:{tmp_path}", image_size=8))
    one = data.domain("b")
    assert one.size("train") == len(data.domains["b"]["train"])
    assert one.labels("train", 2) is None
    assert one.key != data.domain("a").key


def test_features_of_two_domains_tell_them_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(in_domain, "STEPS", 30)
    random = np.random.default_rng(0)
    for name, low in (("trainA", 0), ("trainB", 100)):
        np.savez(tmp_path / f"{name}.npz", images=random.integers(low, low + 150, (100, 8, 8, 3), np.uint8))
    data = PairData.open(ImageConfig(data=f"pairs:{tmp_path}", image_size=8))
    extractor = in_domain.in_domain(data)
    assert in_domain.accuracy_of(data) == [1.0]
    for number, domain in enumerate("ab"):
        pixels = torch.from_numpy(np.array(data.domains[domain]["test"].pixels))
        assert (extractor.logits(pixels).argmax(1) == number).all()
