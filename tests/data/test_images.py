from dataclasses import replace

import numpy as np
import pytest
import torch

from genera.data.images.config import ImageConfig
from genera.data.images.dataset import ImageAssets, ImageData
from genera.data.images.pairs import PairData
from genera.data.images.store import to_float, to_uint8
from genera.data.splits import WHOLE
from genera.errors import GeneraError


@pytest.fixture
def config(tmp_path):
    """60 images of 24x30, whose number is in their pixels, to be cut to 16x16."""
    pixels = np.arange(60, dtype=np.uint8)[:, None, None, None] * 4 + np.zeros((1, 24, 30, 3), np.uint8)
    pixels[:, :, 15:, 0] += 3  # left and right, top and bottom differ
    pixels[:, 12:, :, 1] += 3
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(60) % 3)
    return ImageConfig(data=f"npz:{tmp_path}/a.npz", image_size=16, crop="random", flip=True)


def test_ranges_are_those_that_are_stated():
    pixels = np.arange(256, dtype=np.uint8)
    assert to_float(pixels).min() == -1
    assert to_float(pixels).max() == 1
    assert (to_uint8(to_float(pixels)).numpy() == pixels).all()
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_an_epoch_sees_every_image_once_and_labels_follow(config):
    data = ImageData.open(config)
    stream = data.stream("train", 8, seed=1)
    seen = torch.cat([stream.batch(step).ids for step in range(stream.steps_per_epoch)])
    assert stream.steps_per_epoch == data.size("train") // 8
    assert len(set(seen.tolist())) == len(seen)
    batch = stream.batch(stream.steps_per_epoch + 1)
    number = ((batch.images[:, 2].mean((1, 2)) + 1) * 127.5 / 4).round().long()
    assert [data.assets.classes[label] for label in batch.labels] == [str(int(i) % 3) for i in number]


def test_batches_are_a_function_of_seed_and_step_whatever_the_ranks(config):
    data = ImageData.open(config)
    whole = data.stream("train", 8, seed=1)
    for step in (9, 0, 4):
        parts = [data.stream("train", 8, seed=1, rank=rank, ranks=2).batch(step) for rank in range(2)]
        for name in ("ids", "images", "labels"):
            together = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(together, getattr(whole.batch(step), name))
    assert not torch.equal(whole.batch(0).ids, data.stream("train", 8, seed=2).batch(0).ids)


def test_training_images_are_mirrored_and_cut_at_random_and_others_are_not(config):
    data = ImageData.open(config)
    stream = data.stream("train", 8, seed=0)
    batches = [stream.batch(step) for step in range(60)]
    images = torch.cat([b.images for b in batches])
    bright_left = (images[:, 0, :, 0] > images[:, 0, :, -1]).float().mean(1) > 0.5
    assert 0.4 < bright_left.float().mean() < 0.6
    assert len({tuple(row.tolist()) for row in images[:, 0, 0].sub(images[:, 2, 0])}) > 2  # the edge moves
    plain = torch.cat([data.stream("test", 1, seed=s).batch(0).images for s in range(4)])
    assert (plain[:, 0, :, -1] > plain[:, 0, :, 0]).all()
    middle = data.stores["test"].images()
    assert all(any(torch.equal(one, other) for other in middle) for one in plain)


def test_a_second_opening_reads_the_cache(config, cache, capsys):
    first = ImageData.open(config)
    folders = sorted(cache.iterdir())
    stamps = [folder.stat().st_mtime_ns for folder in folders]
    again = ImageData.open(config)
    assert [folder.stat().st_mtime_ns for folder in folders] == stamps
    assert torch.equal(first.stores["train"].images(), again.stores["train"].images())
    assert not again.stores["train"].pixels.flags.writeable
    expected = first.stores["train"].images()
    (folders[0] / "train.images.npy").write_bytes(b"\x93NUMPY")
    assert torch.equal(expected, ImageData.open(config).stores["train"].images())
    assert "train.images.npy is damaged" in capsys.readouterr().err


def test_limit_takes_the_first_of_a_fixed_order(config):
    whole, part = ImageData.open(config), ImageData.open(replace(config, limit=10))
    assert part.size("train") == 10
    assert part.size("test") == whole.size("test")
    assert all(torch.equal(a, b) for a, b in zip(part.items("train", 10), whole.items("train", 10), strict=True))


