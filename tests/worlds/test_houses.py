import json
import re

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from genera import worlds
from genera.data.text.sources import parse_source
from genera.navigation.scenery import imagined_scenery, read_scenery, synthetic_views
from genera.navigation.sources import open_folder
from genera.worlds.house_language import direction
from genera.worlds.house_plans import LANDMARKS, ROOMS, Dice, build_house
from genera.worlds.houses import Houses

SMALL = Houses(
    "small", "r2r", train_houses=3, unseen_houses=2, train_paths=40, seen_paths=10, unseen_paths=10, routes=5
)


@pytest.mark.parametrize("number", [0, 7, 1001])
def test_houses_are_connected_and_a_function_of_their_number(number):
    house, again = build_house(number), build_house(number)
    assert house.connectivity == again.connectivity
    assert house.places == again.places
    assert len(house.places) == len(house.connectivity)
    flags = np.array([entry["unobstructed"] for entry in house.connectivity])
    assert (flags == flags.T).all()
    assert connected_components(flags)[0] == 1
    assert {place.kind for place in house.places.values()} <= set(ROOMS)
    assert {place.landmark for place in house.places.values()} <= set(LANDMARKS)
    assert len(ROOMS) == 12
    assert len(LANDMARKS) >= 20


def test_dice_are_fair_and_repeat():
    dice, again = Dice(1, 2), Dice(1, 2)
    draws = [dice.below(6) for _ in range(6000)]
    assert draws == [again.below(6) for _ in range(6000)]
    assert np.abs(np.bincount(draws) - 1000).max() < 150
    assert sorted(dice.shuffled(range(20))) == list(range(20))
    assert 0 <= dice.unit() < 1


@pytest.mark.parametrize("name", ["houses", "houses-ndh", "houses-hanna"])
def test_worlds_are_valid_data_with_disjoint_splits(opened, name):
    source = opened(f"world:{name}")
    tables = {split: source.table(split) for split in source.files}
    assert list(tables) == ["train", "val_seen", "val_unseen"]
    for table in tables.values():
        table.check()
        assert len(table) >= 100
    scans = {split: {episode.scan for episode in table.episodes} for split, table in tables.items()}
    assert scans["val_seen"] <= scans["train"]
    assert not scans["val_unseen"] & scans["train"]
    ends = {split: {(e.path[0], e.path[-1]) for e in table.episodes} for split, table in tables.items()}
    if name == "houses":
        assert not ends["train"] & ends["val_seen"]
    ids = [episode.id for table in tables.values() for episode in table.episodes]
    assert len(set(ids)) == len(ids)
    assert source.graphs.degrees.mean() > 3


def test_r2r_houses_follow_the_rule_of_r2r(houses):
    for split in houses.files:
        table = houses.table(split)
        edges = (table.reference >= 0).sum(axis=1) - 1
        assert edges.min() == 4
        assert edges.max() == 6
        last = table.goals[:, 0]
        assert (table.graphs.distance(table.start, last) >= 5).all()


def test_instructions_name_where_to_stop(houses):
    known = json.loads((houses.folder / "scenery.json").read_text())
    for episode in houses.table("val_seen").episodes[:200]:
        _, kind, landmark = known[episode.scan][episode.path[-1]]
        assert re.search(rf"(stop|wait|halt) in the {kind} (by|near|next to) the {landmark} \.$", episode.instruction)


def test_instructions_are_a_guide(houses):
    """What is said of the first move is true: those who say left go left, relative to where they look."""
    table = houses.table("train")
    said = {"left": [], "right": []}
    for episode, path, heading in zip(table.episodes, table.reference, table.heading, strict=True):
        first = episode.instruction.split(" , ")[0]
        clauses = len(episode.instruction.split(" , ")) - 1
        if clauses == len(episode.path) - 1:  # none left out
            column = np.flatnonzero(table.graphs.candidates[path[0]] == path[1])[0]
            turn = np.sin(table.graphs.candidate_heading[path[0], column] - heading)
            for word in said:
                if re.match(rf"\w+ (to the )?{word}\b", first):
                    said[word].append(turn)
    assert len(said["left"]) > 20
    assert max(said["left"]) < 0 < min(said["right"])


