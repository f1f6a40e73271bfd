"""From a run folder of images to a use: samples, walks, mixed styles, and a folder translated."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import genera
from commands import genera as command
from genera.data.images.files import read_image, write_png
from genera.data.images.pixels import Form
from genera.engine.registry import configure
from genera.errors import GeneraError
from genera.uses.grids import grid
from genera.uses.run import slerp

TRAIN = {"limit": 32, "steps": 2, "batch_size": 4, "device": "cpu"}


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    sizes = {"image_size": 8, "max_width": 4, "latent_size": 8, "mapping_layers": 2}
    out = tmp_path_factory.mktemp("styles") / "run"
    return genera.load(genera.train(configure("stylegan2:nano", **TRAIN, **sizes), out).path, device="cpu")


@pytest.fixture(scope="module")
def classed(tmp_path_factory):
    sizes = {"image_size": 28, "width": 2, "latent_size": 8}
    out = tmp_path_factory.mktemp("classed") / "run"
    return genera.load(genera.train(configure("biggan:nano", **TRAIN, **sizes), out).path, device="cpu")


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    sizes = {"image_size": 16, "width": 4, "blocks": 1, "global_halvings": 2, "local_halvings": 1}
    out = tmp_path_factory.mktemp("translator") / "run"
    return genera.load(genera.train(configure("u-gat-it:nano", **TRAIN, **sizes), out).path, device="cpu")


@pytest.fixture
def pictures(tmp_path):
    """Images of other sizes and modes, one in a subfolder."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "wide.jpg")
    Image.fromarray(noise[..., 0]).save(folder / "grey.png")
    Image.fromarray(noise).convert("RGBA").save(folder / "more" / "clear.webp")
    return folder


def test_samples_decodes_and_truncation(styles):
    assert len(styles.sample(3)) == 3
    assert torch.equal(torch.stack(styles.sample(3)), torch.stack(styles.sample(3)))
    one, other = (torch.stack(styles.decode(styles.latents([1, 2]), truncation=0.0, seed=s)) for s in (0, 0))
    assert_close(one[0], one[1])
    assert_close(one, other)


def test_a_walk_begins_and_ends_at_its_seeds(styles):
    walk = styles.walk([3, 4, 5], steps=4)
    assert len(walk) == 9
    ends = styles.decode(styles.latents([3, 4, 5]))
    for place, end in zip((0, 4, 8), ends, strict=True):
        assert_close(walk[place], end)
    with pytest.raises(GeneraError, match="at least two seeds"):
        styles.walk([3])


def test_the_way_keeps_the_length_and_turns_evenly():
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    points = slerp(a, b, torch.tensor([[0.0], [0.5], [1.0]]))
    assert_close(points, torch.tensor([[2.0, 0.0], [2**0.5, 2**0.5], [0.0, 2.0]]))
    assert_close(slerp(a, a, torch.tensor([[0.3]])), a[None])


def test_mixing_styles_of_two_seeds(styles):
    assert_close(styles.mix(1, 1, layer=2), styles.decode(styles.latents([1]))[0])
    assert_close(styles.mix(1, 2, layer=4), styles.decode(styles.latents([1]))[0])
    assert_close(styles.mix(1, 2, layer=0), styles.decode(styles.latents([2]))[0])


def test_a_walk_keeps_to_one_class(classed):
    ways = [classed.walk([1, 2], steps=2, classes=c) for c in range(classed.method.classes)]
    of_seed = [classed.walk([1, 2], steps=2, seed=s) for s in range(8)]
    found = [next(c for c, way in enumerate(ways) if torch.equal(torch.stack(way), torch.stack(w))) for w in of_seed]
    assert len(set(found)) > 1


def test_a_table_of_mixed_styles(styles):
    table = styles.mixed_styles([1, 2], [3, 4, 5], layer=2)
    assert len(table) == 3 * 4
    assert (table[0] == 1).all()
    for column, fine in enumerate([3, 4, 5], start=1):
        assert_close(table[column], styles.decode(styles.latents([fine]))[0])
        for row, coarse in enumerate([1, 2], start=1):
            assert_close(table[4 * row], styles.decode(styles.latents([coarse]))[0])
            assert_close(table[4 * row + column], styles.mix(coarse, fine, layer=2))
    with pytest.raises(GeneraError, match="one coarse and one fine seed"):
        styles.mixed_styles([], [1], layer=2)


