import base64
import os

import h5py
import numpy as np
import pytest

from genera.errors import GeneraError
from genera.navigation.features import ArrayViews, angle_features, open_features, view_angles
from small_graphs import street

pytestmark = pytest.mark.usefixtures("cache")

F = 5


def rows(graphs, width=F, seed=0):
    """(scan, viewpoint, features) of all nodes, in another order than the graph's."""
    random = np.random.default_rng(seed)
    return [("street", name, random.standard_normal((36, width)).astype("<f4")) for name in reversed(graphs.names)]


def tsv(content):
    lines = ["\t".join([s, v, "640", "480", "60", base64.b64encode(f.tobytes()).decode()]) for s, v, f in content]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("ending", ["tsv", "tsv.gz"])
def test_tsv_becomes_a_memory_mapped_store(write, ending, cache):
    graphs = street()
    content = rows(graphs)
    path = write(f"features.{ending}", tsv(content))
    views = open_features(path, graphs)
    assert views.size == F
    assert isinstance(views.features, np.memmap)
    assert views.features.dtype == np.float16
    for _, name, features in content:
        got = views.gather(np.array([graphs.node("street", name)]))
        assert got.shape == (1, 36, F)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got[0], features, atol=2e-3)
    assert views.gather(np.zeros((2, 3), int)).shape == (2, 3, 36, F)
    made = next(cache.iterdir()).stat().st_mtime_ns
    assert len(open_features(path, graphs).features) == 7
    assert next(cache.iterdir()).stat().st_mtime_ns == made


def test_a_changed_file_is_read_again(write, tmp_path):
    graphs = street()
    path = write("features.tsv", tsv(rows(graphs)))
    assert open_features(path, graphs).size == F
    path.write_text(tsv(rows(graphs, 3)))
    os.utime(path, ns=(1, 1))
    assert open_features(path, graphs).size == 3


def test_missing_rows(write, capsys):
    graphs = street()
    path = write("features.tsv", tsv(rows(graphs)[:-2]))
    with pytest.raises(GeneraError, match=r"lacks the features of 2 of 7 viewpoints \(street/v0, street/v1"):
        open_features(path, graphs)
    views = open_features(path, graphs, allow_missing=True)
    assert "warning" in capsys.readouterr().err
    assert not views.gather(np.array([0, 1])).any()
    assert views.gather(np.array([2])).any()


def damaged(text, kind):
    lines = text.splitlines()
    if kind == "columns":
        lines[1] = lines[1].rpartition("\t")[0]
    if kind == "base64":
        lines[1] = lines[1][:-3] + "?"
    if kind == "width":
        lines[1] = tsv([("street", "v5", np.zeros((36, F + 1), "<f4"))]).strip()
    if kind == "not 36":
        lines[1] = tsv([("street", "v5", np.zeros(37, "<f4"))]).strip()
    if kind == "twice":
        lines[1] = lines[0]
    if kind == "nan":
        lines[1] = tsv([("street", "v5", np.full((36, F), np.nan, "<f4"))]).strip()
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("columns", "features.tsv:2 has 5 columns; 6 were expected"),
        ("base64", "features.tsv:2: the last column is not base64"),
        ("width", "features.tsv:2 has 36 x 6 features; the rows before have 36 x 5"),
        ("not 36", "features.tsv:2 has 37 numbers, which is not a multiple of 36"),
        ("twice", "features.tsv:2 repeats viewpoint v6 of scan street"),
        ("nan", "features.tsv:2 has features that are not finite"),
    ],
)
def test_damaged_files(write, cache, kind, message):
    graphs = street()
    path = write("features.tsv", damaged(tsv(rows(graphs)), kind))
    with pytest.raises(GeneraError, match=message):
        open_features(path, graphs)
    assert not list(cache.iterdir())


def hdf5(path, content):
    with h5py.File(path, "w") as file:
        for scan, viewpoint, features in content:
            file[f"{scan}_{viewpoint}"] = features
    return path


@pytest.mark.parametrize("ending", ["hdf5", "h5"])
def test_hdf5_reads_as_tsv_does(write, tmp_path, ending):
    graphs = street()
    content = rows(graphs)
    nodes = np.arange(7)
    found = open_features(hdf5(tmp_path / f"features.{ending}", content), graphs).gather(nodes)
    assert np.array_equal(found, open_features(write("features.tsv", tsv(content)), graphs).gather(nodes))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("street", "v5", np.zeros((36, F + 1))), "street_v5 has 36 x 6 features; the rows before have 36 x 5"),
        (("street", "v5", np.zeros((35, F))), "street_v5 is not an array of 36 views"),
        (("", "v5", np.zeros((36, F))), "_v5 is not an array of 36 views named SCAN_VIEWPOINT"),
        (("street", "v5", np.full((36, F), np.inf)), "street_v5 has features that are not finite"),
    ],
)
def test_damaged_rows_of_hdf5(tmp_path, row, message):
    graphs = street()
    content = [row, *(r for r in rows(graphs) if r[1] != "v5")]
    with pytest.raises(GeneraError, match=message):
        open_features(hdf5(tmp_path / "features.hdf5", content), graphs)


def test_a_cut_hdf5_file(tmp_path, cache):
    path = hdf5(tmp_path / "features.hdf5", rows(street()))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(GeneraError, match="cannot be read as HDF5"):
        open_features(path, street())
    assert not list(cache.iterdir())


def test_no_file(tmp_path):
    with pytest.raises(GeneraError, match="does not exist; check --features"):
        open_features(tmp_path / "features.tsv", street())


def test_arrays_without_rows_are_by_node():
    views = ArrayViews(np.arange(2 * 36 * 3, dtype=np.float16).reshape(2, 36, 3))
    assert views.gather(np.array([1]))[0, 0, 0] == 108
    assert views.size == 3


def test_angle_features_and_their_layouts():
    heading, elevation = 0.3, -0.2
    four = [np.sin(heading), np.cos(heading), np.sin(elevation), np.cos(elevation)]
    assert angle_features(heading, elevation, 8) == pytest.approx(np.repeat(four, 2), abs=1e-6)
    assert angle_features(heading, elevation, 8, "tiled") == pytest.approx(four * 2, abs=1e-6)
    assert angle_features(np.zeros((2, 3)), 0.0).shape == (2, 3, 128)
    with pytest.raises(GeneraError, match="a positive multiple of 4"):
        angle_features(0.0, 0.0, 6)


def test_view_angles_turn_with_the_agent_and_keep_their_elevation():
    table = view_angles(4)
    assert table.shape == (12, 36, 4)
    for agent in range(12):  # the view ahead has relative heading 0; levels look 30 degrees down, ahead and up
        assert table[agent, [agent, 12 + agent, 24 + agent], 0] == pytest.approx(0, abs=1e-6)
        assert table[agent, [agent, 12 + agent, 24 + agent], 2] == pytest.approx([-0.5, 0, 0.5], abs=1e-6)
    assert table[1, 12 + 4] == pytest.approx(table[0, 12 + 3], abs=1e-6)
