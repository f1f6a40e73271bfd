import json
from collections import Counter

import numpy as np
import pytest

from genera.data.text.sources import parse_source
from genera.errors import GeneraError
from genera.navigation.episodes import (
    EpisodeTable,
    dialogue_text,
    nearest,
    read_hanna,
    read_ndh,
    read_r2r,
    read_routes,
)
from genera.navigation.sources import open_navigation
from genera.navigation.walkers import shortest
from small_graphs import EDGES, POSITIONS, entries, street, table_of

pytestmark = pytest.mark.usefixtures("cache")

R2R = [
    {"path_id": 7, "scan": "street", "heading": 0.5, "path": ["v0", "v1", "v2"], "distance": 8.0,
     "instructions": ["Go on.", "Walk two steps.", "Stop at the stairs."]},
    {"path_id": 8, "scan": "street", "heading": 6, "path": ["v4", "v1"], "distance": 4.0, "instructions": ["Back."]},
]  # fmt: skip
NDH = [
    {"inst_idx": 3, "scan": "street", "target": "lamp", "start_pano": {"heading": 1.0, "elevation": 17.5, "pano": "v1"},
     "nav_camera": [], "nav_history": ["v0"], "dialog_history": [
         {"nav_idx": 1, "role": "navigator", "message": "Where to?"},
         {"nav_idx": 1, "role": "oracle", "message": "Up the stairs."}],
     "planner_path": ["v1", "v2", "v3"], "player_path": ["v1", "v4"], "end_panos": ["v3", "v2"]},
]  # fmt: skip
HANNA = [
    {"path_id": "a", "scan": "street", "heading": 0.0,
     "paths": [["v0", "v1", "v2"], ["v0", "v1", "v4"], ["v0", "v1", "v4"]],
     "instructions": ["find a lamp"]},
]  # fmt: skip


def without(content, field):
    return [{key: value for key, value in content[0].items() if key != field}]


@pytest.mark.parametrize("ending", ["json", "json.gz"])
def test_r2r(write, ending):
    episodes = read_r2r(write(f"R2R_train.{ending}", json.dumps(R2R)))
    assert [episode.id for episode in episodes] == ["7_0", "7_1", "7_2", "8_0"]
    assert episodes[1].instruction == "Walk two steps."
    assert episodes[0].path == ("v0", "v1", "v2")
    assert episodes[0].goals == ("v2",)
    assert (episodes[0].heading, episodes[3].heading) == (0.5, 6.0)


def test_r2r_test_split_has_no_goals(write):
    content = [{**R2R[0], "path": ["v0"]}]
    table = EpisodeTable(street(), tuple(read_r2r(write("R2R_test.json", json.dumps(content)))))
    assert table.episodes[0].goals == ()
    assert (table.goals < 0).all()
    assert np.isinf(table.goal_distance(table.start, np.arange(3))).all()
    table.check()


def test_a_single_viewpoint_beside_paths_is_its_own_goal(write):
    content = [R2R[0], {**R2R[1], "path": ["v4"]}]
    episodes = read_r2r(write("R2R_val_seen.json", json.dumps(content)))
    assert [episode.goals for episode in episodes] == [("v2",)] * 3 + [("v4",)]
    table = EpisodeTable(street(), tuple(episodes))
    table.check()
    assert shortest(table).tolist() == [[0, 1, 2]] * 3 + [[4, -1, -1]]


@pytest.mark.parametrize(
    ("supervision", "path"),
    [("planner", ("v1", "v2", "v3")), ("player", ("v1", "v4")), ("trusted", ("v1", "v2", "v3"))],
)
def test_ndh_supervisions(write, supervision, path):
    (episode,) = read_ndh(write("val_seen.json", json.dumps(NDH)), supervision)
    assert episode.id == "3"
    assert episode.path == path
    assert episode.goals == path[-1:]
    assert episode.end_panos == ("v3", "v2")
    assert episode.heading == 1.0
    assert episode.instruction == "<NAV> Where to? <ORA> Up the stairs. <TAR> lamp"