def test_walks_and_tables_from_a_moved_run_folder(styles, classed, tmp_path):
    for name, run in (("styles", styles), ("classed", classed)):
        shutil.copytree(run.folder.path, tmp_path / name)
    out, common = tmp_path / "out.png", ("--device", "cpu", "--json")

    walk = ("walk", tmp_path / "classed", "--seeds", 3, 4, 5, "--steps", 2, "--columns", 5, "--out", out)
    name = classed.method.assets.classes[1]
    assert command(*walk, "--classes", name, "--truncation", 0.5, *common).json == {"images": str(out), "count": 5}
    way = classed.walk([3, 4, 5], steps=2, classes=name, truncation=0.5)
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(grid(way, 5)))
    assert not torch.equal(way[0], classed.walk([3, 4], steps=2, classes=name)[0])

    mix = ("mix", tmp_path / "styles", "--coarse", 1, "--fine", 2, 3, "--layer", 2, "--out", out)
    assert command(*mix, *common).json == {"images": str(out), "count": 6}
    table = grid(styles.mixed_styles([1], [2, 3], layer=2), 3)
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(table))


def test_who_cannot_says_so(styles, translator):
    with pytest.raises(GeneraError, match=r"stylegan2 cannot translate; methods that can: u-gat-it"):
        styles.translate([torch.zeros(3, 8, 8)], "a2b")
    with pytest.raises(GeneraError, match=r"u-gat-it cannot mix styles; methods that can: stylegan2"):
        translator.mix(1, 2, layer=1)
    with pytest.raises(GeneraError, match=r"unknown direction 'a2c'; did you mean a2b"):
        translator.translate([torch.zeros(3, 16, 16)], "a2c")


def test_a_folder_is_translated_from_the_run_folder_alone(translator, pictures, tmp_path):
    run, out = tmp_path / "moved", tmp_path / "out"
    shutil.copytree(translator.folder.path, run)
    words = ("translate", run, pictures, "--out", out, "--direction", "b2a", "--attention", "--device", "cpu", "--json")
    done = command(*words)
    assert done.code == 0, done.err
    written = sorted(file.relative_to(out).as_posix() for file in out.rglob("*.png") if ".attention" not in file.name)
    assert written == ["grey.png", "more/clear.png", "wide.png"]
    assert sorted(done.json) == sorted(str(out / name) for name in written)
    form = Form(16, 3, "centre")
    expected = translator.translate([read_image(pictures / "wide.jpg", form)], "b2a")[0]
    assert_close(read_image(out / "wide.png", form), expected, atol=1.01 / 127.5, rtol=0)
    attention = np.asarray(Image.open(out / "wide.attention.png"))
    assert attention.shape == (16, 16)
    assert attention.max() > attention.min()


def test_folders_that_cannot_be_translated(translator, styles, pictures, tmp_path):
    run = translator.folder.path
    empty = tmp_path / "empty"
    empty.mkdir()
    out = ("--out", tmp_path / "out", "--device", "cpu")
    assert "has no images" in command("translate", run, empty, *out).error
    assert "did you mean pictures" in command("translate", run, tmp_path / "picture", *out).error
    assert "unknown direction 'ab'" in command("translate", run, pictures, *out, "--direction", "ab").error
    assert "does not translate images" in command("translate", styles.folder.path, pictures, *out).error
    Image.new("RGB", (4, 4)).save(pictures / "wide.png")
    assert "two images" in command("translate", run, pictures, *out).error
    (pictures / "wide.png").write_bytes((pictures / "grey.png").read_bytes()[:100])
    (pictures / "wide.jpg").unlink()
    assert f"{pictures / 'wide.png'} is not a readable image" in command("translate", run, pictures, *out).error


@pytest.mark.parametrize("channels", [1, 3])
def test_a_written_image_reads_back(channels, tmp_path):
    image = (torch.arange(channels * 64) % 256).view(channels, 8, 8) / 127.5 - 1
    write_png(tmp_path / "image.png", image)
    assert_close(read_image(tmp_path / "image.png", Form(8, channels, "centre")), image)
