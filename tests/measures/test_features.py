import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from genera.blocks.inception import FidInception
from genera.data.images.config import ImageConfig
from genera.data.images.dataset import ImageData
from genera.errors import GeneraError
from genera.measures import features, in_domain
from genera.measures.features import Extractor, cached_features, extract, inception

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), np.uint8)


def means(images):
    return images.float().mean((2, 3))


def test_features_do_not_depend_on_the_batches():
    whole = extract(means, PIXELS)
    assert torch.equal(extract(means, PIXELS, batch=3), whole)
    np.testing.assert_allclose(whole, PIXELS.mean((2, 3)), rtol=1e-5)


def test_the_cache_answers_for_equal_keys_only(tmp_path, monkeypatch):
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path))
    calls = []

    def counting(images):
        calls.append(len(images))
        return means(images)

    extractor = Extractor("counting", counting, key="a")
    first = cached_features(extractor, PIXELS, "train")
    assert torch.equal(cached_features(extractor, PIXELS, "train"), first)
    assert calls == [20]
    cached_features(extractor, PIXELS, "test")
    cached_features(extractor, PIXELS[:10], "train")
    cached_features(Extractor("counting", counting, key="b"), PIXELS, "train")
    cached_features(Extractor("counting", counting), PIXELS, "train")  # without a key nothing is kept
    assert calls == [20, 20, 10, 20, 20]
    assert len(list(tmp_path.iterdir())) == 4


def test_bad_images_and_features_are_named():
    with pytest.raises(GeneraError, match=r"uint8 \(N, C, H, W\), got torch\.float32"):
        extract(means, torch.zeros(2, 3, 8, 8))
    with pytest.raises(GeneraError, match=r"features of image 7 are not finite"):
        extract(lambda x: torch.where(x.float().mean((2, 3)) == PIXELS[7].mean((1, 2))[0], torch.nan, 0.0)[:, :1],
                np.where(np.arange(20)[:, None, None, None] == 7, PIXELS[7, 0], PIXELS), batch=4)  # fmt: skip
    with pytest.raises(GeneraError, match=r"must give \(images, features\), got"):
        extract(lambda x: x.float(), PIXELS)
    with pytest.raises(GeneraError, match="no images to extract features from"):
        extract(means, PIXELS[:0])


def test_inception_weights_from_a_file(tmp_path):
    torch.manual_seed(0)
    network = FidInception().eval()
    save_file(network.state_dict(), tmp_path / "inception.safetensors")
    extractor = inception(tmp_path / "inception.safetensors")
    assert extractor.key == hashlib.sha256((tmp_path / "inception.safetensors").read_bytes()).hexdigest()
    images = torch.from_numpy(PIXELS[:2])
    torch.testing.assert_close(extract(extractor.features, images), extract(network.features, images))
    assert extract(extractor.features, images[:, :1]).shape == (2, 2048)  # grey
    save_file({"fc.bias": torch.zeros(1008)}, tmp_path / "other.safetensors")
    with pytest.raises(GeneraError, match="is not an FID Inception"):
        inception(tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(GeneraError, match="not a readable safetensors file"):
        inception(tmp_path / "broken.safetensors")


def test_a_torchscript_file_runs_only_if_it_is_the_published_one(tmp_path, monkeypatch):
    class Published(torch.nn.Module):
        def forward(self, x, return_features: bool = False):
            flat = x.float().mean((2, 3))
            return flat if return_features else flat * 2

    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(Published()).save(str(path))
    with pytest.raises(
        GeneraError, match=r"is not the published inception-2015-12-05\.pt \(sha256 .*save the state dict"
    ):
        inception(path)
    monkeypatch.setattr(features, "TORCHSCRIPT_INCEPTION", hashlib.sha256(path.read_bytes()).hexdigest())
    extractor = inception(path)
    assert torch.equal(extract(extractor.features, PIXELS) * 2, extract(extractor.logits, PIXELS))
    with pytest.raises(GeneraError, match="does not exist; give the Inception weights"):
        inception(tmp_path / "missing.pt")


@pytest.fixture
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(in_domain, "STEPS", 60)


def striped(tmp_path, labelled):
    """Images of a bright left or a bright top half."""
    pixels = np.random.default_rng(0).integers(0, 60, (300, 12, 12), np.uint8)
    labels = np.arange(300) % 2
    pixels[labels == 0, :6] += 150
    pixels[labels == 1, :, :6] += 150
    arrays = {"labels": labels} if labelled else {}
    np.savez(tmp_path / "a.npz", images=pixels, **arrays)
    return ImageData.open(ImageConfig(data=f"npz:{tmp_path}/a.npz", image_size=12, channels=1))


@pytest.mark.parametrize("labelled", [True, False])
def test_the_in_domain_classifier_learns_and_is_kept(tmp_path, quick, labelled):
    data = striped(tmp_path, labelled)
    extractor = in_domain.in_domain(data)
    assert min(in_domain.accuracy_of(data)) > (0.9 if labelled else 0.4)  # turned, two of four classes look alike
    assert (extractor.logits is not None) is labelled
    first = extract(extractor.features, data.stores["test"].pixels)
    assert first.shape == (data.size("test"), in_domain.FEATURES)
    again = in_domain.in_domain(data)  # from the cache: training anew would take as long again
    assert torch.equal(extract(again.features, data.stores["test"].pixels), first)
    assert again.key == extractor.key


def test_in_a_world_it_learns_the_factors(quick):
    data = ImageData.open(ImageConfig(image_size=16, limit=2000))
    in_domain.in_domain(data)
    _, colour, background, *places = in_domain.accuracy_of(data)
    assert background > 0.8
    assert colour > 0.6
    assert len(places) == 3
