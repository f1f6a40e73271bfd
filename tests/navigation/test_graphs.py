import copy
import gzip
import json
import tarfile

import networkx
import numpy as np
import pytest

from genera.errors import GeneraError
from genera.navigation import connectivity
from genera.navigation.graphs import Graphs, canonical, elevation_level, enumerate_paths, heading_step
from small_graphs import EDGES, POSITIONS, entries, graphs_of, street

pytestmark = pytest.mark.usefixtures("cache")


def test_angles_are_cut_as_the_simulator_cuts_them():
    degrees = np.radians([0, 14.99, 15, 345, 344.99, 359, 180, 725])
    assert heading_step(degrees).tolist() == [0, 0, 1, 0, 11, 0, 6, 0]
    assert elevation_level(np.radians([-80, -15.01, -14, 0, 14, 16, 80])).tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert canonical([np.pi, -np.pi, 3 * np.pi, -0.5, 2 * np.pi]) == pytest.approx([np.pi, np.pi, np.pi, -0.5, 0])


def test_street():
    graphs = street()
    assert graphs.names == ("v0", "v1", "v2", "v3", "v4", "v5", "v6")
    assert graphs.excluded == (("v7",),)
    assert graphs.edges() == 5
    assert graphs.degrees.tolist() == [1, 3, 2, 1, 1, 1, 1]
    assert graphs.candidates.shape == (7, 13)
    assert graphs.candidates[1].tolist() == [0, 2, 4] + [-1] * 10
    assert graphs.candidate_heading[1, :3] == pytest.approx([np.pi, 0, np.pi / 2])
    assert graphs.candidate_view[1, :3].tolist() == [12 + 6, 12, 12 + 3]
    assert graphs.candidate_view[2, :2].tolist() == [12 + 6, 24]  # the stairs rise by 36.9 degrees
    assert graphs.candidate_elevation[2, 1] == pytest.approx(np.arctan2(3, 4))
    assert graphs.distance(0, 3) == pytest.approx(4 + 4 + 5)
    assert graphs.distance(0, 5) == np.inf
    assert graphs.distance([0, 4], [4, 4]).tolist() == [8, 0]
    assert graphs.shortest_path(3, 4) == [3, 2, 1, 4]
    assert graphs.next_hop([0, 0, 5], [0, 5, 0]).tolist() == [0, 0, 5]
    assert graphs.is_edge([0, 0, 1], [1, 2, 4]).tolist() == [True, False, True]
    # facing +x from v1: the branch ahead, then right and left by index
    assert graphs.candidates[1][graphs.ranked[1, 3, :3]].tolist() == [4, 0, 2]


def test_isolated_and_lonely_viewpoints_stay_nodes():
    graphs = graphs_of(one=entries([(0, 0, 0)], []), two=entries([(0, 0, 0), (1, 0, 0), (5, 5, 0)], [(0, 1)]))
    assert len(graphs) == 4
    assert graphs.degrees.tolist() == [0, 1, 1, 0]
    assert graphs.distance(3, 1) == np.inf
    assert graphs.scan_of.tolist() == [0, 1, 1, 1]
    assert graphs.node("two", "v0") == 1
    with pytest.raises(GeneraError, match="no path from viewpoint v2 to v0"):
        graphs.shortest_path(3, 1)


def test_all_pairs_equal_networkx():
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 10, (40, 3))
    edges = [tuple(rng.choice(40, 2, replace=False)) for _ in range(70)]
    graphs = graphs_of(x=entries(positions.tolist(), edges))
    peer = networkx.Graph()
    peer.add_nodes_from(range(40))
    peer.add_weighted_edges_from((a, b, np.linalg.norm(positions[a] - positions[b])) for a, b in edges)
    expected = dict(networkx.all_pairs_dijkstra_path_length(peer))
    for a in range(40):
        for b in range(40):
            assert graphs.distance(a, b) == pytest.approx(expected[a].get(b, np.inf), rel=1e-12)
            if a != b and b in expected[a]:
                path = graphs.shortest_path(a, b)
                assert graphs.is_edge(path[:-1], path[1:]).all()
                assert graphs.distance(path[:-1], path[1:]).sum() == pytest.approx(expected[a][b], rel=1e-12)


def test_a_viewpoint_with_many_neighbours_widens_the_table():
    graphs = graphs_of(
        star=entries([(0, 0, 0)] + [(np.sin(i), np.cos(i), 0) for i in range(15)], [(0, i + 1) for i in range(15)])
    )
    assert graphs.candidates.shape == (16, 15)


