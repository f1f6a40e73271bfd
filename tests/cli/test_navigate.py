import json
import subprocess
import sys

import pytest

from genera.cli.main import main
from small_graphs import EDGES, POSITIONS, entries

KEYS = ["TL", "NE", "SR", "OSR", "SPL", "nDTW", "SDTW", "CLS"]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path_factory, opened):
    """run("navigate", …) → what it printed; figures as JSON."""
    monkeypatch.setenv("GENERA_CACHE", str(opened("world:houses").folder.parent))

    def command(*arguments):
        main(["navigate", *map(str, arguments)])
        return json.loads(capsys.readouterr().out) if "--json" in arguments else capsys.readouterr().out

    return command


def test_check(run):
    found = run("check", "--data", "world:houses", "--json")
    assert found["scans"] == 38
    assert list(found["splits"]) == ["train", "val_seen", "val_unseen"]
    assert found["splits"]["val_seen"]["episodes"] == 450
    text = run("check", "--data", "world:houses", "--split", "val_unseen")
    assert "450 episodes" in text
    assert "val_seen" not in text
    assert "routes" not in found
    assert run("check", "--data", "world:houses-hanna", "--json")["routes"] == 38 * 40


def test_check_reads_the_routes_of_the_helper(run, tmp_path):
    (tmp_path / "connectivity").mkdir()
    (tmp_path / "connectivity" / "street_connectivity.json").write_text(json.dumps(entries(POSITIONS, EDGES)))
    episode = {"path_id": 1, "scan": "street", "heading": 0.0, "paths": [["v0", "v1"]], "instructions": ["find it"]}
    route = {"path_id": 5, "split": "train", "path": ["v0", "v2"], "view_id": 13, "instruction": "go"}
    (tmp_path / "hanna_train.json").write_text(json.dumps([episode]))
    (tmp_path / "hanna_routes.json").write_text(json.dumps({"street": [route]}))
    with pytest.raises(SystemExit, match="error: help route 5 of scan street has a move that is not an edge"):
        run("check", "--data", f"hanna:{tmp_path}")


@pytest.mark.parametrize("agent", ["stop", "random", "shortest", "straightest"])
def test_baselines_have_the_keys_of_the_field(run, agent):
    found = run("baseline", "--split", "val_unseen", "--agent", agent, "--json")
    assert list(found)[:8] == KEYS
    assert found["episodes"] == 450
    if agent == "shortest":
        assert (found["SR"], found["SPL"], found["nDTW"], found["NE"]) == pytest.approx((1, 1, 1, 0))


@pytest.mark.parametrize("data", ["world:houses", "world:houses-ndh", "world:houses-hanna"])
def test_a_written_submission_scores_as_the_run_did(run, data, tmp_path):
    out = tmp_path / "submission.json"
    options = ["--data", data, "--split", "val_unseen", "--json"]
    expected = run("baseline", *options, "--agent", "straightest", "--out", out)
    found = run("score", out, *options)
    for name in expected:
        if name != "agent":
            assert found[name] == expected[name], name
    first = json.loads(out.read_text())[0]
    assert ("inst_idx" if data.endswith("ndh") else "instr_id") in first
    assert len(first["trajectory"][0]) == 3


def test_figures_of_the_other_tasks(run):
    ndh = run("baseline", "--data", "world:houses-ndh", "--supervision", "player", "--json")
    assert {"goal_progress", *KEYS} <= set(ndh)
    hanna = run("baseline", "--data", "world:houses-hanna", "--json")
    assert {"SR", "SPL", "NE", "requests"} <= set(hanna)
    assert (hanna["SR"], hanna["requests"]) == (1, 0)


def test_a_train_submission_may_be_partial(run, tmp_path):
    out = tmp_path / "submission.json"
    run("baseline", "--split", "train", "--out", out)
    out.write_text(json.dumps(json.loads(out.read_text())[:10]))
    assert run("score", out, "--split", "train", "--json")["episodes"] == 10
    out.write_text("[]")
    with pytest.raises(SystemExit, match="error: the submission contains no episode"):
        run("score", out, "--split", "train")


