import gzip
import pickle
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from genera.data.images.config import ImageConfig
from genera.data.images.dataset import ImageData
from genera.data.images.pairs import PairData
from genera.data.images.plain_pickle import read_pickle
from genera.data.images.sources import parse_images, parse_pairs
from genera.data.images.store import to_uint8
from genera.data.text.sources import parse_source
from genera.errors import GeneraError

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (40, 32, 32, 3), np.uint8)
LABELS = np.arange(40) % 4


def opened(spec, **options):
    return ImageData.open(ImageConfig(data=str(spec), **options))


def contents(data, split="train"):
    """{bytes of an image: its label's name}"""
    images = to_uint8(data.stores[split].images()).numpy()
    labels = data.labels(split, len(images)) or [None] * len(images)
    return dict(zip((image.tobytes() for image in images), labels, strict=True))


def everything(data):
    return contents(data) | contents(data, "valid") | contents(data, "test")


def expected(names, pixels=PIXELS, labels=LABELS):
    planes = pixels.transpose(0, 3, 1, 2) if pixels.ndim == 4 else pixels[:, None]
    return {image.tobytes(): names[label] for image, label in zip(planes, labels, strict=True)}


def idx(array):
    return (
        bytes([0, 0, 8, array.ndim, *struct.pack(f">{array.ndim}I", *array.shape)]) + array.astype(np.uint8).tobytes()
    )


@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx(write, tmp_path, end):
    write(f"train-images-idx3-ubyte{end}", idx(PIXELS[:, :28, :28, 0]))
    write(f"train-labels-idx1-ubyte{end}", idx(LABELS))
    write(f"t10k-images-idx3-ubyte{end}", idx(PIXELS[:7, :28, :28, 1]))
    write(f"t10k-labels-idx1-ubyte{end}", idx(LABELS[:7]))
    data = opened(f"idx:{tmp_path}", image_size=28, channels=1)
    assert data.size("test") == 7
    names = list("0123")
    assert contents(data) | contents(data, "valid") == expected(names, PIXELS[:, :28, :28, 0])
    assert contents(data, "test") == expected(names, PIXELS[:7, :28, :28, 1], LABELS[:7])


def test_cifar_binary_and_python_are_the_same(write, tmp_path):
    planes = PIXELS.transpose(0, 3, 1, 2).reshape(40, -1)
    names = [b"cat", b"dog", b"ship", b"truck"]
    write("b/data_batch_1.bin", np.hstack([LABELS[:30, None], planes[:30]]).astype(np.uint8).tobytes())
    write("b/test_batch.bin", np.hstack([LABELS[30:, None], planes[30:]]).astype(np.uint8).tobytes())
    write("b/batches.meta.txt", "cat\ndog\nship\ntruck\n\n")
    for name, rows in (("data_batch_1", slice(30)), ("test_batch", slice(30, None))):
        batch = {b"data": planes[rows], b"labels": LABELS[rows].tolist(), b"filenames": ["a.png"]}
        write(f"p/cifar-10-batches-py/{name}", pickle.dumps(batch, 2))
    write("p/cifar-10-batches-py/batches.meta", pickle.dumps({b"label_names": names}, 2))
    both = [opened(f"cifar:{tmp_path}/{kind}") for kind in "bp"]
    assert contents(both[0], "test") == contents(both[1], "test")
    for data in both:
        assert data.assets.classes == ("cat", "dog", "ship", "truck")
        assert everything(data) == expected(data.assets.classes)


