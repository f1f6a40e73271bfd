"""`genera navigate RUN` and its Python forms, on runs of seconds."""

import base64
import json
import math
import re

import numpy as np
import pytest

from commands import genera
from genera.errors import GeneraError
from genera.navigation.sources import open_navigation
from genera.navigation.trajectories import check_trajectories
from genera.run import load

SMALL = "--limit 60 --steps 3 --stages finetune --validate-every 0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """runs(task) → a run of that task, trained for three steps."""
    made = {}

    def run(task):
        if task not in made:
            made[task] = tmp_path_factory.mktemp("runs") / task
            preset = "tiny" if task == "r2r" else f"{task}-tiny"
            size = (
                "--agent.hanna.hidden 16" if task == "hanna" else f"--agent.{task}.hidden 16 --agent.{task}.context 16"
            )
            words = f"train prevalent:{preset} {SMALL} {size} --agent.{task}.batch-size 8 --agent.{task}.reader own"
            trained = genera(*words.split(), "--out", made[task])
            assert trained.code == 0, trained.err
        return made[task]

    return run


@pytest.fixture(scope="module")
def episode():
    return open_navigation("world:houses").table("val_unseen").episodes[0]


def place(episode):
    return ["--scan", episode.scan, "--start", episode.path[0]]


def test_one_walk(runs, episode):
    told = genera("navigate", runs("r2r"), episode.instruction, *place(episode), "--goal", episode.path[-1])
    assert told.code == 0, told.err
    *steps, end = told.lines
    assert episode.path[0] in steps[0]
    assert len(re.findall(r" \d\.\d\d", steps[0])) == 3  # the words attended to most, a comma may be one of them
    assert end.endswith("m from the goal.")
    found = genera("navigate", "walk", runs("r2r"), episode.instruction, *place(episode), "--json").json
    assert found["path"] == [line.split()[1] for line in steps]
    assert len(found["headings"]) == len(found["elevations"]) == len(found["path"])
    assert all(sum(row) == pytest.approx(1, abs=1e-4) for row in found["attention"])
    assert "goal_distance" not in found


def test_the_heading_is_where_it_looks_first(runs, episode):
    run = load(runs("r2r"))
    walks = [
        run.navigate(episode.instruction, scan=episode.scan, start=episode.path[0], heading=heading)
        for heading in (0.0, math.pi)
    ]
    assert [round(math.degrees(walk["headings"][0])) for walk in walks] == [0, 180]
    assert walks[0]["attention"] != walks[1]["attention"]


def test_a_split_is_walked_scored_and_written(runs, tmp_path):
    out = tmp_path / "submission.json"
    found = genera("navigate", runs("r2r"), "--split", "val_seen", "--out", out, "--json").json
    scored = genera("navigate", "score", out, "--split", "val_seen", "--json").json
    for name in ("TL", "NE", "SR", "OSR", "SPL", "nDTW", "SDTW", "CLS"):
        assert scored[name] == found[name], name
    assert load(runs("r2r")).navigate_split("val_seen")["NE"] == found["NE"]


def test_the_figures_of_the_other_tasks(runs, tmp_path):
    ndh = genera("navigate", runs("ndh"), "--split", "val_unseen", "--json").json
    assert "goal_progress" in ndh
    out = tmp_path / "hanna.json"
    hanna = genera("navigate", runs("hanna"), "--split", "val_unseen", "--out", out, "--json").json
    scored = genera("navigate", "score", out, "--data", "world:houses-hanna", "--split", "val_unseen", "--json").json
    assert scored["requests"] == hanna["requests"]
    assert scored["SPL"] == hanna["SPL"]


def test_agents_of_other_tasks_take_a_sentence_too(runs):
    table = open_navigation("world:houses-hanna").table("val_unseen")
    episode = table.episodes[0]
    options = [*place(episode), "--goal", episode.goals[0], "--json"]
    found = genera("navigate", runs("hanna"), episode.instruction, *options).json
    assert found["requests"] >= 0
    nodes = table.nodes([found["path"]] + [e.path[:1] for e in table.episodes[1:]])
    check_trajectories(table, nodes)
    episode = open_navigation("world:houses-ndh").table("val_unseen").episodes[0]
    found = genera("navigate", runs("ndh"), "piano", *place(episode), "--json").json
    assert "piano" in "".join(found["words"]).replace("##", "")


def test_a_split_without_goals_can_only_be_written(runs, episode, tmp_path):
    source = open_navigation("world:houses")
    entry = {
        "path_id": 7, "scan": episode.scan, "heading": 0.0, "path": episode.path[:1], "instructions": ["go on ."] * 3,
    }  # fmt: skip
    (tmp_path / "R2R_test.json").write_text(json.dumps([entry]))
    (tmp_path / "R2R_train.json").write_text((source.folder / "R2R_train.json").read_text())
    (tmp_path / "connectivity").symlink_to(source.graphs_at)
    out = tmp_path / "out.json"
    told = genera("navigate", runs("r2r"), "--data", f"r2r:{tmp_path}", "--split", "test", "--out", out)
    assert "goals of test are not public" in told.err
    assert [e["instr_id"] for e in json.loads(out.read_text())] == ["7_0", "7_1", "7_2"]


def test_a_long_instruction_is_cut_with_a_warning(runs, episode):
    long = " ".join(["go left past the sofa"] * 100)
    told = genera("navigate", runs("r2r"), long, *place(episode), "--json")
    assert "warning: the instruction has 502 tokens; this agent reads only 80 of them." in told.err
    assert len(told.json["words"]) == 80
    assert told.json["words"][-1] == "[SEP]"


def test_bad_input(runs, episode):
    run, there = runs("r2r"), place(episode)

    def error(*words):
        return genera("navigate", run, *words).error

    assert error(" ", *there) == "the instruction is empty; give it at least one word."
    assert error("go", "--scan", "house", "--start", "x").startswith("unknown scan 'house'")
    strange = error("go", "--scan", "house001003", "--start", "x")
    assert strange.startswith("unknown viewpoint of scan house001003: 'x'")
    assert strange.endswith(" more.")
    assert len(strange) < 400
    assert "unknown viewpoint of scan house001003: 'nowhere'" in error("go", *there, "--goal", "nowhere")
    assert "--heading must be a finite number" in error("go", *there, "--heading", "nan")
    assert "give an instruction with --scan and --start" in error("go", "--start", "x")
    assert error("go", *there, "--out", "x.json") == "--out writes the trajectories of a split; add --split SPLIT."
    assert error("go", "--split", "val_seen") == "give either an instruction or --split."
    assert "unknown split of world:houses: 'val_sen'; did you mean val_seen" in error("--split", "val_sen")
    assert "nowhere" in genera("navigate", "nowhere", "go", *there).error


def test_a_feature_file_takes_the_place_of_made_up_views(episode, tmp_path):
    graphs = open_navigation("world:houses").graphs
    random = np.random.default_rng(0)
    lines = [
        "\t".join([scan, name, "640", "480", "60", base64.b64encode(views.tobytes()).decode()])
        for scan, name, views in zip(
            np.asarray(graphs.scans)[graphs.scan_of],
            graphs.names,
            random.standard_normal((len(graphs), 36, 4), np.float32),
            strict=True,
        )
    ]
    file, few = tmp_path / "views.tsv", tmp_path / "few.tsv"
    file.write_text("\n".join(lines))
    few.write_text("\n".join(lines[1:]))
    words = f"train prevalent:tiny {SMALL} --agent.r2r.hidden 16 --agent.r2r.context 16 --agent.r2r.reader own".split()
    refused = genera(*words, "--features", file, "--out", tmp_path / "run")
    assert refused.error.endswith("has views of 4 features, not 32; give --view-size 4.")
    refused = genera(*words, "--features", few, "--view-size", "4", "--out", tmp_path / "run")
    assert "lacks the features of 1 of 1221 viewpoints" in refused.error
    assert "--allow-missing" in refused.error
    trained = genera(*words, "--features", file, "--view-size", "4", "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    told = genera("navigate", tmp_path / "run", "go", *place(episode))
    assert episode.path[0] in told.lines[0]
    moved = file.rename(tmp_path / "moved.tsv")
    missing = genera("navigate", tmp_path / "run", "go", *place(episode)).error
    assert "views.tsv does not exist; check --features" in missing
    again = genera("navigate", tmp_path / "run", "go", *place(episode), "--features", moved)
    assert again.lines == told.lines
    few = ["--measures", "navigation", "--navigation.episodes", "8", "--json"]
    measured = genera("evaluate", tmp_path / "run", "--features", moved, *few)
    figures = genera("navigate", tmp_path / "run", "--split", "val_seen", "--features", moved, "--json").json
    assert measured.json["counts"]["SR/val_seen"] == 8
    assert 0 <= figures["SR"] <= 1


def test_a_goal_that_no_way_leads_to(runs, tmp_path):
    from small_graphs import EDGES, POSITIONS, entries

    (tmp_path / "connectivity").mkdir()
    (tmp_path / "connectivity" / "street_connectivity.json").write_text(
        json.dumps(entries(POSITIONS, EDGES, excluded={7}))
    )
    episode = {"path_id": 1, "scan": "street", "heading": 0.0, "path": ["v0", "v1"], "instructions": ["go ."]}
    (tmp_path / "R2R_train.json").write_text(json.dumps([episode]))
    run = load(runs("r2r"))
    street = {"scan": "street", "start": "v0", "data": f"r2r:{tmp_path}"}
    assert run.navigate("go", goal="v2", **street)["path"][0] == "v0"
    with pytest.raises(GeneraError, match="no path leads from its start v0 to its goal v5 in scan street"):
        run.navigate("go", goal="v5", **street)
    with pytest.raises(GeneraError, match="viewpoint v7 of scan street is excluded"):
        run.navigate("go", **(street | {"start": "v7"}))


# -- search -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    out = tmp_path_factory.mktemp("speaker") / "run"
    size = "--speaker.hidden 16 --speaker.embedding 8 --speaker.batch-size 8"
    words = f"train prevalent:tiny --limit 60 --steps 2 --stages speaker --validate-every 0 {size}"
    trained = genera(*words.split(), "--out", out)
    assert trained.code == 0, trained.err
    return out


def test_routes_are_re_ranked_by_a_speaker(runs, speaker, episode, tmp_path):
    words = ["--split", "val_unseen", "--candidates", "5", "--json"]
    alone = genera("navigate", runs("r2r"), *words, "--speaker-weight", "0").json
    file = tmp_path / "walks.json"
    judged = genera("navigate", runs("r2r"), *words, "--speaker", speaker, "--out", file).json
    for figures in (alone, judged):
        assert figures["TL_explored"] >= figures["TL"]
        assert 0 <= figures["SPL_explored"] <= figures["SPL"] <= figures["SR"]
    assert alone["TL"] != judged["TL"]
    scored = genera("navigate", "score", file, "--split", "val_unseen", "--json").json
    assert scored["SR"] == judged["SR"]
    one = genera("navigate", runs("r2r"), episode.instruction, *place(episode), *words[2:], "--speaker", speaker).json
    assert one["path"][0] == episode.path[0]
    assert "attention" not in one


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--candidates", "0"], "--candidates must be at least 1, got 0"),
        (["--candidates", "3"], "has no speaker; use a run whose --stages have one"),
        (["--speaker-weight", "0.5"], "re-rank candidate routes; add --candidates 40"),
    ],
)
def test_searches_that_cannot_be(runs, words, message):
    told = genera("navigate", runs("r2r"), "--split", "val_unseen", *words)
    assert told.code == 1
    assert message in told.err


def test_agents_of_other_tasks_do_not_search(runs):
    told = genera("navigate", runs("ndh"), "--split", "val_unseen", "--candidates", "3")
    assert told.code == 1
    assert "has no agent of R2R" in told.err
