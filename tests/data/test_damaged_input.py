"""Input that is damaged, endless or hostile: one clear sentence from every reader, and never another exception."""

import gzip
import io
import json
import lzma
import os
import pickle
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import genera
from genera import files
from genera.data.arrays import read_npz
from genera.data.dialogues.sources import parse_dialogues
from genera.data.files import LONGEST_LINE, find_files
from genera.data.images.pixels import Form
from genera.data.images.sources import parse_images
from genera.data.text.sources import parse_source
from genera.data.vocabularies.classes import label_order
from genera.data.vocabularies.tokenisers import Tokeniser
from genera.data.vocabularies.words import WordVocabulary
from genera.engine.folder import RunFolder
from genera.errors import GeneraError
from genera.evaluation.storage import read as read_evaluation
from genera.navigation import connectivity
from genera.navigation.episodes import read_r2r
from genera.navigation.graphs import Graphs

PIXELS = np.random.default_rng(0).integers(0, 255, (5, 8, 8), dtype=np.uint8)
FLAGS = [False, True]
SCAN = [
    {"image_id": name, "pose": [float(i)] * 16, "included": True, "visible": flags, "unobstructed": flags, "height": 1}
    for i, (name, flags) in enumerate((("v0", FLAGS), ("v1", FLAGS[::-1])))
]  # fmt: skip
EPISODE = {"path_id": 1, "scan": "s1", "path": ["v0", "v1"], "heading": 0.5, "instructions": ["go there"]}


# -- one guard for JSON and YAML --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 500 + "]" * 500, '{"a":' * 101 + "1" + "}" * 101])
@pytest.mark.parametrize("parse", [files.parse_json, files.parse_yaml])
def test_deep_nesting_is_refused_before_it_ends_in_a_recursion_error(parse, text):
    with pytest.raises(ValueError, match=r"nested more than 100 levels deep|expected|found|Expecting"):
        parse(text)


def test_nesting_up_to_the_limit_is_read():
    text = "[" * 100 + "]" * 100
    assert json.dumps(files.parse_json(text)) == text
    assert json.dumps(files.parse_yaml(text)) == text


def test_yaml_that_contains_itself_or_expands_without_end():
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20))
    for text, named in ((laughs, "more than 50,000,000 values"), ("&a [*a]", "nested more than")):
        with pytest.raises(ValueError, match=named):
            files.parse_yaml(text)