def test_cifar_100_has_fine_labels(write, tmp_path):
    planes = PIXELS.transpose(0, 3, 1, 2).reshape(40, -1)
    write("b/train.bin", np.hstack([LABELS[:, None] // 2, LABELS[:, None], planes]).astype(np.uint8).tobytes())
    batch = {b"data": planes, b"coarse_labels": [0] * 40, b"fine_labels": LABELS.tolist()}
    write("p/train", pickle.dumps(batch))
    write("p/meta", pickle.dumps({b"fine_label_names": [b"0", b"1", b"2", b"3"]}))
    for kind in "bp":
        assert everything(opened(f"cifar:{tmp_path}/{kind}")) == expected("0123")


def test_pickles_run_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(GeneraError, match=r"contains _?io.open, which is not plain data"):
        opened(f"cifar:{tmp_path}")
    assert not (tmp_path / "made").exists()
    path.write_bytes(pickle.dumps([1, b"x", np.arange(3)])[:-9])
    with pytest.raises(GeneraError, match="damaged or not a pickle"):
        read_pickle(path)


def save_images(folder, pixels=PIXELS, labels=None):
    for i, image in enumerate(pixels):
        place = folder if labels is None else folder / f"class{labels[i]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i}.png")


def test_image_folders(tmp_path):
    save_images(tmp_path / "flat")
    flat = opened(f"images:{tmp_path}/flat")
    assert flat.assets.classes == ()
    assert flat.labels("train", 3) is None
    assert set(everything(flat)) == set(expected("0123"))
    save_images(tmp_path / "classes", labels=LABELS)
    names = [f"class{i}" for i in range(4)]
    assert everything(opened(f"images:{tmp_path}/classes")) == expected(names)
    save_images(tmp_path / "split/train", PIXELS[:30], LABELS)
    save_images(tmp_path / "split/val", PIXELS[30:], LABELS[30:])
    split = opened(f"images:{tmp_path}/split")
    assert contents(split, "valid") == expected(names, PIXELS[30:], LABELS[30:])
    assert contents(split) | contents(split, "test") == expected(names, PIXELS[:30], LABELS[:30])


def test_npz(tmp_path):
    names = np.array(["a", "b", "c", "d"])
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS, label_names=names)
    assert everything(opened(f"npz:{tmp_path}/a.npz")) == expected(names)
    np.savez(tmp_path / "b.npz", x_train=PIXELS[:30], y_train=LABELS[:30, None], x_test=PIXELS[30:], y_test=LABELS[30:])
    keras = opened(f"npz:{tmp_path}/b.npz")
    assert contents(keras, "test") == expected("0123", PIXELS[30:], LABELS[30:])
    np.savez(tmp_path / "c.npz", images=PIXELS[..., 0], subject=LABELS + 7)
    faces = opened(f"npz:{tmp_path}/c.npz", channels=1)
    assert faces.assets.classes == ("7", "8", "9", "10")
    assert everything(faces) == expected(faces.assets.classes, PIXELS[..., 0])


def test_files_in_an_npz(tmp_path):
    save_images(tmp_path / "d")
    files = [(tmp_path / "d" / f"{i}.png").read_bytes() for i in range(40)]
    packed = {"jpeg": np.frombuffer(b"".join(files), np.uint8), "offset": np.cumsum([0, *map(len, files)])}
    np.savez(tmp_path / "a.npz", **packed, labels=LABELS.astype(np.uint8))
    assert everything(opened(f"npz:{tmp_path}/a.npz")) == expected("0123")
    damaged = packed["jpeg"].copy()
    damaged[packed["offset"][5] + 60 :][:30] = 0
    np.savez(tmp_path / "b.npz", jpeg=damaged, offset=packed["offset"])
    with pytest.raises(GeneraError, match=r"image 5 of .*b\.npz is not a readable image"):
        opened(f"npz:{tmp_path}/b.npz")
    np.savez(tmp_path / "c.npz", jpeg=damaged[:-9], offset=packed["offset"])
    with pytest.raises(GeneraError, match="offset must not decrease"):
        opened(f"npz:{tmp_path}/c.npz")


def test_pairs_of_folders_and_of_files(tmp_path):
    save_images(tmp_path / "f/trainA", PIXELS[:30])
    save_images(tmp_path / "f/trainB", PIXELS[10:])
    save_images(tmp_path / "f/testA", PIXELS[:3])
    save_images(tmp_path / "f/testB", PIXELS[:4])
    np.savez(tmp_path / "trainA_jpeg.npz", images=PIXELS[:30])
    np.savez(tmp_path / "trainB.npz", images=PIXELS[10:])
    folders, files = (PairData.open(ImageConfig(data=f"pairs:{path}")) for path in (tmp_path / "f", tmp_path))
    assert folders.size("test") == 3
    for data in (folders, files):
        for domain, pixels in (("a", PIXELS[:30]), ("b", PIXELS[10:])):
            stores = data.domains[domain]
            splits = ("train", "valid", "test") if data is files else ("train", "valid")
            found = {i.tobytes() for split in splits for i in to_uint8(stores[split].images()).numpy()}
            assert found == set(expected("0123", pixels, LABELS[: len(pixels)]))


def test_images_of_mixed_sizes_and_modes_come_in_one_shape(tmp_path):
    for i, (mode, size) in enumerate([("L", (20, 31)), ("RGBA", (64, 40)), ("CMYK", (32, 32)), ("I;16", (9, 9))] * 6):
        kind = "jpg" if mode == "CMYK" else "png"
        Image.new(mode, size, i if mode in ("L", "I;16") else (i, 2, 3, 4)).save(tmp_path / f"{i}.{kind}")
    assert opened(f"images:{tmp_path}", image_size=16).items("train", 1)[0].shape == (3, 16, 16)


def test_copies_of_an_image_never_straddle_two_splits(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.tile(RANDOM.integers(0, 256, (400, 4, 4), np.uint8), (3, 1, 1)))
    data = opened(f"npz:{tmp_path}/a.npz", image_size=4, channels=1)
    train, valid, test = (set(contents(data, split)) for split in ("train", "valid", "test"))
    assert valid
    assert test
    assert not train & valid | train & test | valid & test


def test_the_fingerprint_follows_the_content(write, tmp_path):
    write("train-images-idx3-ubyte", idx(PIXELS[..., 0]))
    first = parse_images(f"idx:{tmp_path}").fingerprint
    assert parse_images(f"idx:{tmp_path}").fingerprint == first
    write("train-images-idx3-ubyte", idx(PIXELS[..., 1]))
    assert parse_images(f"idx:{tmp_path}").fingerprint != first
    marks = {parse_images(f"world:{name}").fingerprint for name in ("shapes", "shapes-overlap")}
    assert len(marks) == 2


def test_hugging_face_data_sets(tmp_path, monkeypatch):
    pytest.importorskip("datasets", reason="needs the optional extra: pip install 'genera[data]'")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    save_images(tmp_path / "d/train", PIXELS[:30], LABELS)
    save_images(tmp_path / "d/test", PIXELS[30:], LABELS[30:])
    data = opened(f"hub:{tmp_path}/d")
    names = [f"class{i}" for i in range(4)]
    assert data.assets.classes == tuple(names)
    assert contents(data, "test") == expected(names, PIXELS[30:], LABELS[30:])
    assert contents(data) | contents(data, "valid") == expected(names, PIXELS[:30], LABELS[:30])
    assert parse_images(f"hub:{tmp_path}/d:default").classes == tuple(names)
    with pytest.raises(GeneraError, match=r"hub:.*fault cannot be loaded"):
        parse_images(f"hub:{tmp_path}/d:fault")
    with pytest.raises(GeneraError, match=r"hub:.*nothing cannot be loaded"):
        parse_images(f"hub:{tmp_path}/nothing")


def test_without_the_extra_the_install_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(GeneraError, match=r"hub:mnist needs the Hugging Face library: pip install 'genera\[data\]'"):
        parse_images("hub:mnist")


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("text:a.txt", "text:a.txt gives texts, but images are needed here: idx:DIR, .*world:shapes"),
        ("world:captions", "world:captions gives texts, but images are needed here"),
        ("pairs:d", r"gives image pairs \(two domains\) or parallel texts .*, but images are needed here"),
        ("world:shapes-pairs", "gives image pairs"),
        ("world:shape", "unknown world 'shape'; did you mean shapes"),
        ("image:d", r"unknown data scheme 'image'; did you mean images\? \(there are: idx, cifar"),
        ("photos", "'photos' is not a data source; write one of idx:DIR, .*, for example idx:photos"),
        ("images:/no/such/folder", "the folder /no/such/folder does not exist"),
        ("npz:/no/such.npz", "/no/such.npz does not exist; npz:FILE names one .npz file"),
    ],
)
def test_unknown_sources(spec, message):
    with pytest.raises(GeneraError, match=message):
        parse_images(spec)


