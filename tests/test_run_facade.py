"""What `genera.load` returns, as people meet it in Python and in a notebook."""

import io
import subprocess
import sys
import typing

import pytest
import torch
from PIL import Image

import genera
import small_methods  # noqa: F401  (registers the small methods)
from genera.errors import GeneraError
from genera.run import Run
from genera.uses.grids import Pictures
from training import TINY, configured


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A VAE of images after a few steps."""
    torch.set_num_threads(1)
    preset, overrides = TINY["small-image-vae"]
    out = tmp_path_factory.mktemp("facade") / "vae"
    genera.train(configured(f"small-image-vae:{preset}", overrides), out)
    return genera.load(out, device="cpu")


def test_images_are_tensors_for_programs_and_pictures_for_people(images):
    samples = images.sample(5)
    assert isinstance(samples, Pictures)
    assert isinstance(samples[0], torch.Tensor)
    assert [picture.size for picture in samples.pil()] == [tuple(reversed(samples[0].shape[1:]))] * 5
    shown = Image.open(io.BytesIO(samples._repr_png_()))
    assert shown.size == samples.grid().size == images.show(samples).size
    assert images.show(samples, columns=5).size[0] > images.show(samples, columns=1).size[0]
    assert images.show(samples[0]).size[0] < shown.size[0]


def test_files_and_pil_images_of_any_size_go_in(images, tmp_path):
    tensor = images.sample(1)[0]
    small = Pictures([tensor]).pil()[0]
    small.save(tmp_path / "same.png")
    exact = images.encode([small]).mean
    assert torch.equal(images.encode([tmp_path / "same.png"]).mean, exact)
    assert torch.equal(images.encode([str(tmp_path / "same.png")]).mean, exact)
    assert torch.allclose(images.encode([tensor]).mean, exact, atol=0.1)  # rounded to 8 bits
    large = small.resize((200, 120), Image.Resampling.NEAREST)
    assert images.reconstruct([large])[0].shape == tensor.shape
    with pytest.raises(GeneraError, match=r"expects images \(files, PIL images, or tensors .*\), got 'a sentence'"):
        images.encode(["a sentence"])


def test_a_run_shows_itself(run, copied):
    assert "optimus:nano on world:captions-small, step 100" in repr(run)
    page = run._repr_html_()
    assert "Encodes" in page
    assert "measured on" not in page
    other = copied()
    stored = other.evaluate(measures=["reconstruction"], reconstruction={"items": 20})
    page = other._repr_html_()
    assert stored.title in page
    assert "exact" in page.lower().partition("measured on")[2]


def test_evaluate_and_report(copied):
    other = copied()
    stored = other.evaluate(measures=["latent"], latent={"items": 30}, split="valid")
    assert stored.split == "valid"
    assert (other.folder.path / "evaluations" / f"{stored.name}.json").exists()
    assert "valid" in other.report().read_text()


def test_public_names_have_real_types():
    assert typing.get_type_hints(genera.load)["return"] is Run
    for name in genera._PUBLIC:
        assert getattr(genera, name) is not None, name
    assert "genera.load" in genera.__doc__


def test_type_checkers_see_them(tmp_path):
    script = tmp_path / "user.py"
    script.write_text("import genera\n\nreveal_type(genera.load('x'))\n")
    words = ["--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), str(script)]
    done = subprocess.run([sys.executable, "-m", "mypy", *words], capture_output=True, text=True, cwd=tmp_path)
    assert 'Revealed type is "genera.run.Run"' in done.stdout, done.stdout + done.stderr
