"""`genera describe`: the speaker of a run, from the command line and from Python."""

import json

import pytest

import genera
from commands import genera as command
from genera.errors import GeneraError
from genera.navigation.sources import open_navigation
from training import TINY_PREVALENT, configured

ONE_STEP = TINY_PREVALENT | {"train.steps": 1, "train.validate_every": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("describe")
    config = configured("prevalent:tiny", ONE_STEP | {"model.stages": ["speaker"]})
    return str(genera.train(config, out / "speaker").path)


@pytest.fixture(scope="module")
def episode():
    return open_navigation("world:houses").table("val_seen").episodes[0]


def test_a_path_in_words(run, episode):
    place = ["--scan", episode.scan, "--heading", str(episode.heading)]
    shown = command("describe", run, *episode.path, *place)
    assert shown.code == 0, shown.err
    walk = {"scan": episode.scan, "path": list(episode.path), "heading": episode.heading}
    written = genera.load(run).describe([walk])
    assert [shown.out.rstrip("\n")] == written
    assert written[0]


def test_a_file_of_paths_as_json(run, episode, tmp_path):
    walks = [{"scan": episode.scan, "path": list(episode.path[:n])} for n in (3, 1)]
    (tmp_path / "walks.json").write_text(json.dumps(walks))
    shown = command("describe", run, "--input", str(tmp_path / "walks.json"), "--json", "--max-tokens", "5")
    texts = json.loads(shown.out)
    assert len(texts) == 2
    assert all(1 <= len(text.split()) <= 5 for text in texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either the viewpoints of one path"),
        (["a", "b"], "give the scan of the viewpoints"),
        (["a", "--input", "x.json"], "give either the viewpoints"),
        (["--input", "nowhere.json"], "nowhere.json does not exist"),
        (["nothing", "--scan", "house000000"], "unknown viewpoint of scan house000000"),
        (["nothing", "--scan", "house9"], "unknown scan"),
    ],
)
def test_bad_paths_get_one_sentence(run, arguments, message):
    shown = command("describe", run, *arguments)
    assert message in shown.error


def test_bad_walks_in_python(run, episode):
    loaded = genera.load(run)
    with pytest.raises(GeneraError, match="at least one"):
        loaded.describe([])
    with pytest.raises(GeneraError, match="path 0 needs a scan"):
        loaded.describe([{"path": ["a"]}])
    with pytest.raises(GeneraError, match="path 0 needs a list"):
        loaded.describe([{"scan": episode.scan, "path": "v1"}])
    for path in ([1, 2], [None], [["v1"]]):
        with pytest.raises(GeneraError, match="path 0 needs a list of at least one viewpoint"):
            loaded.describe([{"scan": episode.scan, "path": path}])
    with pytest.raises(GeneraError, match=r"a heading \(radians\); got .* and nan"):
        loaded.describe([{"scan": episode.scan, "path": ["v1"], "heading": float("nan")}])
    ends = [episode.path[0], episode.path[-1]]
    with pytest.raises(GeneraError, match="which is not an edge"):
        loaded.describe([{"scan": episode.scan, "path": ends}])


def test_a_run_without_a_speaker_says_so(tmp_path, episode):
    config = configured("prevalent:tiny", ONE_STEP | {"model.stages": ["pretrain"], "model.pretrain.synthetic": 0.0})
    loaded = genera.load(genera.train(config, tmp_path / "run").path)
    with pytest.raises(GeneraError, match="no speaker; use a run whose --stages have one"):
        loaded.describe([{"scan": episode.scan, "path": list(episode.path)}])