def test_other_kinds_of_source_say_so():
    with pytest.raises(GeneraError, match="images:d gives images, but texts are needed here: text:PATH, tsv:PATH"):
        parse_source("images:d")
    with pytest.raises(
        GeneraError, match=r"idx:d gives images, but image pairs .* needed here: pairs:DIR, world:shapes"
    ):
        parse_pairs("idx:d")


@pytest.mark.parametrize(
    ("scheme", "files", "message"),
    [
        ("idx", {}, "has no idx files"),
        ("idx", {"train-images-idx3-ubyte": b"\0\0\x08\x03" + bytes(12) + b"rest"}, "is truncated: 4 bytes of 0x0x0"),
        ("idx", {"train-images-idx3-ubyte": idx(PIXELS[..., 0])[:-5]}, "is truncated: 40955 bytes of 40x32x32"),
        ("idx", {"train-images-idx3-ubyte": b"\0\0\x0d\x03"}, "not an idx file of unsigned bytes"),
        ("idx", {"train-images-idx3-ubyte": idx(LABELS)}, "holds 1 axes; images need 3"),
        (
            "idx",
            {"train-images-idx3-ubyte": idx(PIXELS[..., 0]), "train-labels-idx1-ubyte": idx(LABELS[:3])},
            "has 3 labels for the 40 images",
        ),
        ("cifar", {"readme": b""}, "has no CIFAR files"),
        ("cifar", {"data_batch_1.bin": bytes(5000)}, "is truncated: 5,000 bytes are not a multiple of 3073"),
        ("cifar", {"data_batch_1": pickle.dumps({b"data": [1]})}, "is not a CIFAR batch"),
        (
            "cifar",
            {"data_batch_1.bin": bytes(3073), "batches.meta": pickle.dumps({b"labels": []})},
            r"batches\.meta has no label_names",
        ),
        ("images", {"a.txt": b"hello"}, "has no images"),
        ("images", {"a.png": b"x", "c/b.png": b"x"}, r"has images beside its class folders, such as a\.png"),
        ("images", {"a.png": b"not an image"}, r"a\.png is not a readable image"),
        ("pairs", {"trainA/a.png": b"x"}, "has no trainB"),
    ],
)
def test_bad_content(write, tmp_path, scheme, files, message):
    for name, content in files.items():
        write(name, content)
    with pytest.raises(GeneraError, match=message) as error:
        (PairData if scheme == "pairs" else ImageData).open(ImageConfig(data=f"{scheme}:{tmp_path}"))
    assert "\n" not in str(error.value)


