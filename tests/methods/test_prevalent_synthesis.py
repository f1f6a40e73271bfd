import dataclasses
import json

import numpy as np
import pytest
import torch

from genera.engine.ranks import Ranks
from genera.errors import GeneraError
from genera.files import write_json
from genera.methods.prevalent.speaker import synthesis
from genera.methods.prevalent.speaker.config import SpeakerConfig, SynthesisConfig
from genera.methods.prevalent.speaker.shards import SyntheticSet
from genera.methods.prevalent.speaker.synthesis import plan_paths
from genera.methods.prevalent.speaker.training import build_speaker
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.episodes import EpisodeTable, read_r2r
from genera.navigation.graphs import enumerate_paths
from small_graphs import EDGES, POSITIONS, entries

ALONE = Ranks(0, 1, torch.device("cpu"))
FEW = SynthesisConfig(samples=2, share=0.006, max_words=4, shard_size=20, batch_size=16)


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig())


@pytest.fixture(scope="module")
def speaker(data):
    torch.manual_seed(0)
    speaker = build_speaker(SpeakerConfig(hidden=16, embedding=8), data.assets)
    with torch.no_grad():
        for parameter in speaker.parameters():
            parameter.normal_(std=0.5)
    return speaker


def run(speaker, data, folder, config=FEW, ranks=ALONE):
    """The number of shards that were written."""
    return sum(1 for _ in synthesis.synthesise(speaker, config, data, folder, ranks))