def test_ndh_trusts_a_player_who_passes_the_end_of_the_plan(write):
    content = [{**NDH[0], "planner_path": ["v1", "v2"], "player_path": ["v1", "v2", "v1"]}]
    assert read_ndh(write("a.json", json.dumps(content)))[0].path == ("v1", "v2", "v1")
    # the start itself does not count: a plan of no steps is not trusted to a player who leaves and stays away
    content = [{**NDH[0], "planner_path": ["v1"], "player_path": ["v1", "v2"]}]
    assert read_ndh(write("b.json", json.dumps(content)))[0].path == ("v1",)


def test_ndh_test_split_and_a_dialogue_with_no_turns(write):
    hidden = [{**without(without(without(NDH, "planner_path"), "player_path"), "end_panos")[0], "dialog_history": []}]
    (episode,) = read_ndh(write("test.json", json.dumps(hidden)))
    assert episode.path == ("v1",)
    assert episode.goals == episode.end_panos == episode.turns == ()
    assert episode.instruction == "<TAR> lamp"


TURNS = [("navigator", "a"), ("oracle", "b"), ("navigator", "c"), ("oracle", "d")]


@pytest.mark.parametrize(
    ("history", "turns", "text"),
    [
        ("none", TURNS, ""),
        ("target", TURNS, "<TAR> lamp"),
        ("oracle_ans", TURNS, "<ORA> d <TAR> lamp"),
        ("nav_q_oracle_ans", TURNS, "<NAV> c <ORA> d <TAR> lamp"),
        ("all", TURNS, "<NAV> a <ORA> b <NAV> c <ORA> d <TAR> lamp"),
        ("oracle_ans", [], "<TAR> lamp"),
        ("nav_q_oracle_ans", [], "<TAR> lamp"),
        ("all", [], "<TAR> lamp"),
    ],
)
def test_levels_of_history(history, turns, text):
    assert dialogue_text(turns, "lamp", history) == text


def test_hanna_and_its_routes(write):
    (episode,) = read_hanna(write("hanna_train.json", json.dumps(HANNA)))
    assert episode.id == "a_0"
    assert episode.goals == ("v2", "v4")
    route = {"path_id": 5, "scan": "street", "split": "train", "path": ["v0", "v1"], "view_id": 13, "instruction": "go"}
    (read,) = read_routes(write("routes.json", json.dumps({"street": [route]})))
    assert (read.id, read.path, read.view, read.instruction) == ("5", ("v0", "v1"), 13, "go")
    with pytest.raises(GeneraError, match="street 0 lacks the field 'view_id'"):
        read_routes(write("bad.json", json.dumps({"street": without([route], "view_id")})))
    with pytest.raises(GeneraError, match="not an object of scan → list of routes"):
        read_routes(write("none.json", json.dumps({"street": None})))


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_r2r, without(R2R, "scan"), "entry 0 lacks the field 'scan'"),
        (read_r2r, [{**R2R[0], "path": []}], "field 'path' is not a list of at least one viewpoint id"),
        (read_r2r, [{**R2R[0], "heading": "north"}], "field 'heading' is not a number"),
        (read_r2r, [{**R2R[0], "heading": float("nan")}], "'heading' is nan; a finite number"),
        (read_r2r, [{**R2R[0], "instructions": ["fine", "  "]}], "entry 0: instruction 1 is empty"),
        (read_r2r, [R2R[0], R2R[0]], "the episode id 7_0 occurs twice"),
        (read_r2r, {}, "is not a list of episodes"),
        (read_r2r, ["x"], "entry 0 lacks the field 'path'"),
        (read_ndh, without(NDH, "target"), "entry 0 lacks the field 'target'"),
        (read_ndh, without(NDH, "dialog_history"), "entry 0 lacks the field 'dialog_history'"),
        (read_ndh, [{**NDH[0], "dialog_history": [{"role": "guide", "message": "x"}]}], "'guide' is neither navigator"),
        (read_ndh, [{**NDH[0], "planner_path": ["v0"]}], "the path starts at v0 but start_pano is v1"),
        (read_hanna, [{**HANNA[0], "paths": [["v0"], ["v1"]]}], "all from the same start"),
        (read_hanna, [{**HANNA[0], "paths": []}], "at least one path"),
    ],
)
def test_bad_episodes(write, read, content, message):
    with pytest.raises(GeneraError, match=message):
        read(write("file.json", json.dumps(content)))