def test_damaged_gzip(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(PIXELS[..., 0]))[:-20])
    with pytest.raises(GeneraError, match="damaged or truncated"):
        parse_images(f"idx:{tmp_path}")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": PIXELS}, "has no images: arrays named images, or jpeg and offset"),
        ({"images": PIXELS / 255}, "is float64 40x32x32x3; images must be uint8"),
        ({"images": PIXELS.transpose(0, 3, 1, 2)}, "is uint8 40x3x32x32; images must be uint8"),
        ({"images": PIXELS, "labels": LABELS[:3]}, "has 3 labels of int64 for 40 images"),
        ({"images": PIXELS, "labels": LABELS / 2}, "labels of float64"),
        ({"images": PIXELS, "labels": LABELS, "label_names": np.array(["a"])}, "names 1 classes, .* go up to 3"),
        ({"images": np.array([object()])}, "not a readable .npz of plain arrays"),
    ],
)
def test_bad_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(GeneraError, match=message):
        parse_images(f"npz:{tmp_path}/a.npz")
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(GeneraError, match=r"not a readable \.npz"):
        parse_images(f"npz:{tmp_path}/a.npz")


# -- real data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "folder", "file", "classes", "channels"),
    [
        ("idx", "mnist", "", 10, 1),
        ("idx", "fashion_mnist", "", 10, 1),
        ("npz", "cifar10", "/train_lossless.npz", 10, 3),
        ("npz", "tiny_imagenet", "/train_jpeg.npz", 101, 3),
        ("npz", "orl_faces", "/subjects_01_30.npz", 30, 1),
    ],
)
def test_real_images(real_data, scheme, folder, file, classes, channels):
    data = opened(f"{scheme}:{real_data(folder)}{file}", limit=200, channels=channels)
    assert data.size("train") == 200
    assert len(data.assets.classes) == classes
    assert set(data.labels("train", 200)) <= set(data.assets.classes)
    assert len(set(data.labels("train", 200))) > classes / 2  # a fair sample, whatever the order of the files
    images = data.stores["train"].images()
    assert images.shape == (200, channels, 32, 32)
    assert -1 <= images.min() < -0.8
    assert 0.7 < images.max() <= 1


def test_real_pairs(real_data):
    data = PairData.open(ImageConfig(data=f"pairs:{real_data('unpaired')}/orange2lemon", image_size=64, limit=50))
    assert len(data.domains["a"]["train"]) == len(data.domains["b"]["train"]) == 50
    # lemons are greener against red than oranges
    a, b = (data.domains[domain]["train"].images().mean((0, 2, 3)) for domain in "ab")
    assert (b[1] - b[0]) > (a[1] - a[0])


@pytest.mark.parametrize(("name", "classes", "count"), [("orl_faces", 30, 300), ("coil20", 14, 700)])
def test_real_archives_are_classes_packed_or_as_folders(real_data, tmp_path, name, classes, count):
    (packed,) = real_data(name).glob("*.npz")
    source = parse_images(f"npz:{packed}")
    assert (len(source.classes), sum(map(len, source.parts)), source.splits) == (classes, count, ())
    content = np.load(packed)
    labels = next(content[key] for key in ("subject", "object") if key in content)
    for number in range(0, count, 10):
        file = tmp_path / f"class {labels[number]}" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(content["images"][number].squeeze()).save(file)
    folders = parse_images(f"images:{tmp_path}")
    assert (len(folders.classes), sum(map(len, folders.parts))) == (classes, count // 10)
