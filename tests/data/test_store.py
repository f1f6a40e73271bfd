import multiprocessing
import time

import numpy as np
import pytest

from genera.data.cache import build_once, cache_folder
from genera.data.text.store import Ragged, StoreWriter, TokenStore
from genera.errors import GeneraError
from genera.worlds import load

TEXTS = [*load("captions").sentences(200), "café — 中文 🙂", "x"]


@pytest.fixture
def store(tmp_path, tokenisers):
    folder = tmp_path / "corpus" / "train"
    with StoreWriter(folder, tokenisers, labelled=True) as writer:
        for start in range(0, len(TEXTS), 64):  # several chunks
            chunk = TEXTS[start : start + 64]
            ids = {
                "encoder": tokenisers.encoder.encode_batch(chunk),
                "decoder": tokenisers.decoder.encode_batch(chunk),
            }
            writer.add(chunk, ids, [len(text) % 3 for text in chunk])
        writer.close(label_order=[2, 0, 1])
    return TokenStore(folder)


def test_everything_comes_back(store, tokenisers):
    assert len(store) == len(TEXTS)
    assert store.texts() == TEXTS
    assert store.texts(slice(-2, None)) == TEXTS[-2:]
    assert store.texts([5, 0, 5]) == [TEXTS[5], TEXTS[0], TEXTS[5]]
    assert store.texts(np.array([], int)) == []
    np.testing.assert_array_equal(store.words, [len(text.split()) for text in TEXTS])
    np.testing.assert_array_equal(store.labels, [[2, 0, 1][len(text) % 3] for text in TEXTS])
    for side in ("encoder", "decoder"):
        rows = getattr(tokenisers, side).encode_batch(TEXTS)
        stored = getattr(store, side)
        np.testing.assert_array_equal(stored.lengths(), list(map(len, rows)))
        assert stored.flat.tolist() == [i for row in rows for i in row]
        assert stored.flat.dtype == np.uint16
        assert not stored.flat.flags.writeable


def test_padded_rows():
    ragged = Ragged(np.array([7, 8, 9, 5, 6, 4], np.uint16), np.array([0, 3, 3, 5, 6]))
    rows = np.array([3, 0, 2, 1])
    expected = [[4, 0, 0, 0], [7, 8, 9, 0], [5, 6, 0, 0], [0, 0, 0, 0]]
    padded = ragged.padded(rows, width=4, pad=0)
    assert padded.dtype == np.int64
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_array_equal(ragged.padded(rows, width=4, pad=65535)[3], [65535] * 4)


def test_an_empty_store(tmp_path, tokenisers):
    with StoreWriter(tmp_path / "empty", tokenisers, labelled=True) as writer:
        writer.close()
    store = TokenStore(tmp_path / "empty")
    assert len(store) == 0
    assert store.texts() == []


@pytest.mark.parametrize("name", ["decoder.bin", "text.offsets.bin", "words.bin"])
def test_a_truncated_or_missing_file_names_the_folder_to_delete(store, name):
    path = store.folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(GeneraError, match=rf"{name} is damaged .* delete the folder {store.folder.parent}"):
        TokenStore(store.folder)
    path.unlink()
    with pytest.raises(GeneraError, match="0 bytes instead of"):
        TokenStore(store.folder)


@pytest.mark.parametrize("about", ["{}", "[]", '{"files": {}}'])
def test_an_about_file_that_is_no_description_is_one_sentence(store, about):
    (store.folder / "about.json").write_text(about)
    with pytest.raises(GeneraError, match=r"about\.json is damaged; delete the folder"):
        TokenStore(store.folder)


def test_a_foreign_dtype_is_one_sentence(store):
    about = store.folder / "about.json"
    about.write_text(about.read_text().replace("uint8", "object?"))
    with pytest.raises(GeneraError, match=r"about\.json is damaged; delete the folder"):
        TokenStore(store.folder)


def test_cache_folder(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("GENERA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(cache_folder()) == "/x/genera"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert str(cache_folder()).endswith("/.cache/genera")


def _slow(folder):
    (folder / "a").write_text("whole")
    time.sleep(0.3)


def _race(folder, barrier, results):
    barrier.wait()
    build_once(folder, _slow)
    results.put((folder / "a").read_text())


def test_two_processes_that_build_the_same_both_succeed(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    folder = tmp_path / "cache" / "x"
    processes = [context.Process(target=_race, args=(folder, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=10) for _ in processes] == ["whole", "whole"]
    for process in processes:
        process.join()
    assert [path.name for path in folder.parent.iterdir()] == ["x"]  # nothing half-made is left


def test_a_failed_build_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "a").write_text("half")
        raise GeneraError("no more data.")

    with pytest.raises(GeneraError, match="no more data"):
        build_once(tmp_path / "cache" / "x", fail)
    assert list((tmp_path / "cache").iterdir()) == []