def test_enumeration_follows_its_rule():
    graphs = street()
    paths = enumerate_paths(graphs, ["street"], fewest=2, most=3, shortest=8.5)
    assert paths.tolist() == [[0, 1, 2, 3], [1, 2, 3, -1], [3, 2, 1, 0], [3, 2, 1, -1], [3, 2, 1, 4], [4, 1, 2, 3]]
    assert enumerate_paths(graphs, []).shape == (0, 7)
    with pytest.raises(GeneraError, match="unknown scan 'stret'; did you mean street"):
        enumerate_paths(graphs, ["stret"])


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "connectivity").mkdir()
    (tmp_path / "connectivity" / "street_connectivity.json").write_text(json.dumps(entries(POSITIONS, EDGES, {7})))
    (tmp_path / "connectivity" / "scans.txt").write_text("street\n")
    return tmp_path


def same(a, b):
    return a.names == b.names and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("positions", "candidates", "distances", "hops")
    )


@pytest.mark.parametrize("form", ["folder", "tar.xz", "tar.gz", "tar"])
def test_folder_and_archives_give_the_same_graphs(folder, form, cache):
    place = folder / "connectivity"
    if form != "folder":
        with tarfile.open(folder / f"connectivity.{form}", f"w:{form[4:]}") as archive:
            archive.add(place, "connectivity")
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
    found = connectivity.find(folder)
    assert same(Graphs.open(found), street())
    assert same(Graphs.open(found), street())  # from the cache
    assert len(list(cache.iterdir())) == 1


def test_flags_may_be_ones_and_zeros(folder):
    file = folder / "connectivity" / "street_connectivity.json"
    content = json.loads(file.read_text())
    for entry in content:
        entry["included"] = int(entry["included"])
        for field in ("visible", "unobstructed"):
            entry[field] = list(map(int, entry[field]))
    file.write_text(json.dumps(content))
    assert same(Graphs.open(file.parent), street())


def test_the_cache_follows_the_content(folder, cache):
    file = folder / "connectivity" / "street_connectivity.json"
    Graphs.open(file.parent)
    file.write_text(json.dumps(entries(POSITIONS, EDGES[:3])))
    assert Graphs.open(file.parent).edges() == 3
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_cache_is_made_again(folder, cache, capsys):
    whole = Graphs.open(folder / "connectivity")
    array = next(cache.rglob("hops.npy"))
    content = array.read_bytes()
    array.write_bytes(content[:-2])
    again = Graphs.open(folder / "connectivity")
    assert "damaged" in capsys.readouterr().err
    assert array.read_bytes() == content
    assert np.array_equal(again.candidates, whole.candidates)


def change(index, field, value):
    def apply(content):
        if value is None:
            del content[index][field]
        else:
            content[index][field] = value

    return apply