def test_bad_files(write, tmp_path):
    with pytest.raises(GeneraError, match="does not exist"):
        read_r2r(tmp_path / "nothing.json")
    for name, content in {"a.json": "[", "b.json.gz": "[]" * 50}.items():
        path = write(name, content)
        path.write_bytes(path.read_bytes()[:20] if name.endswith("gz") else path.read_bytes())
        with pytest.raises(GeneraError, match=r"is damaged or (not JSON|truncated)"):
            read_r2r(path)
    with pytest.raises(GeneraError, match="unknown supervision 'both'"):
        read_ndh(write("c.json", json.dumps(NDH)), "both")


def test_an_instruction_of_500_words_is_read_whole(write):
    long = " ".join(["walk"] * 500)
    (episode,) = read_r2r(write("long.json", json.dumps([{**R2R[0], "instructions": [long]}])))
    assert episode.instruction == long


# -- on graphs --------------------------------------------------------------------------------------------------------


def test_table():
    graphs = street()
    table = table_of(graphs, ["v0", "v1", "v2"], ["v4"], goals=[["v3", "v4"], ["v0"]])
    assert table.reference.tolist() == [[0, 1, 2], [4, -1, -1]]
    assert table.start.tolist() == [0, 4]
    assert table.goals.tolist() == [[3, 4], [0, -1]]
    assert table.goal_distance(np.array([0, 4]), np.array([0, 1])).tolist() == [8, 8]
    metres, column = nearest(graphs, np.array([3, 1]), np.array([[4, 3], [-1, -1]]))
    assert metres.tolist() == [0, np.inf]
    assert column[0] == 1
    table.check()


@pytest.mark.parametrize(
    ("path", "goals", "message"),
    [
        (["v0", "v2"], None, "episode 0: its path goes from v0 to v2, which is not an edge"),
        (["v0", "v5"], [["v5"]], "which is not an edge"),
        (["v0"], [["v5"]], "no path leads from its start v0 to its goal v5 in scan street; .* disconnected"),
    ],
)
def test_checks(path, goals, message):
    with pytest.raises(GeneraError, match=message):
        table_of(street(), path, goals=goals).check()


@pytest.mark.parametrize(
    ("path", "scan", "message"),
    [
        (["v0", "v7"], "street", "episode 0: viewpoint v7 of scan street is excluded"),
        (["v0", "w1"], "street", "episode 0: unknown viewpoint of scan street: 'w1'"),
        (["v0"], "road", "episode 0: unknown scan 'road'"),
    ],
)
def test_names_without_a_place(path, scan, message):
    with pytest.raises(GeneraError, match=message):
        _ = table_of(street(), path, scan=scan).reference


# -- sources ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(write, tmp_path):
    write("data/connectivity/street_connectivity.json", json.dumps(entries(POSITIONS, EDGES, {7})))
    write("data/R2R_val_seen.json", json.dumps(R2R))
    write("data/R2R_train.json.gz", json.dumps(R2R))
    return tmp_path / "data"


def test_a_folder_is_a_source_of_episodes_and_of_texts(folder):
    source = open_navigation(f"r2r:{folder}")
    assert list(source.files) == ["train", "val_seen"]
    assert len(source.table("train")) == 4
    assert source.table("val_seen").graphs.names[:2] == ("v0", "v1")
    items = list(parse_source(f"r2r:{folder}").items())
    assert Counter(item.split for item in items)["valid"] == 4
    assert items[0].text == "Go on."
    before = source.fingerprint()
    (folder / "R2R_val_seen.json").write_text(json.dumps(R2R[:1]))
    assert open_navigation(f"r2r:{folder}").fingerprint() != before


