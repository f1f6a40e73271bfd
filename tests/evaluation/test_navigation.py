"""Evaluation of agents whose ways are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from genera.engine.capabilities import PretrainingFigures, Walk
from genera.engine.config import RunConfig, TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.method import Method
from genera.errors import GeneraError, Lacks
from genera.evaluation.evaluate import evaluate
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.shuffled_instructions import with_shuffled_instructions
from genera.evaluation.verdict import grades
from genera.files import write_text
from genera.measures.navigation import behaviour, revisits
from genera.measures.schema import Figures
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.walkers import AGENTS, shortest
from genera.report.page import write_report
from genera.run import Run
from small_graphs import street, table_of

FEW = {"episodes": 120}


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

    def pretraining_figures(self):
        if self.kind != "deaf":
            raise Lacks("no pre-training.")
        classes = {"0": {"share": 0.2, "accuracy": 0.9}, "1": {"share": 0.8, "accuracy": 0.6}}
        figures = PretrainingFigures(9, accuracy=0.7, majority=0.5, mlm=1.5, words_right=0.4, classes=classes)
        return {"valid": figures, "val_unseen": figures}

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
        found[kind] = evaluate(run, navigation=FEW), run
    return found


def value(results, kind, key):
    return values(results[kind][0])[key]


def values(stored):
    return {figure.key: figure.value for figure in stored.figures}


def blocks(stored, section):
    return [block for block in stored.blocks if block["section"] == section]


def warnings(results, kind):
    return " ".join(f["finding"] for f in results[kind][0].diagnosis if f["level"] == "warning")


@pytest.mark.parametrize("split", ["val_seen", "val_unseen"])
def test_one_who_obeys_succeeds_and_needs_its_words(results, split):
    assert value(results, "obedient", f"SR/{split}") == 1
    assert value(results, "obedient", f"nDTW/{split}") == 1
    assert value(results, "obedient", f"SR_shuffled/{split}") < 0.2
    assert value(results, "obedient", f"SR_random/{split}") < 0.5
    assert value(results, "obedient", f"revisits/{split}") == 0
    assert warnings(results, "obedient") == ""


def test_one_who_is_deaf_is_found_out(results):
    assert value(results, "deaf", "SR/val_unseen") == value(results, "deaf", "SR_shuffled/val_unseen") == 1
    assert "success rate with another episode's instruction 100 %" in warnings(results, "deaf")
    assert "ignores the instruction" in " ".join(finding["advice"] for finding in results["deaf"][0].diagnosis)


def test_one_who_stays_is_told_so(results):
    assert value(results, "lost", "stopped_early/val_seen") == 1
    assert value(results, "lost", "SR_gap") == 0
    assert "Rollouts in unseen houses are poor" in warnings(results, "lost")
    assert "stops too early" in warnings(results, "lost")
    assert "speaker" not in results["lost"][0].results


def test_a_speaker_alone_is_measured_as_far_as_it_goes(results):
    stored = results["speaker"][0]
    for split in ("val_seen", "val_unseen"):
        measured = Figures(stored.figures).of(split=split)
        assert measured["speaker_bleu"] == pytest.approx(100)
        assert measured["speaker_bleu_unrelated"] < measured["speaker_bleu_annotated"] < 100
    assert {figure.n for figure in stored.figures} == {40}
    assert set(grades(stored.diagnosis).values()) == {"good"}
    (block,) = blocks(stored, "Instructions")
    assert [line["role"] for line in block["cards"][0]] == ["house", "speaker", *["annotated"] * 3]


def test_what_pretraining_left_is_read(results):
    assert value(results, "deaf", "action_accuracy/val_unseen") == 0.7
    assert value(results, "deaf", "masked_word_nats/val_seen") == 1.5
    assert blocks(results["deaf"][0], "Action prediction")[0]["rows"][1] == ["neighbour 1", 0.8, 0.6]
    assert "pretraining" not in results["obedient"][0].results


def test_what_pretraining_left_is_of_the_splits_and_data_that_are_measured(results):
    run = results["deaf"][1]
    seen = evaluate(run, EvaluateConfig(split="valid"), measures=("pretraining",))
    assert set(values(seen)) == {
        f"{name}/val_seen" for name in ("action_accuracy", "action_majority", "masked_word_nats", "masked_words_right")
    }
    for elsewhere, reason in (
        (EvaluateConfig(data="world:houses-ndh"), "its figures are those of world:houses, taken as pre-training"),
        (EvaluateConfig(split="train"), "its figures are those of val_seen and val_unseen, taken"),
    ):
        with pytest.raises(GeneraError, match=f"cannot be measured by 'pretraining': {reason}"):
            evaluate(run, elsewhere, measures=("pretraining",))


def test_breakdowns_are_of_the_episodes_walked(results, data):
    shown = {block["title"]: block for block in blocks(results["obedient"][0], "Where it succeeds")}
    table = data.table("val_seen")
    lengths = (table.reference[:120] >= 0).sum(axis=1) - 1
    points = shown["SR by edges of the reference"]["series"]["seen houses"]
    assert points == [[float(n), 1.0] for n in np.unique(lengths) if (lengths == n).sum() >= 5]
    houses, counts = np.unique([episode.scan for episode in table.episodes[:120]], return_counts=True)
    bars = shown["SR by house, seen houses"]
    assert set(bars["values"]) == {1.0}
    assert sorted(bars["labels"]) == [
        f"{house}: 100.0% of {count} episodes" for house, count in zip(houses, counts, strict=True) if count >= 5
    ]


def test_the_split_that_is_asked_for_is_measured(data, tmp_path):
    run = run_of(data, "obedient", tmp_path / "run")
    result = evaluate(run, EvaluateConfig(split="valid"), measures=("navigation",), navigation=FEW)
    assert result.split == "val_seen"
    assert {figure.n for figure in result.figures if figure.measure == "SR"} == {120}
    assert {figure.split for figure in result.figures} == {"val_seen"}
    with pytest.raises(GeneraError, match="cannot be measured by 'pretraining': no pre-training"):
        evaluate(run, measures=("pretraining",))
    with pytest.raises(GeneraError, match="cannot be measured by 'random': no agent"):
        evaluate(run_of(data, "speaker", tmp_path / "speaker"), measures=("random",))


def test_other_data_have_their_own_graphs(data, tmp_path):
    told = replace(data, config=replace(data.config, graphs=tmp_path / "of the training data"))
    run = run_of(told, "deaf", tmp_path / "run")
    elsewhere = EvaluateConfig(data="world:houses")
    result = evaluate(run, elsewhere, measures=("random",), navigation={"episodes": 10})
    assert values(result).keys() >= {"SR_random/val_seen", "SR_random/val_unseen"}


def test_walks_of_the_report_stay_in_their_house(results):
    walk = blocks(results["obedient"][0], "Rollouts")[0]["walks"][-1]
    assert walk["split"] == "val_unseen"
    assert walk["path"] == walk["reference"]
    edges = {frozenset(edge) for edge in walk["edges"]}
    for a, b in zip(walk["path"], walk["path"][1:], strict=False):
        assert frozenset((a, b)) in edges
    assert max(walk["path"]) < len(walk["positions"])
    assert len(walk["attention"]) == len(walk["path"])
    assert len(walk["attention"][0]) == len(walk["words"])
    json.dumps(walk)


def test_episodes_with_shuffled_instructions_keep_their_ways(data):
    table = data.table("val_seen")
    other = with_shuffled_instructions(table)
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
    few = replace(table, episodes=table.episodes[:120])
    ends = AGENTS["random"](few, 0)
    metres = few.goal_distance(np.array([path[path >= 0][-1] for path in ends]), np.arange(120))
    assert value(results, "lost", "SR_random/val_seen") == pytest.approx((metres < 3).mean())


@pytest.mark.parametrize(("task", "own"), [("ndh", "goal_progress"), ("hanna", "requests")])
def test_the_other_tasks_have_their_own_figures(task, own, tmp_path):
    data = NavigationData.open(NavigationConfig(data=f"world:houses-{task}"))
    run = run_of(data, "deaf", tmp_path / "run")
    measured = values(evaluate(run, navigation={"episodes": 30}))
    assert measured["SR/val_unseen"] == 1
    wanted = {"SR_gap", "SR_shuffled/val_seen", "SR_random/val_unseen", "revisits/val_seen"}
    assert {f"{own}/val_seen", f"{own}/val_unseen", *wanted} <= set(measured)
    compared = {f"goal_progress_{how}" for how in ("gap", "shuffled/val_seen", "random/val_unseen")}
    assert compared & set(measured) == (compared if task == "ndh" else set())
    if task == "ndh":
        seen, unseen = (measured[f"goal_progress/{split}"] for split in ("val_seen", "val_unseen"))
        assert measured["goal_progress_gap"] == pytest.approx(seen - unseen)
        shuffled, random = (measured[f"goal_progress_{how}/val_seen"] for how in ("shuffled", "random"))
        assert random < seen == shuffled
    assert not any(name.startswith("speaker") for name in measured)
    assert 'class="plan"' in write_report(run.folder.path).read_text()


def test_the_report_draws_the_maps(results):
    result, run = results["obedient"]
    page = write_report(run.folder.path).read_text()
    assert page.count('class="plan"') == page.count('class="walked"') == 12
    assert page.count("SR by house") >= 2
    assert "words attended to" in page
    assert blocks(result, "Instructions")[0]["cards"][0][1]["text"] in page
    assert "neighbour 1" in write_report(results["deaf"][1].folder.path).read_text()