@pytest.mark.parametrize(
    "text", ["", "1" * 5000, "\x00", '"\\ud800"', '{"\\udfff": 1}', "!!int ''", "!!timestamp x", "\t"]
)
@pytest.mark.parametrize("parse", [files.parse_json, files.parse_yaml])
def test_other_faults_are_value_errors_of_one_line(parse, text):
    try:
        parse(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 (some of these are valid YAML)


DEEP = "[" * 5000 + "]" * 5000


def test_deep_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": {DEEP}}}\n')
    sources = parse_source(f"jsonl:{path}").items(), parse_dialogues(f"dialogues:{path}").dialogues()
    for source in sources:
        with pytest.raises(GeneraError, match=r"a\.jsonl:1 is not JSON \(nested more than 100 levels deep\)"):
            list(source)


@pytest.mark.parametrize("name", ["config.yaml", "status.json", "metrics.jsonl", "evaluations/a.json"])
@pytest.mark.parametrize("content", [DEEP, f'{{"state": {DEEP}, "step": {DEEP}}}'])
def test_deep_files_of_a_run(tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content + "\n")
    run = RunFolder(tmp_path)
    reader = {"config.yaml": run.config, "status.json": run.status, "metrics.jsonl": run.metrics}
    with pytest.raises(GeneraError, match=r"nested more than 100 levels deep|metrics.jsonl:1 is damaged"):
        reader.get(name, lambda: read_evaluation(path))()


# -- reading ends -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe.txt")
    return tmp_path / "pipe.txt"


def test_pipes_and_devices_are_refused_as_data(pipe):
    for path, kind in ((pipe, "a pipe"), (Path("/dev/zero"), "a device")):
        if path.exists():
            with pytest.raises(GeneraError, match=f"cannot read {path}: it is {kind}, and a file was expected"):
                find_files(str(path))
            with pytest.raises(GeneraError, match=f"it is {kind}"):
                files.read_json(path)


def test_pipes_and_devices_as_input(tiny_run, pipe):
    assert "it is a pipe" in genera("encode", tiny_run, "--json", "--input", pipe).error
    assert "it is a device" in genera("encode", tiny_run, "--json", "--input", "/dev/zero").error
    read, write = os.pipe()
    with open(write, "w") as writer:
        writer.write("a cat\na dog\n")
    try:  # as the shell's <(COMMAND)
        assert len(genera("encode", tiny_run, "--json", "--input", f"/dev/fd/{read}").json) == 2
    finally:
        os.close(read)


def test_a_line_without_end(tmp_path, tiny_run):
    path = tmp_path / "long.txt"
    with open(path, "wb") as file:
        file.write(b"a cat\n")
        file.truncate(50 << 20)  # one line of zeros, as long as the file
    with pytest.raises(GeneraError, match=r"long\.txt:2 is longer than 16 MB; one text per line was expected"):
        list(parse_source(f"text:{path}").items())
    assert "long.txt:2 is longer than 16 MB" in genera("encode", tiny_run, "--json", "--input", path).error
    zipped = tmp_path / "long.txt.gz"
    zipped.write_bytes(gzip.compress(bytes(LONGEST_LINE + 1)))
    with pytest.raises(GeneraError, match="longer than 16 MB"):
        list(parse_source(f"text:{zipped}").items())


def test_a_long_word_is_dropped_before_it_is_tokenised(tmp_path, monkeypatch):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(["a cat sat", "b" * (1 << 22), *(f"the dog {i} barks" for i in range(300))]))
    words = ("train", "optimus:nano", "--data", f"text:{path}", "--vocabulary", "300", "--steps", "1")
    done = genera(*words, "--batch-size", "4", "--validate-every", "0", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "1 over 100 tokens" in done.err


def test_a_file_that_expands_beyond_memory(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(bytes(3 << 20)))
    with pytest.raises(GeneraError, match="holds more than 2 MB"):
        files.read_bytes(path, most=2 << 20)


# -- names, labels, archives ------------------------------------------------------------------------------------------


def test_a_link_to_itself_is_not_suggested(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "a")
    for scheme, read in (("text", parse_source), ("images", parse_images)):
        with pytest.raises(GeneraError, match=r"is a link to .* which does not exist or leads back to the link"):
            read(f"{scheme}:{tmp_path / 'a'}")


def test_a_file_name_that_is_not_utf8(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("a\n")
    except OSError:
        pytest.skip("this file system has only UTF-8 names")
    for spec, read in ((f"text:{tmp_path}", parse_source), (f"text:{tmp_path}/*.txt", parse_source)):
        with pytest.raises(GeneraError, match=r"the name of the file .*caf.udce9.txt' is not UTF-8; rename it"):
            read(spec)


def test_a_wrong_checksum_is_damage_and_a_plain_file_no_gzip(tmp_path):
    path = tmp_path / "a.txt.gz"
    content = bytearray(gzip.compress(b"a cat\n" * 99))
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(GeneraError, match=r"a\.txt\.gz is damaged or truncated after line 99; fetch it again"):
        list(parse_source(f"text:{path}").items())


def test_superscripts_are_no_numbers(tmp_path):
    assert label_order(["²", "10", "9", "٣", "a", "1" * 5000])[:2] == ["9", "10"]
    path = tmp_path / "a.tsv"
    path.write_text("text\t²\na cat\tx\n")
    assert [item.label for item in parse_source(f"tsv:{path}", "text", "²").items()] == ["x"]
    with pytest.raises(GeneraError, match="unknown column in the header"):
        list(parse_source(f"tsv:{path}", "³", None).items())


def _npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def _header(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_npz_files(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    single = (tmp_path / "a.npy").rename(tmp_path / "single.npz")
    bomb, vast = tmp_path / "bomb.npz", tmp_path / "vast.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        for _ in range(300):
            file.write(bytes(1 << 20))
    with zipfile.ZipFile(vast, "w") as archive:
        archive.writestr("images.npy", _header((3, 10**15)) + b"\0" * 9)
    for path, named in (
        (single, "it is one .npy array; save it with np.savez"),
        (bomb, "it is damaged or a zip bomb"),
        (vast, "the array 'images' declares 3,000,000,000,000,000 bytes and holds 9"),
        (_npz(tmp_path / "o.npz", images=np.array([{}])), "not a readable .npz of plain arrays"),
        (_npz(tmp_path / "f.npz", jpeg=PIXELS.ravel(), offset=np.array([0.0, 9.0])), "offset is float64"),
        (_npz(tmp_path / "h.npz", images=PIXELS[:, :0]), "holds images of 0x8 pixels; they need at least 1x1"),
        (_npz(tmp_path / "w.npz", images=PIXELS[:, :, :0]), "holds images of 8x0 pixels"),
        (_npz(tmp_path / "n.npz", images=PIXELS, labels=np.zeros(5, int), label_names=np.array("a")), "label_names is"),
        (
            _npz(tmp_path / "s.npz", images=PIXELS, labels=np.zeros(5, int), label_names=np.array(["\ud800"])),
            "label_names are not whole Unicode characters",
        ),
    ):
        with pytest.raises(GeneraError, match=named):
            parse_images(f"npz:{path}")
    assert read_npz(_npz(tmp_path / "good.npz", images=PIXELS))["images"].tolist() == PIXELS.tolist()


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["cat", "dog", "cat"], "labels that are not integers"),
        ([0, 1, 300], "one number from 0 to 99"),
        (5, "not integers"),
    ],
)
def test_cifar_labels(tmp_path, labels, named):
    batch = {b"data": np.zeros((3, 3072), np.uint8), b"labels": labels}
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(GeneraError, match=named):
        parse_images(f"cifar:{tmp_path}")


def _archive(path, change):
    with tarfile.open(path, "w:xz") as archive:
        for member, content in change(json.dumps(SCAN).encode()):
            archive.addfile(member, io.BytesIO(content))
    return path


def _member(name, size=0, **fields):
    member = tarfile.TarInfo(name)
    member.size = size
    for field, value in fields.items():
        setattr(member, field, value)
    return member


def test_archives_of_graphs(tmp_path):
    name = "c/s1_connectivity.json"
    good = _archive(tmp_path / "good.tar.xz", lambda content: [(_member(name, len(content)), content)])
    assert len(Graphs.build(connectivity.read(good))) == 2
    for link, kind in (("nowhere.json", tarfile.SYMTYPE), (name, tarfile.SYMTYPE), (name, tarfile.LNKTYPE)):
        path = _archive(
            tmp_path / "link.tar.xz", lambda _, link=link, kind=kind: [(_member(name, type=kind, linkname=link), b"")]
        )
        with pytest.raises(GeneraError, match=r"s1_connectivity\.json is not a file but a link"):
            connectivity.read(path)
    content = bytearray(lzma.compress(lzma.decompress(good.read_bytes()), check=lzma.CHECK_CRC32))
    content[len(content) // 2] ^= 1
    good.write_bytes(content)
    with pytest.raises(GeneraError, match="is damaged or not a tar archive"):
        connectivity.read(good)


def test_a_tokeniser_whose_expression_backtracks_for_ever(tmp_path, tokenisers, capfd):
    saved = json.loads(tokenisers.decoder.to_json())
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    saved["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, saved["pre_tokenizer"]]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    tokeniser = Tokeniser.load(tmp_path, "bpe")
    with pytest.raises(GeneraError, match=r"cannot encode these texts .*retry-limit-in-match"):
        tokeniser.encode_batch(["a" * 40 + "b"])
    saved["pre_tokenizer"] = split | {"pattern": {"Regex": "("}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    with pytest.raises(GeneraError, match=r"is not readable .*parenthesis"):
        Tokeniser.load(tmp_path, "bpe")


# -- random damage ----------------------------------------------------------------------------------------------------


def _idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape) + array.tobytes()


def _zipped(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _picture(form):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(buffer, form)
    return buffer.getvalue()


def _texts(scheme, **columns):
    return lambda path: list(parse_source(f"{scheme}:{path}", **columns).items())


def _images(spec):
    def read(path):
        for part in parse_images(spec.format(path, path.parent)).parts:
            part.read(np.arange(min(len(part), 2)), Form(8, 3, "centre"))

    return read


TEXT = "a cat sat .\nthe dog é barks .\n" * 9
FORMATS = {
    "a.txt": (TEXT.encode(), _texts("text")),
    "a.txt.gz": (gzip.compress(TEXT.encode()), _texts("text")),
    "a.tsv": (b"text\tmood\n" + b"a cat\tgood\n" * 9, _texts("tsv", text_column="text", label_column="mood")),
    "a.jsonl": (b'{"text": "a", "y": 1}\n' * 9, _texts("jsonl", label_column="y")),
    "d.jsonl": (b'{"turns": ["a", "b"]}\n' * 9, lambda path: list(parse_dialogues(f"dialogues:{path}").dialogues())),
    "train-images-idx3-ubyte": (_idx(PIXELS), _images("idx:{1}")),
    "train-images-idx3-ubyte.gz": (gzip.compress(_idx(PIXELS)), _images("idx:{1}")),
    "data_batch_1": (
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}, protocol=2), _images("cifar:{1}"),
    ),
    "a.npz": (_zipped(images=PIXELS, labels=np.arange(5), label_names=np.array(list("abcde"))), _images("npz:{0}")),
    "a.png": (_picture("PNG"), _images("images:{1}")),
    "a.gif": (_picture("GIF"), _images("images:{1}")),
    "a.tif": (_picture("TIFF"), _images("images:{1}")),
    "s1_connectivity.json": (json.dumps(SCAN).encode(), lambda path: Graphs.build(connectivity.read(path.parent))),
    "R2R_train.json": (json.dumps([EPISODE]).encode(), read_r2r),
    "words.txt": (b"<PAD>\n<UNK>\n<EOS>\na\nb\n", WordVocabulary.load),
    "status.json": (b'{"state": "done", "step": 3}', lambda path: RunFolder(path.parent).status()),
    "metrics.jsonl": (b'{"step": 3, "loss": 1.5}\n' * 3, lambda path: RunFolder(path.parent).metrics()),
}  # fmt: skip
"""file name → its sound content, and its reader"""


def _damaged(content, chance):
    """One change: flipped bits, a cut, inserted or removed bytes, an extreme number, other content."""
    changed, place = bytearray(content), chance.randrange(len(content))
    kind = chance.randrange(6)
    if kind == 0:
        changed[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del changed[place:]
    elif kind == 2:
        changed[place:place] = chance.randbytes(chance.choice([1, 4, 50]))
    elif kind == 3:
        del changed[place : place + chance.choice([1, 4, 100])]
    elif kind == 4:
        changed[place : place + 4] = chance.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xed\xa0\x80a"])
    else:
        changed = chance.choice([b"", b"\0", b"[" * 9999, b"{}", b"null", b"\xff\xfe", b"1" * 5000, b"\n\n"])
    return bytes(changed)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_whatever_the_damage_a_reader_reads_or_says_one_sentence(tmp_path, name):
    content, read = FORMATS[name]
    path = tmp_path / name
    path.write_bytes(content)
    read(path)
    chance = random.Random(name)
    refused = 0
    for _ in range(60):
        path.write_bytes(_damaged(content, chance))
        try:
            read(path)
        except GeneraError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017 (not every damage is an error)
            assert len(str(error)) < 900  # noqa: PT017
    assert refused