def test_assets_come_back(tmp_path):
    assets = ImageAssets(32, 3, ("cat", "dog"))
    assets.save(tmp_path)
    assert ImageAssets.load(tmp_path) == assets
    (tmp_path / "images.json").write_text("[]")
    with pytest.raises(GeneraError, match=r"images\.json is damaged"):
        ImageAssets.load(tmp_path)


def test_labels_are_numbered_as_in_the_run(config, tmp_path):
    run = ImageAssets(16, 3, ("2", "0", "1", "other"))
    data, again = ImageData.open(config), ImageData.open(config, run)
    assert again.assets.classes == run.classes
    assert again.labels("train", 20) == data.labels("train", 20)
    with pytest.raises(GeneraError, match=r"class of npz:.* trained on other classes"):
        ImageData.open(config, ImageAssets(16, 3, ("0", "1")))


def test_sketches_have_the_shapes_of_real_batches(config):
    assets, batch = ImageData.sketch(replace(config, classes=3), 8)
    real = ImageData.open(config).stream("train", 8, seed=0).batch(0)
    for name in ("ids", "images", "labels"):
        one, other = getattr(batch, name), getattr(real, name)
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert len(assets.classes) == 3
    assert ImageData.sketch(config, 8)[1].labels is None
    _, pairs = PairData.sketch(config, 8)
    assert pairs.a.shape == pairs.b.shape == (8, 3, 16, 16)


def test_fewer_images_than_a_batch(config):
    data = ImageData.open(config)
    with pytest.raises(
        GeneraError, match=f"fewer than one batch of 64; use a batch size of at most {data.size('train')}"
    ):
        data.stream("train", 64, seed=0)
    with pytest.raises(GeneraError, match="a batch of 9 cannot be shared by 2 ranks"):
        data.stream("train", 9, seed=0, ranks=2)


def test_pairs_are_independent_and_each_domain_is_walked_through(tmp_path):
    for name, count in (("trainA", 30), ("trainB", 50)):
        np.savez(
            tmp_path / f"{name}.npz",
            images=np.arange(count, dtype=np.uint8)[:, None, None] + np.zeros((1, 4, 4), np.uint8),
        )
    data = PairData.open(ImageConfig(data=f"pairs:{tmp_path}", image_size=4, flip=True))
    stream = data.stream("train", 8, seed=0)
    sizes = {domain: len(data.domains[domain]["train"]) for domain in "ab"}
    assert stream.steps_per_epoch == sizes["b"] // 8
    drawn = [stream.batch(step) for step in range(40)]
    for domain in "ab":
        numbers = torch.cat([getattr(batch, domain)[:, 0, 0, 0] for batch in drawn])
        for first in range(0, 300 - sizes[domain], sizes[domain]):
            assert len(set(numbers[first : first + sizes[domain]].tolist())) == sizes[domain]
    halves = [data.stream("train", 8, seed=0, rank=rank, ranks=2).batch(7) for rank in range(2)]
    for name in ("ids", "a", "b"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(drawn[7], name))
    with pytest.raises(GeneraError, match=r"the data has .* images in domain A, fewer than one batch"):
        data.stream("train", 40, seed=0)


def test_bad_settings_are_named_together():
    complaints = ImageConfig(image_size=2, limit=0, classes=-1, channels=2).check()
    assert len(complaints) == 4
    assert "--image-size must be at least 4, got 2" in complaints
    assert not ImageConfig().check()


def test_whole_data_holds_nothing_out(config, tmp_path):
    data = ImageData.open(replace(config, limit=5), whole=True)
    assert data.splits == (WHOLE,)
    assert (data.size(WHOLE), len(data.items(WHOLE, 99))) == (60, 60)
    with pytest.raises(GeneraError, match="unknown split of this data 'test'; known: all"):
        data.size("test")
    pixels = np.zeros((6, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "b.npz", x_train=pixels, x_test=pixels[:2])
    named = ImageData.open(ImageConfig(data=f"npz:{tmp_path}/b.npz", image_size=16), whole=True)
    assert {split: named.size(split) for split in named.splits} == {"train": 6, "test": 2}