@pytest.fixture(scope="module")
def whole(speaker, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthesis") / "whole"
    assert run(speaker, data, folder) > 2
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.json"))}


def test_every_chosen_path_is_described(whole, data):
    made, planned = SyntheticSet.open(whole), plan_paths(FEW, data)
    paths = made.paths(data.graphs)
    assert len(made) == len(paths) == 2 * len(planned.nodes)
    assert np.array_equal(paths.nodes[::2], planned.nodes)
    assert np.array_equal(paths.nodes[1::2], planned.nodes)
    assert np.array_equal(paths.headings[1::2], planned.headings)
    assert all(1 <= len(text.split()) <= 4 for text in paths.texts)
    assert len({path.name for path in whole.glob("[0-9]*.json")}) == -(-len(planned.nodes) // 20)


def test_two_samples_of_a_path_differ_by_what_was_dropped(whole, speaker, data, tmp_path):
    texts = SyntheticSet.open(whole).paths(data.graphs).texts
    differing = sum(a != b for a, b in zip(texts[::2], texts[1::2], strict=True))
    assert differing > len(texts) / 8
    plain = dataclasses.replace(FEW, environment_dropout=0.0, samples=1)
    run(speaker, data, tmp_path / "plain", plain)
    same = SyntheticSet.open(tmp_path / "plain").paths(data.graphs).texts
    assert same != texts[::2]


def test_shards_are_episodes_of_r2r(whole, data):
    episodes = read_r2r(whole / "00000.json")
    table = EpisodeTable(data.graphs, tuple(episodes))
    table.check()
    assert len(episodes) == 40
    assert np.array_equal(table.reference[::2], plan_paths(FEW, data).nodes[:20, : table.reference.shape[1]])


def test_ranks_write_what_one_writes(whole, speaker, data, tmp_path):
    class Second(Ranks):
        """Rank 1 of 2, whose turn is over before rank 0's."""

        def barrier(self):
            pass

    folder = tmp_path / "ranks"
    run(speaker, data, folder, ranks=Second(1, 2, torch.device("cpu")))
    assert not (folder / "manifest.json").exists()
    run(speaker, data, folder, ranks=Second(0, 2, torch.device("cpu")))
    assert contents(folder) == contents(whole)


@pytest.mark.parametrize("damage", ["shortened", "changed", "without receipt", "missing"])
def test_a_damaged_shard_is_made_again_and_no_other(whole, speaker, data, tmp_path, damage):
    folder = tmp_path / "killed"
    written = synthesis.synthesise(speaker, FEW, data, folder, ALONE)
    next(written), next(written)
    written.close()
    shard = folder / "00001.json"
    if damage == "shortened":
        shard.write_bytes(shard.read_bytes()[:100])
    elif damage == "changed":
        shard.write_text(shard.read_text().replace('"heading": ', '"heading": 1'))
    elif damage == "missing":
        shard.unlink()
    else:
        (folder / "receipts" / "00001.json").unlink()
    kept = (folder / "00000.json").stat().st_mtime_ns
    shards = len(list(whole.glob("[0-9]*.json")))
    assert run(speaker, data, folder) == shards - 1
    assert (folder / "00000.json").stat().st_mtime_ns == kept
    assert contents(folder) == contents(whole)
    assert run(speaker, data, folder) == 0


def test_another_speaker_or_config_begins_anew(whole, speaker, data, tmp_path):
    folder = tmp_path / "run"
    shards = run(speaker, data, folder)
    assert run(speaker, data, folder, dataclasses.replace(FEW, max_words=3)) == shards
    torch.manual_seed(9)
    other = build_speaker(SpeakerConfig(hidden=16, embedding=8), data.assets)
    assert run(other, data, folder, dataclasses.replace(FEW, max_words=3)) == shards


def test_the_share_is_a_part_of_the_whole(data):
    part, all_of_them = plan_paths(FEW, data), plan_paths(dataclasses.replace(FEW, share=1.0), data)
    assert len(part.nodes) == np.ceil(0.006 * len(all_of_them.nodes))
    assert np.array_equal(all_of_them.nodes[part.ids], part.nodes)
    assert np.array_equal(all_of_them.headings[part.ids], part.headings)
    assert 0 <= all_of_them.headings.min() < 0.1
    assert 2 * np.pi - 0.1 < all_of_them.headings.max() < 2 * np.pi
    other = plan_paths(dataclasses.replace(FEW, seed=1), data)
    assert set(other.ids) != set(part.ids)


def test_paths_of_houses_to_be_explored_before(data):
    whole = dataclasses.replace(FEW, share=1.0)
    plans = [plan_paths(dataclasses.replace(whole, split=split), data) for split in ("train", "val_unseen")]
    scans = [set(data.graphs.scan_of[plan.nodes[:, 0]].tolist()) for plan in plans]
    assert [len(found) for found in scans] == [30, 8]
    assert not scans[0] & scans[1]
    with pytest.raises(GeneraError, match="split"):
        plan_paths(dataclasses.replace(whole, split="nowhere"), data)


def test_annotated_ends_can_be_left_out(data):
    everything = plan_paths(dataclasses.replace(FEW, share=1.0), data)
    apart = plan_paths(dataclasses.replace(FEW, share=1.0, exclude=True), data)
    ends = {(e.path[0], e.path[-1]) for split in ("train", "val_seen") for e in data.table(split).episodes}
    assert len(apart.nodes) == len(everything.nodes) - len(ends)
    names = data.graphs.names
    left = {(names[row[0]], names[row[row >= 0][-1]]) for row in apart.nodes}
    assert not left & ends


def test_the_real_set_and_its_overlap_with_the_annotated_paths(r2r):
    """Enumerated paths share their ends with 4,667 of the 4,675 training paths and 339 of the 340 of val_seen."""
    train, seen = r2r.table("train"), r2r.table("val_seen")
    scans = sorted({episode.scan for episode in train.episodes})
    nodes = enumerate_paths(r2r.graphs, scans)
    assert (len(nodes), int((nodes >= 0).sum())) == (178_300, 1_080_378)
    ends = set(synthesis._endpoints(r2r.graphs, nodes).tolist())
    for table, count in ((train, 4_667), (seen, 339)):
        paths = {episode.id.split("_")[0]: row for row, episode in enumerate(table.episodes)}
        found = synthesis._endpoints(r2r.graphs, table.reference[list(paths.values())])
        assert sum(pair in ends for pair in found.tolist()) == count


def test_a_synthesis_without_paths(tmp_path):
    content = [{"path_id": 1, "scan": "street", "heading": 0, "path": ["v0", "v1"], "instructions": ["go on ."] * 5}]
    write_json(tmp_path / "connectivity" / "street_connectivity.json", entries(POSITIONS, EDGES))
    write_json(tmp_path / "R2R_train.json", content)
    street = NavigationData.open(NavigationConfig(data=f"r2r:{tmp_path}"))
    with pytest.raises(GeneraError, match=r"no path in the train scans of r2r:.* has 4 to 6 edges"):
        plan_paths(FEW, street)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "no finished synthesis"),
        (lambda folder: (folder / "00000.json").unlink(), "00000.json is missing"),
        (lambda folder: (folder / "00001.json").write_text("[]"), "00001.json has changed since it was written"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 0}'), "has format 0; 1 was expected"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not readable as JSON"),
    ],
)
def test_the_reader_checks(whole, tmp_path, change, message):
    folder = tmp_path / "copy"
    folder.mkdir()
    for name, content in contents(whole).items():
        (folder / name).write_bytes(content)
    change(folder)
    with pytest.raises(GeneraError, match=message):
        SyntheticSet.open(folder)


def test_the_reader_names_viewpoints_that_the_graphs_lack(whole, r2r):
    with pytest.raises(GeneraError, match="unknown scan"):
        SyntheticSet.open(whole).paths(r2r.graphs)


def test_the_manifest_tells_what_was_done(whole, data):
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["config"] == dataclasses.asdict(FEW)
    assert manifest["data"] == "world:houses"
    assert manifest["instructions"] == 2 * manifest["paths"] == sum(s["instructions"] for s in manifest["shards"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples must be"),
        ({"samples": 3, "environment_dropout": 0.0}, "3 times the same instruction"),
        ({"share": 0.0}, "share above 0"),
        ({"environment_dropout": 1.0}, "environment-dropout must lie"),
        ({"temperature": -1.0}, "temperature"),
        ({"max_words": 0}, "max-words"),
        ({"shard_size": 0}, "shard-size"),
        ({"batch_size": 0}, "batch-size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_values_are_named(change, message):
    (complaint,) = dataclasses.replace(SynthesisConfig(), **change).check()
    assert message in complaint