@pytest.mark.parametrize(
    ("heading", "towards", "elevation", "word"),
    [(0, 0.5, 0, "straight"), (6, 0.2, 0, "straight"), (0, 1.2, 0, "right"), (0, 5, 0, "left"), (1, 4, 0, "around"),
     (0, 3, 0.5, "up"), (0, 0, -0.5, "down")],
)  # fmt: skip
def test_directions(heading, towards, elevation, word):
    assert direction(heading, towards, elevation) == word


def test_dialogues(opened):
    table = opened("world:houses-ndh").table("train")
    lengths = [len(episode.turns) for episode in table.episodes]
    assert set(lengths) == {0, 2, 4, 6}
    assert lengths.count(0) == 1200
    roles = {role for episode in table.episodes for role, _ in episode.turns[::2]}
    assert roles == {"navigator"}
    assert all(episode.end_panos for episode in table.episodes)


def test_requests_and_routes(opened):
    source = opened("world:houses-hanna")
    known = json.loads((source.folder / "scenery.json").read_text())
    for episode in source.table("val_seen").episodes[:100]:
        landmark, _, kind = episode.instruction.removeprefix("find the ").partition(" in the ")
        places = known[episode.scan]
        rooms = {room for room, k, thing in places.values() if thing == landmark and kind in ("", k)}
        assert set(episode.goals) == {viewpoint for viewpoint, (room, *_) in places.items() if room in rooms}
        assert episode.path[0] not in episode.goals
    routes = source.routes()
    assert {3, 4, 5} == {len(route.path) - 1 for route in routes}
    assert {route.split for route in routes} == {"train", "val_unseen"}
    for route in routes[:50]:
        nodes = [source.graphs.node(route.scan, viewpoint) for viewpoint in route.path]
        assert source.graphs.is_edge(nodes[:-1], nodes[1:]).all()


def test_a_world_is_a_pure_function_of_its_fields(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        SMALL.write(tmp_path / name)
    files = sorted(file.relative_to(tmp_path / "a") for file in (tmp_path / "a").rglob("*.json"))
    assert len(files) == 5 + 3 + 1
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_written_world_is_read_like_real_data(tmp_path):
    SMALL.write(tmp_path)
    source = open_folder("r2r", "r2r:x", tmp_path)
    assert len(source.graphs.scans) == 5
    assert len(source.table("train")) == 120


def test_the_instructions_are_a_text_source(monkeypatch, tmp_path):
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path))
    source = parse_source("world:houses")
    splits = [item.split for item in source.items()]
    assert splits.count("valid") == 900
    assert 3400 < splits.count("train") < 3600
    assert worlds.summary("houses")


# -- what is seen -----------------------------------------------------------------------------------------------------


def test_views_tell_of_the_rooms_and_landmarks_in_their_direction(houses):
    graphs = houses.graphs
    scenery = read_scenery(houses.folder / "scenery.json", graphs)
    clean = synthetic_views(graphs, scenery, size=64, noise=0.0)
    noisy = synthetic_views(graphs, scenery, size=64)
    residue = noisy.gather(np.arange(len(graphs))) - clean.gather(np.arange(len(graphs)))
    assert residue.std() == pytest.approx(0.35, abs=0.005)
    codes = np.random.default_rng(0).standard_normal((len(ROOMS) + len(LANDMARKS), 64))
    node, column = np.nonzero(graphs.candidates >= 0)
    view = noisy.gather(node)[np.arange(len(node)), graphs.candidate_view[node, column]]
    view = view - 0.5 * codes[scenery.room[node]]
    guess = (view @ codes[len(ROOMS) :].T).argmax(axis=1)
    right = guess == scenery.landmark[graphs.candidates[node, column]]
    assert 0.6 < right.mean() < 1.0  # predictive of the map, but not a look-up


def test_codes_are_shared_and_noise_is_seeded(houses):
    graphs = houses.graphs
    scenery = imagined_scenery(graphs)
    one, same, other = (synthetic_views(graphs, scenery, seed=seed).features for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.abs(one.astype(float) - other).std() < 1  # only noise and the own landmark's place differ


def test_imagined_rooms_are_clusters_in_space(r2r):
    graphs = r2r.graphs
    scenery = imagined_scenery(graphs)
    assert scenery.room.max() < len(ROOMS)
    assert scenery.landmark.max() < len(LANDMARKS)
    here, column = np.nonzero(graphs.candidates >= 0)
    there = graphs.candidates[here, column]
    same = (scenery.room[here] == scenery.room[there]).mean()
    assert same > 3 / len(ROOMS)
    assert synthetic_views(graphs, scenery).features.shape == (10_567, 36, 32)
