"""Measures of two sets without a run: what is read, and that the figures are those of the measures."""

import gzip

import numpy as np
import pytest
import torch
from PIL import Image

import genera
from genera import worlds
from genera.errors import GeneraError
from genera.measures import frechet, images, in_domain, text
from genera.measures.two_sets import feature_pair, pixels_of


@pytest.fixture(autouse=True)
def quick(cache, monkeypatch):
    monkeypatch.setattr(in_domain, "STEPS", 40)


def shapes(count, split, size=16):
    """(N, 3, S, S) uint8 of the world of shapes."""
    world = worlds.load("shapes")
    return world.render(world.draw(count, split=split), size)


def write(folder, pixels, labels=None):
    for i, one in enumerate(pixels):
        file = folder / (str(labels[i]) if labels is not None else "") / f"{i:04d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one.transpose(1, 2, 0)).save(file)
    return folder


@pytest.fixture(scope="module")
def sets():
    return shapes(120, "train"), shapes(120, "test")


def test_features_are_taken_as_they_are():
    """Two Gaussians whose Fréchet distance is known: the means 2 apart, deviations 1 and 3."""
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, (20_000, 2)), random.normal((2, 0), 3, (20_000, 2))
    assert float(genera.fid(a, b)) == pytest.approx(2**2 + 2 * (3 - 1) ** 2, rel=0.05)
    assert float(genera.fid(torch.from_numpy(a), torch.from_numpy(b))) == float(genera.fid(a, b))
    assert genera.kid(a[:500], b[:500]) == images.kid(
        torch.from_numpy(a[:500]).float(), torch.from_numpy(b[:500]).float()
    )


def test_a_collapsed_set_has_precision_and_no_recall():
    random = np.random.default_rng(0)
    real = random.normal(size=(400, 2))
    collapsed = 0.01 * random.normal(size=(400, 2))
    figures = genera.precision_recall(collapsed, real)
    assert float(figures["precision"]) > 0.9
    assert float(figures["recall"]) < 0.1
    same = genera.precision_recall(random.normal(size=(400, 2)), real)
    assert min(float(same["precision"]), float(same["recall"])) > 0.8


def test_folders_arrays_tensors_and_lists_are_one_set(sets, tmp_path):
    made, real = sets
    floats = torch.from_numpy(made.astype(np.float32) / 127.5 - 1)
    forms = [
        write(tmp_path / "a", made), str(tmp_path / "a"), made, made.transpose(0, 2, 3, 1), floats, list(floats),
        [Image.fromarray(one.transpose(1, 2, 0)) for one in made],
    ]  # fmt: skip
    figures = [float(genera.fid(form, real)) for form in forms]
    assert figures == [figures[0]] * len(forms)
    assert figures[0] == float(genera.fid(made, write(tmp_path / "b", real)))


def test_noise_is_far_and_held_out_images_are_near(sets):
    made, real = sets
    noise = np.random.default_rng(0).integers(256, size=real.shape, dtype=np.uint8)
    for measure in (genera.fid, genera.kid):
        near, far = float(measure(made, real)), float(measure(noise, real))
        assert far > 3 * near
    assert float(genera.precision_recall(noise, real)["precision"]) < 0.2


def test_class_folders_teach_the_features(sets, tmp_path):
    made, real = sets
    labels = np.arange(len(real)) % 3
    first = feature_pair(made, write(tmp_path / "b", real, labels))[0]
    assert not torch.equal(first, feature_pair(made, real)[0])  # learnt from other targets


def test_images_of_several_sizes_need_a_size(sets, tmp_path):
    made, real = sets
    folder = write(tmp_path / "a", made)
    Image.new("RGB", (30, 20)).save(folder / "z.png")
    with pytest.raises(GeneraError, match="not of one square size"):
        genera.fid(folder, real)
    assert float(genera.fid(folder, real, size=12)) >= 0