BAD = {
    "missing key": (change(2, "pose", None), "viewpoint 2 lacks the key 'pose'"),
    "short pose": (change(0, "pose", [1.0] * 15), r"viewpoint 0 field 'pose' is not 16 finite numbers \(it has 15"),
    "NaN pose": (change(1, "pose", [float("nan")] * 16), "viewpoint 1 field 'pose' is not 16 finite numbers"),
    "text pose": (change(1, "pose", "here"), "viewpoint 1 field 'pose' is not 16 finite numbers"),
    "short flags": (
        change(3, "unobstructed", [True]),
        r"viewpoint 3 field 'unobstructed' is not 8 times true or false",
    ),
    "numbers as flags": (change(3, "unobstructed", [0, 2] * 4), "viewpoint 3 field 'unobstructed' is not 8 times"),
    "included": (change(4, "included", 2), "viewpoint 4 field 'included' is not true or false"),
    "duplicate": (change(5, "image_id", "v1"), "viewpoint 5 field 'image_id' repeats 'v1' of viewpoint 1"),
    "asymmetric": (
        change(0, "unobstructed", [False] * 8),
        "viewpoint 1 field 'unobstructed' leads to viewpoint 0 but not",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_files_are_refused_with_place_and_field(folder, case):
    damage, message = BAD[case]
    file = folder / "connectivity" / "street_connectivity.json"
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    with pytest.raises(GeneraError, match=message) as error:
        Graphs.open(file.parent)
    assert "street_connectivity.json" in str(error.value)


@pytest.mark.parametrize("case", BAD)
def test_lenient_reading_leaves_the_bad_viewpoint_out_and_says_so(folder, case, capsys):
    file = folder / "connectivity" / "street_connectivity.json"
    content = json.loads(file.read_text())
    BAD[case][0](content)
    file.write_text(json.dumps(content))
    graphs = Graphs.open(file.parent, strict=False)
    assert "warning: " in capsys.readouterr().err
    kept_all = case == "asymmetric"
    assert len(graphs) == (7 if kept_all else 6)
    if kept_all:
        assert not graphs.is_edge(graphs.node("street", "v0"), graphs.node("street", "v1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a list of viewpoints"),
        ("{}", "is not a list of viewpoints"),
        ("[3]", "viewpoint 0 is 3 instead of an object"),
    ],
)
def test_other_values(folder, text, message):
    (folder / "connectivity" / "street_connectivity.json").write_text(text)
    with pytest.raises(GeneraError, match=message):
        connectivity.read(folder / "connectivity")


def test_the_diagonal_is_ignored_and_all_excluded_is_refused():
    content = entries(POSITIONS, EDGES, {7})
    looped = copy.deepcopy(content)
    looped[0]["unobstructed"][0] = True
    assert same(graphs_of(street=looped), graphs_of(street=content))
    with pytest.raises(GeneraError, match="no included viewpoint"):
        connectivity.parse("x", entries(POSITIONS, EDGES, set(range(8))), "x")


def test_missing_graphs(tmp_path):
    with pytest.raises(GeneraError, match=r"has no graphs; add a folder connectivity/"):
        connectivity.find(tmp_path)
    (tmp_path / "connectivity").mkdir()
    with pytest.raises(GeneraError, match=r"has no SCAN_connectivity.json files"):
        Graphs.open(connectivity.find(tmp_path))
    (tmp_path / "connectivity.tar.xz").write_bytes(gzip.compress(b"x"))
    with pytest.raises(GeneraError, match=r"is damaged or not a tar archive"):
        connectivity.read(tmp_path / "connectivity.tar.xz")


def test_unknown_and_excluded_names():
    graphs = street()
    with pytest.raises(GeneraError, match="unknown scan 'streat'; did you mean street"):
        graphs.node("streat", "v0")
    with pytest.raises(GeneraError, match="unknown viewpoint of scan street: 'v9'"):
        graphs.node("street", "v9")
    with pytest.raises(GeneraError, match="viewpoint v7 of scan street is excluded"):
        graphs.node("street", "v7")


# -- the real graphs --------------------------------------------------------------------------------------------------


def test_facts_of_the_90_scans(r2r):
    graphs = r2r.graphs
    assert len(graphs.scans) == 90
    assert len(graphs) == 10_567
    assert len(graphs) + sum(map(len, graphs.excluded)) == 10_800
    assert graphs.edges() == 21_468
    assert graphs.degrees.max() == 13
    assert graphs.degrees.mean() == pytest.approx(4.06, abs=0.005)
    assert (graphs.degrees == 0).sum() == 8
    assert np.bincount(graphs.candidate_view[graphs.candidates >= 0] // 12).tolist() == [1_128, 40_680, 1_128]
    assert graphs.distances[np.isfinite(graphs.distances)].max() == pytest.approx(116.5, abs=0.05)


def test_published_candidate_example(r2r):
    graphs = r2r.graphs
    node = graphs.node("vyrNrziPKCB", "c8a5472a5ef243319ffa4f88d3ddb4bd")
    found = [
        (graphs.names[graphs.candidates[node, c]][:8], int(graphs.candidate_view[node, c]),
         graphs.candidate_heading[node, c], graphs.candidate_elevation[node, c],
         float(graphs.distance(node, graphs.candidates[node, c])))
        for c in graphs.ranked[node, 0, : graphs.degrees[node]]
    ]  # fmt: skip
    expected = [
        ("545da9c1", 13, 0.32194, 0.00926, 1.1321),
        ("0454f54d", 14, 1.26118, 0.00866, 1.6798),
        ("0bda68ae", 19, 3.57149, -0.01215, 1.2598),
    ]
    for got, wanted in zip(found, expected, strict=True):
        assert got[:2] == wanted[:2]
        assert got[2:] == pytest.approx(wanted[2:], abs=1e-4)
    assert canonical(found[2][2]) == pytest.approx(-2.71169, abs=1e-4)


def test_published_enumeration(r2r):
    scans = sorted({episode.scan for episode in r2r.table("train").episodes})
    assert len(scans) == 61
    paths = enumerate_paths(r2r.graphs, scans)
    assert len(paths) == 178_300
    assert (paths >= 0).sum() == 1_080_378
    for scan, count in {
        "17DRP5sb8fy": 382,
        "s8pcmisQ38h": 486,
        "1LXtFkjw3qL": 2_428,
        "vyrNrziPKCB": 10_652,
        "gZ6f7yhEvPG": 0,
    }.items():
        assert len(enumerate_paths(r2r.graphs, [scan])) == count
    assert len(enumerate_paths(r2r.graphs, scans, 4, 7)) == 243_728
    assert len(enumerate_paths(r2r.graphs, scans, 3, 6)) == 217_436


def test_enumerated_paths_include_most_of_the_annotated_ones(r2r):
    train, seen = r2r.table("train"), r2r.table("val_seen")
    scans = sorted({episode.scan for episode in train.episodes})
    paths = enumerate_paths(r2r.graphs, scans)
    ends = {(path[0], path[path >= 0][-1]) for path in paths}

    def covered(table):
        rows = [i for i, episode in enumerate(table.episodes) if episode.id.endswith("_0")]
        references = table.reference[rows]
        return sum((path[0], path[path >= 0][-1]) in ends for path in references)

    assert covered(train) == 4_667
    assert covered(seen) == 339