def test_real_data_of_the_field(run, real_data):
    found = run(
        "baseline", "--data", f"r2r:{real_data('r2r')}", "--split", "val_seen", "--agent", "straightest", "--json"
    )
    assert [found[name] for name in KEYS] == pytest.approx(
        [9.4564, 9.4251, 0.2116, 0.2586, 0.1977, 0.3707, 0.1791, 0.4135], abs=1e-4
    )
    assert found["episodes"] == 1021
    ndh = run("baseline", "--data", f"ndh:{real_data('ndh')}", "--supervision", "planner", "--json")
    assert ndh["goal_progress"] == pytest.approx(8.2914, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["baseline", "--split", "val"], "unknown split of world:houses: 'val'; did you mean"),
        (["check", "--data", "world:captions"], "world:captions gives texts, but navigation episodes are needed"),
        (["check", "--data", "r2r:/nowhere"], "/nowhere is not a folder"),
        (["score", "/nowhere.json"], "/nowhere.json does not exist"),
    ],
)
def test_bad_input_is_one_sentence(run, arguments, message):
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        run(*arguments)


def test_lenient_reading(run, tmp_path, houses, capsys):
    target = tmp_path / "data"
    (target / "connectivity").mkdir(parents=True)
    for file in (houses.folder / "connectivity").iterdir():
        content = json.loads(file.read_text())
        if "001007" in file.name:  # of val_unseen
            del content[-1]["height"]
        (target / "connectivity" / file.name).write_text(json.dumps(content))
    (target / "R2R_val_seen.json").write_text((houses.folder / "R2R_val_seen.json").read_text())
    with pytest.raises(SystemExit, match="lacks the key 'height'"):
        run("check", "--data", f"r2r:{target}")
    main(["navigate", "check", "--data", f"r2r:{target}", "--no-strict", "--json"])
    printed = capsys.readouterr()
    assert "warning" in printed.err
    assert json.loads(printed.out)["viewpoints"] == len(houses.graphs) - 1


def test_a_split_without_goals_is_walked_and_not_scored(run, tmp_path, capsys):
    (tmp_path / "connectivity").mkdir()
    (tmp_path / "connectivity" / "street_connectivity.json").write_text(json.dumps(entries(POSITIONS, EDGES)))
    episode = {"path_id": 1, "scan": "street", "heading": 0.0, "path": ["v0"], "instructions": ["go"]}
    (tmp_path / "R2R_test.json").write_text(json.dumps([episode]))
    words = ["baseline", "--data", f"r2r:{tmp_path}", "--split", "test", "--json"]
    main(["navigate", *words, "--agent", "random", "--out", str(tmp_path / "walks.json")])
    printed = capsys.readouterr()
    assert "the goals of test are not public" in printed.err
    assert set(json.loads(printed.out)) == {"agent", "data", "split", "episodes"}
    assert [entry["instr_id"] for entry in json.loads((tmp_path / "walks.json").read_text())] == ["1_0"]
    main(["navigate", *words, "--agent", "stop"])
    assert "not written; give --out FILE" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="so there is no shortest path; use another agent"):
        run(*words, "--agent", "shortest")


def test_an_error_that_is_infinite_is_null(run, tmp_path):
    (tmp_path / "connectivity").mkdir()
    (tmp_path / "connectivity" / "street_connectivity.json").write_text(json.dumps(entries(POSITIONS, EDGES, {7})))
    episode = {"path_id": 1, "scan": "street", "heading": 0.0, "path": ["v0", "v5"], "instructions": ["go"]}
    (tmp_path / "R2R_val_seen.json").write_text(json.dumps([episode]))
    found = run("baseline", "--data", f"r2r:{tmp_path}", "--agent", "stop", "--json")
    assert (found["NE"], found["unreachable"], found["SR"]) == (None, 1, 0)
    with pytest.raises(SystemExit, match="from v0 to v5, which is not an edge"):
        run("check", "--data", f"r2r:{tmp_path}")


def test_help_is_light():
    code = (
        "import sys\nfrom genera.cli.main import main\n"
        "try: main(['navigate', 'baseline', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'scipy', 'gymnasium', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "--agent" in done.stdout