def test_grey_images(tmp_path):
    Image.new("L", (16, 16), 200).save(tmp_path / "a.png")
    from genera.measures.two_sets import _form

    pixels = pixels_of(tmp_path, _form(tmp_path, tmp_path, None))
    assert pixels.shape == (1, 3, 16, 16)
    assert (pixels == 200).all()
    assert (pixels_of(torch.full((1, 1, 16, 16), 200, dtype=torch.uint8), _form(tmp_path, tmp_path, None)) == 200).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 3, 16, 16), np.float32) + 7, r"lie in \[-1, 1\], got 7 to 7"),
        (np.zeros((4, 3, 16, 16), np.int64), "uint8 .0..255. or floats"),
        (np.zeros((4, 5, 16, 16), np.uint8), "1 or 3 channels"),
        (np.zeros((0, 3, 16, 16), np.uint8), "no images"),
        (np.zeros((4, 8)), "one set holds features"),
        ("nowhere", "no folder of images"),
    ],
)
def test_what_is_no_set_of_images_is_named(images, message):
    with pytest.raises(GeneraError, match=message):
        genera.fid(images, np.zeros((4, 3, 16, 16), np.uint8))


def test_features_of_other_widths_cannot_be_compared():
    with pytest.raises(GeneraError, match="features of 2 and of 3 dimensions"):
        genera.fid(np.zeros((9, 2)), np.zeros((9, 3)))


def test_every_image_measure_at_once(sets, tmp_path):
    made, real = sets
    figures = genera.measure(write(tmp_path / "a", made), write(tmp_path / "b", real))
    features = feature_pair(made, real)
    assert figures["fid"] == frechet.fid(*features)
    assert figures["kid"] == images.kid(*features)
    assert {"fid_infinity", "kid_blocks", "kid_subsets", "precision", "recall", "density", "coverage"} <= figures.keys()


# texts

A = ["a dog runs .", "a cat sleeps .", "the dog sleeps ."]
B = ["a dog runs .", "the cat sleeps .", "a bird sings ."]


def test_texts_are_files_or_lists(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(A) + "\n")
    with gzip.open(tmp_path / "b.txt.gz", "wt") as file:
        file.write("\n".join(B) + "\n")
    assert float(genera.bleu(tmp_path / "a.txt", tmp_path / "b.txt.gz")) == text.corpus_bleu(A, B)
    assert genera.bleu(A, B, A).value == pytest.approx(100)
    assert genera.self_bleu(A) == text.self_bleu(A)
    assert float(genera.distinct(A, 1)) == 7 / 12
    assert genera.measure(tmp_path / "a.txt", tmp_path / "b.txt.gz") == genera.measure(A, B)


def test_every_text_measure_at_once():
    figures = genera.measure(A, B)
    assert figures["novel"].value == pytest.approx(2 / 3)
    assert figures["bleu_against"] == text.bleu_against(A, B)
    assert {"bleu", "self_bleu", "self_bleu_of_reference", "distinct_2", "vocabulary_coverage"} <= figures.keys()
    assert "bleu" not in genera.measure(A, B[:2])  # lines that have no partner


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: genera.bleu(A, B[:2]), "must pair up, got 3 and 2"),
        (lambda: genera.self_bleu("nowhere.txt"), "no file of texts"),
        (lambda: genera.distinct(A, 0), "got n = 0"),
        (lambda: genera.self_bleu([1, 2]), "texts are strings, got int"),
        (lambda: genera.measure(A, np.zeros((3, 3, 8, 8), np.uint8)), "one set has texts and the other images"),
        (lambda: genera.measure(A, B, size=8), "are for images"),
        (lambda: genera.measure("nowhere", B), "nowhere does not exist"),
        (lambda: genera.bleu([""], [""]), "no texts"),
    ],
)
def test_what_is_no_set_of_texts_is_named(call, message):
    with pytest.raises(GeneraError, match=message):
        call()
