"""Commands on images: files in, a grid or a folder out, and one sentence for items of another type."""

import numpy as np
import pytest
import torch
from PIL import Image

import genera as library
from commands import genera
from genera.data.images.files import read_image, write_png
from genera.data.images.pixels import Form
from genera.uses.grids import grid
from small_methods import train_image_vae

FORM = Form(8, 3, "centre")


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return train_image_vae(tmp_path_factory.mktemp("vae") / "run")


@pytest.fixture(scope="module")
def run(vae):
    return library.load(vae, device="cpu")


@pytest.fixture(scope="module")
def pictures(run, tmp_path_factory):
    """Three files of test images, one of them a JPEG of another size."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(run.method.dataset.open(run.config.data, run.method.assets).items("test", 3)):
        write_png(folder / f"{number}.png", image)
    Image.open(folder / "2.png").resize((30, 20)).save(folder / "2.jpg")
    (folder / "2.png").unlink()
    return [folder / "0.png", folder / "1.png", folder / "2.jpg"]


def same(path, picture):
    return np.array_equal(np.asarray(Image.open(path)), np.asarray(picture))


def test_reconstructions_beside_their_inputs_or_under_their_names(vae, run, pictures, tmp_path):
    images = [read_image(path, FORM) for path in pictures]
    outputs = run.reconstruct(images)
    out = tmp_path / "grid.png"
    shown = genera("reconstruct", vae, *pictures, "--out", out, "--device", "cpu", "--json")
    assert shown.json == {"images": str(out), "count": 6}
    assert same(out, grid([image for pair in zip(images, outputs, strict=True) for image in pair], 2))
    assert genera("reconstruct", vae, pictures[0].parent, "--out", tmp_path / "each", "--device", "cpu").code == 0
    assert sorted(file.name for file in (tmp_path / "each").iterdir()) == ["0.png", "1.png", "2.png"]
    written = read_image(tmp_path / "each" / "2.png", FORM)
    torch.testing.assert_close(written, outputs[2], atol=1.01 / 127.5, rtol=0)


def test_interpolations_analogies_and_walks(vae, run, pictures, tmp_path):
    a, b, c = (read_image(path, FORM) for path in pictures)
    common = ("--device", "cpu")
    assert genera("interpolate", vae, *pictures[:2], "--steps", 4, "--out", tmp_path / "i.png", *common).code == 0
    assert same(tmp_path / "i.png", grid(run.interpolate(a, b, steps=4), 5))
    assert genera("analogy", vae, *pictures, "--degree", 0.5, "--out", tmp_path / "a.png", *common).code == 0
    assert same(tmp_path / "a.png", grid([run.analogy(a, b, c, degree=0.5)]))
    assert genera("walk", vae, "--steps", 3, "--out", tmp_path / "w.png", "--columns", 4, *common).code == 0
    assert same(tmp_path / "w.png", grid(run.walk([0, 1], steps=3), 4))
    assert genera("sample", vae, "--count", 4, "--seed", 3, "--out", tmp_path / "s.png", *common).code == 0
    assert same(tmp_path / "s.png", grid(run.sample(4, seed=3)))


def test_latents_of_image_files(vae, run, pictures, tmp_path):
    named = tmp_path / "names.txt"
    named.write_text("\n".join(map(str, pictures)))
    assert genera("encode", vae, "--input", named, "--out", tmp_path / "z.npz", "--device", "cpu").code == 0
    latents = np.load(tmp_path / "z.npz", allow_pickle=False)
    assert latents["items"].tolist() == list(map(str, pictures))
    posterior = run.encode([read_image(path, FORM) for path in pictures])
    np.testing.assert_allclose(latents["mean"], posterior.mean.numpy(), rtol=1e-5, atol=1e-6)
    rows = genera("encode", vae, pictures[0], "--json", "--device", "cpu").json
    assert rows[0]["item"] == str(pictures[0])
    assert len(rows[0]["log_variance"]) == 6


def test_guided_images(vae, tmp_path):
    few = ("--items", 300, "--test-items", 100, "--count", 3, "--device", "cpu")
    out = tmp_path / "red.png"
    assert genera("guide", vae, "--factor", "colour=red", "--out", out, *few).code == 0
    assert out.exists()
    scored = genera("guide", vae, "--factor", "colour", "--score", *few)
    assert "Label seen by a classifier" in scored.out
    assert "examples: guides/colour-vector/examples.png" in scored.out
    assert (vae / "guides/colour-vector/examples.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reconstruct", "a man .", "--out", "OUT.png"], "expects image files, but 'a man .' does not exist"),
        (["reconstruct", "--out", "OUT.png"], "give image files either on the command line or with --input FILE"),
        (["reconstruct", "IMAGE"], "generates images; give an output"),
        (["reconstruct", "IMAGE", "--out", "OUT.jpg"], "must end in .png or be a folder"),
        (["interpolate", "FOLDER", "IMAGE", "--out", "OUT.png"], "expected one image file, but"),
        (["sample", "--out", "OUT.png", "--top-k", "3"], "generates images; --top-k is for sentences"),
        (["sample", "--out", "OUT.png", "--truncation", "0.5"], "does not support --truncation here"),
        (["walk", "--out", "OUT.png", "--classes", "star"], "does not support --classes here"),
        (["guide", "--factor", "colour", "--score", "--columns", "3"], "drop --columns"),
        (["probe", "--data", "world:shapes", "--label-column", "1"], "are for texts, but the items of small-image-vae"),
        (["probe", "--factor", "colours"], "did you mean colour"),
        (["respond", "hello"], "small-image-vae cannot respond to a dialogue; methods that can: spacefusion"),
        (["export", "--out", "OUT"], "small-image-vae cannot be exported; methods that can"),
    ],
)
def test_what_does_not_fit_images_is_said(vae, pictures, tmp_path, words, message):
    named = {"IMAGE": pictures[0], "FOLDER": pictures[0].parent}
    command, *rest = [named.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in words]
    assert message in genera(command, vae, *rest).error


def test_what_does_not_fit_sentences_is_said(tiny_run, pictures, tmp_path):
    failed = genera("reconstruct", tiny_run, pictures[0])
    assert failed.error == f"optimus expects sentences, but {pictures[0]} is an image file."
    failed = genera("interpolate", tiny_run, "a", "b", "--out", tmp_path / "x.png", "--columns", 2)
    assert failed.error == "optimus generates sentences; --out, --columns are for images."


def test_two_images_of_one_name_are_not_written_over_each_other(vae, pictures, tmp_path):
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "0.jpg"
    Image.open(pictures[0]).save(twin)
    failed = genera("reconstruct", vae, pictures[0], twin, "--out", tmp_path / "out")
    assert "two images would both be written to 0.png" in failed.error
    assert not (tmp_path / "out").exists()