def test_graphs_may_lie_beside_the_episodes(folder, write):
    write("ndh/val_seen.json", json.dumps(NDH))
    with pytest.raises(GeneraError, match="has no graphs"):
        open_navigation(f"ndh:{folder.parent / 'ndh'}")
    assert len(open_navigation(f"ndh:{folder.parent / 'ndh'}", folder / "connectivity").table("val_seen")) == 1
    folder.rename(folder.parent / "r2r")
    assert len(open_navigation(f"ndh:{folder.parent / 'ndh'}").table("val_seen")) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("r2r:{folder}/no", "is not a folder; r2r: needs the folder"),
        ("hanna:{folder}", "has no episodes; hanna: needs files hanna_SPLIT.json"),
        ("text:{folder}", "gives texts, but navigation episodes are needed here: r2r:DIR"),
        ("world:captions", "gives texts, but navigation episodes are needed here"),
        ("r2d2:{folder}", "unknown data scheme 'r2d2'; did you mean r2r"),
        ("r2r:", "is not a data source; write one of .*r2r:DIR"),
    ],
)
def test_sources_that_are_none(folder, spec, message):
    with pytest.raises(GeneraError, match=message):
        _ = open_navigation(spec.format(folder=folder)).files


def test_a_world_has_graphs_of_its_own(folder):
    with pytest.raises(GeneraError, match="world:houses has its own graphs"):
        open_navigation("world:houses", folder / "connectivity")


def test_unknown_split_and_columns(folder):
    with pytest.raises(GeneraError, match=r"unknown split of r2r:.*'val_sen'; did you mean val_seen"):
        open_navigation(f"r2r:{folder}").table("val_sen")
    with pytest.raises(GeneraError, match="has no columns and no labels"):
        parse_source(f"r2r:{folder}", label_column="scan")
    with pytest.raises(GeneraError, match="no file with 'routes' in its name"):
        open_navigation(f"r2r:{folder}").routes()


# -- the real files ---------------------------------------------------------------------------------------------------


def test_facts_of_the_real_r2r(r2r):
    for split, instructions, paths, scans, nodes, edges in (
        ("train", 14_039, 4_675, 61, 84_280, {3: 8, 4: 1655, 5: 1325, 6: 1687}),
        ("val_seen", 1_021, 340, 56, 6_198, {3: 1, 4: 100, 5: 113, 6: 126}),
    ):
        table = r2r.table(split)
        table.check()
        assert len(table) == instructions
        unique = {episode.id.rpartition("_")[0]: episode.path for episode in table.episodes}
        assert len(unique) == paths
        assert Counter(len(path) - 1 for path in unique.values()) == edges
        assert len({episode.scan for episode in table.episodes}) == scans
        assert (table.reference >= 0).sum() == nodes  # one triplet for each node of each instruction's path


def test_facts_of_the_real_ndh(opened, real_data):
    source = opened(f"ndh:{real_data('ndh')}")
    tables = {name: source.table("val_seen", name) for name in ("planner", "player", "trusted")}
    assert {len(table) for table in tables.values()} == {382}
    for table in tables.values():
        table.check()
    passed = 0
    for planner, player, trusted in zip(*(table.episodes for table in tables.values()), strict=True):
        passes = planner.path[-1] in player.path[1:]
        assert trusted.path == (player.path if passes else planner.path)
        passed += passes
    assert passed == 213
    planner = tables["planner"]
    start = nearest(planner.graphs, planner.start, planner.end_panos)[0]
    assert start.mean() == pytest.approx(21.104, abs=5e-4)
    assert sum(len(episode.path) == 1 for episode in planner.episodes) == 3
