import json

import numpy as np
import pytest

from genera.errors import GeneraError
from genera.navigation.trajectories import read_submission, write_submission, write_walks
from small_graphs import street, table_of

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def table():
    return table_of(street(), ["v0", "v1", "v2"], ["v4", "v1"])


def entry(name, *viewpoints, key="instr_id"):
    return {key: name, "trajectory": [[viewpoint, 0.0, 0.0] for viewpoint in viewpoints]}


GOOD = [entry("1", "v4", "v1", "v1", "v2"), entry("0", "v0")]


def test_what_is_written_is_read(table, tmp_path):
    path = tmp_path / "a.json"
    write_submission(path, {"0": [("v0", 0.5, 0.0)], "1": [("v4", 0.0, 0.0), ("v1", 1.0, 0.1)]})
    assert json.loads(path.read_text())[0] == {"instr_id": "0", "trajectory": [["v0", 0.5, 0.0]]}
    found = read_submission(path, table)
    assert found.rows.tolist() == [0, 1]
    assert found.paths.tolist() == [[0, -1], [4, 1]]
    assert found.requests.tolist() == [0, 0]
    write_submission(path, {"0": [("v0", 0.5, 0.0)], "1": [("v4", 0.0, 0.0)]}, key="inst_idx")
    assert json.loads(path.read_text())[1]["inst_idx"] == 1
    assert read_submission(path, table).paths.tolist() == [[0], [4]]


def test_rows_are_in_the_order_of_the_table_and_stays_are_kept(table, write):
    found = read_submission(write("a.json.gz", json.dumps(GOOD)), table)
    assert found.paths.tolist() == [[0, -1, -1, -1], [4, 1, 1, 2]]


def test_hanna_form(table, write):
    content = [{"instr_id": "0", "agent_pose": [["v0", 0, 0], ["v1", 0, 0]], "agent_ask": [0, 1, 1]}, entry("1", "v4")]
    found = read_submission(write("a.json", json.dumps(content)), table)
    assert found.requests.tolist() == [2, 0]
    assert found.paths[0].tolist() == [0, 1]


def test_walks_are_written_with_the_poses_of_arrival_and_requests(table, tmp_path):
    path = tmp_path / "a.json"
    walks = np.array([[0, 1, 4, -1], [4, 1, 0, 1]])
    write_walks(path, table, walks, "hanna", np.array([2, 0]))
    content = json.loads(path.read_text())
    headings = [round(np.degrees(heading)) for _, heading, _ in content[0]["agent_pose"]]
    assert ([v for v, *_ in content[0]["agent_pose"]], headings) == (["v0", "v1", "v4"], [0, 0, 90])
    found = read_submission(path, table)
    assert found.paths.tolist() == walks.tolist()
    assert found.requests.tolist() == [2, 0]
    write_walks(path, table, walks, "ndh")
    assert set(json.loads(path.read_text())[0]) == {"inst_idx", "trajectory"}


def test_jumps_are_filled_when_that_is_asked_for(table, write):
    path = write("a.json", json.dumps([entry("0", "v0", "v2", "v2", "v4"), entry("1", "v4", "v1")]))
    with pytest.raises(GeneraError, match="moves from v0 to v2 at step 1, which is not an edge"):
        read_submission(path, table)
    assert read_submission(path, table, expand=True).paths.tolist() == [[0, 1, 2, 2, 1, 4], [4, 1, -1, -1, -1, -1]]
    path = write("b.json", json.dumps([entry("0", "v0", "v5"), entry("1", "v4")]))
    with pytest.raises(GeneraError, match="there is no path from viewpoint v0 to v5"):
        read_submission(path, table, expand=True)


def test_missing_episodes_are_an_error_unless_allowed(table, write):
    path = write("a.json", json.dumps(GOOD[:1]))
    with pytest.raises(GeneraError, match=r"lacks 1 episode ids \(0\) of 2; every episode"):
        read_submission(path, table)
    assert read_submission(path, table, partial=True).rows.tolist() == [1]
    assert not len(read_submission(write("none.json", "[]"), table, partial=True, expand=True).rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([*GOOD, entry("1", "v4")], "the episode id 1 occurs twice"),
        ([*GOOD, entry("9", "v4")], r"has 1 episode ids \(9\) that this split does not have"),
        (
            [entry("0", "v0", "v2"), entry("1", "v4")],
            "trajectory of 0 moves from v0 to v2 at step 1, which is not an edge",
        ),
        ([entry("0", "v1"), entry("1", "v4")], "trajectory of 0 starts at v1; its episode starts at v0"),
        ([entry("0", "v0"), entry("1", "v4", "v7")], "episode 1: viewpoint v7 of scan street is excluded"),
        ([entry("0", "v0", "vX"), entry("1", "v4")], "episode 0: unknown viewpoint of scan street: 'vX'"),
        ([entry("0")], "entry 0: the trajectory of 0 is empty"),
        ([{"instr_id": "0", "trajectory": [3]}], r"each step of 0 must be \[viewpoint, heading, elevation\]"),
        (
            [{"instr_id": "0", "trajectory": [["v0", 0, 0], ["v1", float("nan"), 0]]}],
            r"entry 0: step 2 of 0 has the heading and elevation \[nan, 0\]; finite numbers were expected",
        ),
        ([{"instr_id": "0", "trajectory": [["v0", "north", 0]]}], "step 1 of 0 has the heading and elevation"),
        ([{"instr_id": "0"}], "entry 0 is not an object with instr_id"),
        ([{"instr_id": "0", "agent_pose": ["v0"], "agent_ask": 2}], "agent_ask of 0 must be a list"),
        ({}, "is not a list of"),
    ],
)
def test_bad_submissions(table, write, content, message):
    with pytest.raises(GeneraError, match=message):
        read_submission(write("a.json", json.dumps(content)), table)
