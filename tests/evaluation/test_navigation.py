"""Evaluation of agents whose ways are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from genera.engine.capabilities import Walk
from genera.engine.config import RunConfig, TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.method import Method
from genera.errors import GeneraError, Lacks
from genera.evaluation.evaluate import evaluate
from genera.evaluation.navigation import behaviour, misled, revisits
from genera.files import write_json, write_text
from genera.measures.catalogue import definition
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.walkers import AGENTS, shortest
from genera.report.page import write_report
from genera.uses.run import Run
from genera.uses.settings import EvaluateConfig
from small_graphs import street, table_of

FEW = EvaluateConfig(items=60)


class Known(Method):
    """Walks and speaks as it is told: "obedient" goes where its words were written for, "deaf" to the goal whatever it
    is told, "speaker" has no agent, "lost" stays where it is."""

    dataset = NavigationData

    def __init__(self, data, kind):
        super().__init__(None, data.assets)
        self.weight = nn.Parameter(torch.zeros(1))
        self.kind, self.data = kind, data
        self.way = {}
        for split in ("val_seen", "val_unseen"):
            for episode, path in zip(data.table(split).episodes, data.table(split).reference, strict=True):
                self.way[episode.instruction] = path

    def navigate(self, table, data):
        if self.kind == "speaker":
            raise Lacks("no agent.")
        if self.kind == "deaf":
            paths = shortest(table)
        elif self.kind == "lost":
            paths = table.start[:, None]
        else:
            paths = np.stack([self.way[episode.instruction] for episode in table.episodes])
            strays = paths[:, 0] != table.start  # words for another place: it does not know what to do
            paths[strays] = -1
            paths[strays, 0] = table.start[strays]
        words = [episode.instruction.split() for episode in table.episodes]
        attention = [
            np.full(((path >= 0).sum(), len(own)), 1 / len(own), np.float32)
            for path, own in zip(paths, words, strict=True)
        ]
        return Walk(paths, attention=attention, words=words)

    def describe(self, nodes, headings, *, data, generator=None):
        if self.kind == "lost":
            raise Lacks("no speaker.")
        told = {path.tobytes(): text for text, path in self.way.items()}
        return [told[path.tobytes()] for path in nodes]


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig())


def run_of(data, kind, path):
    path.mkdir(parents=True)
    config = RunConfig(method="t", preset="t", data=data.config, train=TrainConfig(steps=1), model=None)
    folder = RunFolder(path)
    write_text(folder.config_file, "method: t\npreset: t\ndata: {data: 'world:houses'}\n")
    return Run(folder, config, Known(data, kind), 1)


@pytest.fixture(scope="module")
def results(data, tmp_path_factory):
    found = {}
    for kind in ("obedient", "deaf", "lost", "speaker"):
        run = run_of(data, kind, tmp_path_factory.mktemp("navigation") / kind)
        if kind == "deaf":
            figures = {
                split: {"triplets": 9, "accuracy": 0.7, "majority": 0.5, "mlm": 1.5, "words_right": 0.4,
                        "classes": {"0": {"share": 0.2, "accuracy": 0.9}, "1": {"share": 0.8, "accuracy": 0.6}}}
                for split in ("valid", "val_unseen")
            }  # fmt: skip
            write_json(run.folder.artefacts / "pretrain" / "figures.json", figures)
        found[kind] = evaluate(run, FEW), run
    return found


def value(results, kind, name):
    return results[kind][0]["measures"][name]["value"]


def warnings(results, kind):
    return " ".join(f["finding"] for f in results[kind][0]["diagnosis"] if f["level"] == "warning")


@pytest.mark.parametrize("suffix", ["", "_unseen"])
def test_one_who_obeys_succeeds_and_needs_its_words(results, suffix):
    assert value(results, "obedient", f"SR{suffix}") == 1
    assert value(results, "obedient", f"nDTW{suffix}") == 1
    assert value(results, "obedient", f"SR_shuffled{suffix}") < 0.2
    assert value(results, "obedient", f"SR_random{suffix}") < 0.5
    assert value(results, "obedient", f"revisits{suffix}") == 0
    assert warnings(results, "obedient") == ""


def test_one_who_is_deaf_is_found_out(results):
    assert value(results, "deaf", "SR_unseen") == value(results, "deaf", "SR_shuffled_unseen") == 1
    assert "ignores the instruction" in warnings(results, "deaf")


def test_one_who_stays_is_told_so(results):
    assert value(results, "lost", "stopped_early") == 1
    assert value(results, "lost", "SR_gap") == 0
    assert "no better than chance" in warnings(results, "lost")
    assert "stops too early" in warnings(results, "lost")
    assert "speaker_bleu" not in results["lost"][0]["measures"]


def test_a_speaker_alone_is_measured_as_far_as_it_goes(results):
    measures = results["speaker"][0]["measures"]
    assert set(measures) == {"speaker_bleu", "speaker_bleu_unseen"}
    assert measures["speaker_bleu"]["value"] == pytest.approx(100)
    assert measures["speaker_bleu"]["n"] == 20
    example = results["speaker"][0]["instructions"][0]
    assert len(example["annotated"]) == 3


def test_what_pretraining_left_is_read(results):
    assert value(results, "deaf", "action_accuracy_unseen") == 0.7
    assert value(results, "deaf", "masked_word_nats") == 1.5
    assert results["deaf"][0]["actions"]["valid"]["1"]["share"] == 0.8


def test_what_pretraining_left_is_of_the_splits_and_data_that_are_measured(results):
    run = results["deaf"][1]
    before = run.folder.path / "evaluation.json"
    kept = before.read_bytes()
    seen = evaluate(run, replace(FEW, split="valid", measures=("pretraining",)))["measures"]
    assert set(seen) == {"action_accuracy", "action_majority", "masked_word_nats", "masked_words_right"}
    elsewhere = replace(FEW, data="world:houses-ndh", measures=("pretraining",))
    with pytest.raises(GeneraError, match="cannot be measured by 'pretraining'"):
        evaluate(run, elsewhere)
    before.write_bytes(kept)


def test_every_figure_is_in_the_catalogue(results):
    for result, _ in results.values():
        for name in result["measures"]:
            assert definition(name).title


def test_breakdowns_count_every_episode_once(results, data):
    breakdown = results["obedient"][0]["breakdowns"]["val_seen"]
    lengths = (data.table("val_seen").reference[:60] >= 0).sum(axis=1) - 1
    assert {edges: group["episodes"] for edges, group in breakdown["edges"].items()} == {
        str(n): int((lengths == n).sum()) for n in np.unique(lengths) if (lengths == n).sum() >= 5
    }
    assert all(group["SR"] == 1 for group in breakdown["scan"].values())


def test_the_split_that_is_asked_for_is_measured(data, tmp_path):
    run = run_of(data, "obedient", tmp_path / "run")
    result = evaluate(run, replace(FEW, split="valid", measures=("walks",)))
    assert (result["split"], result["items"]) == ("valid", 60)
    assert not any("unseen" in name for name in result["measures"])
    with pytest.raises(GeneraError, match="cannot be measured by 'pretraining'"):
        evaluate(run, replace(FEW, measures=("pretraining",)))


def test_other_data_have_their_own_graphs(data, tmp_path):
    told = replace(data, config=replace(data.config, graphs=tmp_path / "of the training data"))
    run = run_of(told, "deaf", tmp_path / "run")
    result = evaluate(run, replace(FEW, items=10, data="world:houses", measures=("random",)))
    assert set(result["measures"]) >= {"SR_random", "SR_random_unseen"}


def test_walks_of_the_report_stay_in_their_house(results):
    walk = results["obedient"][0]["walks"][-1]
    assert walk["split"] == "val_unseen"
    assert walk["path"] == walk["reference"]
    edges = {frozenset(edge) for edge in walk["edges"]}
    for a, b in zip(walk["path"], walk["path"][1:], strict=False):
        assert frozenset((a, b)) in edges
    assert max(walk["path"]) < len(walk["positions"])
    assert len(walk["attention"]) == len(walk["path"])
    assert len(walk["attention"][0]) == len(walk["words"])
    json.dumps(walk)


def test_misled_episodes_keep_their_ways(data):
    table = data.table("val_seen")
    other = misled(table)
    assert np.array_equal(other.reference, table.reference)
    assert sorted(e.instruction for e in other.episodes) == sorted(e.instruction for e in table.episodes)
    moved = [a.instruction != b.instruction for a, b in zip(table.episodes, other.episodes, strict=True)]
    assert np.mean(moved) > 0.95


def test_behaviour_by_hand():
    table = table_of(street(), *[["v0", "v1", "v2"]] * 4)
    paths = np.array([[0, -1, -1, -1, -1], [0, 1, 2, 3, -1], [0, 1, 4, 1, 4], [0, 1, 2, -1, -1]])
    success = np.array([0.0, 0.0, 0.0, 1.0])
    found = behaviour(table, paths, success, 3.0)
    assert found["stopped_early"].tolist() == [1, 0, 0, 0]
    assert found["passed_by"].tolist() == [0, 1, 0, 0]
    assert revisits(paths).value == pytest.approx(2 / (0 + 3 + 4 + 2))


def test_the_random_agent_is_the_floor(results, data):
    table = data.table("val_seen")
    few = replace(table, episodes=table.episodes[:60])
    ends = AGENTS["random"](few, 0)
    metres = few.goal_distance(np.array([path[path >= 0][-1] for path in ends]), np.arange(60))
    assert value(results, "lost", "SR_random") == pytest.approx((metres < 3).mean())


@pytest.mark.parametrize(("task", "own"), [("ndh", "goal_progress"), ("hanna", "requests")])
def test_the_other_tasks_have_their_own_figures(task, own, tmp_path):
    data = NavigationData.open(NavigationConfig(data=f"world:houses-{task}"))
    run = run_of(data, "deaf", tmp_path / "run")
    measures = evaluate(run, replace(FEW, items=30))["measures"]
    assert measures["SR_unseen"]["value"] == 1
    assert {own, f"{own}_unseen", "SR_gap", "SR_shuffled", "SR_random_unseen", "revisits"} <= set(measures)
    compared = {f"goal_progress_{how}" for how in ("gap", "shuffled", "random_unseen")}
    assert compared & set(measures) == (compared if task == "ndh" else set())
    if task == "ndh":
        seen, unseen = (measures[name]["value"] for name in ("goal_progress", "goal_progress_unseen"))
        assert measures["goal_progress_gap"]["value"] == pytest.approx(seen - unseen)
        assert measures["goal_progress_random"]["value"] < seen == measures["goal_progress_shuffled"]["value"]
    assert not any(name.startswith("speaker") for name in measures)
    assert 'class="plan"' in write_report(run.folder.path).read_text()


def test_the_report_draws_the_maps(results):
    result, run = results["obedient"]
    page = write_report(run.folder.path).read_text()
    assert page.count('class="plan"') == page.count('class="walked"') == len(result["walks"]) == 12
    assert page.count("SR by house") >= 2
    assert "words attended to" in page
    assert result["instructions"][0]["written"] in page
    assert "neighbour 1" in write_report(results["deaf"][1].folder.path).read_text()
