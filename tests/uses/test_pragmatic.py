"""A route is chosen by follower and speaker together."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from genera.engine.capabilities import Candidates
from genera.errors import GeneraError
from genera.measures.navigation import path_length
from genera.methods.prevalent.speaker.config import SpeakerConfig
from genera.methods.prevalent.speaker.data import SpeakerData
from genera.methods.prevalent.speaker.inference import log_likelihood
from genera.methods.prevalent.speaker.training import build_speaker, teacher_forcing
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.episodes import EpisodeTable
from genera.uses.pragmatic import RerankConfig, rerank, search_cost


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig(limit=60))


@pytest.fixture(scope="module")
def table(data):
    whole = data.table("val_unseen")
    return EpisodeTable(whole.graphs, whole.episodes[:6])


class Oracle:
    """Finds the reference and another route; as a speaker it knows which of them is described."""

    def __init__(self, table, likelier):
        self.table, self.likelier = table, likelier

    def likeliest_routes(self, table, data, count):
        other = np.full_like(table.reference, -1)
        other[:, :2] = np.stack([table.start, table.graphs.candidates[table.start, 0]], axis=1)
        scores = np.tile([-1.0, -5.0, -np.inf], (len(table), 1))
        nodes = np.stack([other, table.reference, np.full_like(other, -1)], axis=1)
        return Candidates(nodes, scores, explored=np.stack([table.start, table.reference[:, 1]], axis=1))

    def log_likelihood(self, nodes, headings, texts, *, data):
        assert len(nodes) == len(headings) == len(texts) == 2 * len(self.table)  # a missing route is not judged
        right = (nodes == np.repeat(self.table.reference, 2, axis=0)).all(axis=1)
        assert texts == [episode.instruction for episode in self.table.episodes for _ in range(2)]
        return np.where(right, 0.0, -self.likelier)


def run_of(method, data):
    return SimpleNamespace(method=SimpleNamespace(assets=data.assets), able=lambda capability, to_do: method)


@pytest.mark.parametrize(("weight", "likelier", "right"), [
    (0.0, 9.0, False), (0.5, 9.0, True), (0.5, 3.9, False), (0.5, 4.1, True), (0.95, 9.0, True), (1.0, 0.1, True),
])  # fmt: skip
def test_the_weight_decides_between_follower_and_speaker(data, table, weight, likelier, right):
    config = RerankConfig(candidates=3, speaker_weight=weight)
    walk, found = rerank(run_of(Oracle(table, likelier), data), table, data, config)
    assert (walk.paths == found.nodes[:, int(right)]).all()


def test_what_a_search_costs_on_foot(data, table):
    _, found = rerank(run_of(Oracle(table, 9.0), data), table, data, RerankConfig(candidates=3))
    walk = SimpleNamespace(paths=table.reference)
    figures = search_cost(table, walk, found, np.ones(len(table)))
    np.testing.assert_allclose(figures["TL_explored"], path_length(table.graphs, table.reference), rtol=1e-6)
    np.testing.assert_allclose(figures["SPL_explored"], 1.0)  # on the way to the goal nothing is lost
    away = replace(found, explored=np.stack([table.reference[:, 1], table.start], axis=1))
    longer = search_cost(table, walk, away, np.ones(len(table)))
    detour = table.graphs.distance(table.start, table.reference[:, 1])
    np.testing.assert_allclose(longer["TL_explored"], figures["TL_explored"] + detour, rtol=1e-6)
    assert (longer["SPL_explored"] < 1).all()


def test_the_likelihood_of_an_instruction_is_the_sum_over_its_words(data):
    speaker = build_speaker(SpeakerConfig(hidden=16, embedding=8), data.assets).eval()
    paths = data.paths("val_unseen")
    texts = paths.texts[:9]
    found = log_likelihood(speaker, data, paths.nodes[:9], paths.headings[:9], texts, 80)
    for row in range(9):
        batch = SpeakerData(data, 80).examples("val_unseen").batch(np.array([row]))
        assert -found[row] == pytest.approx(float(teacher_forcing(speaker, batch)["loss"].detach()), rel=1e-5)
    with pytest.raises(GeneraError, match="is empty"):
        log_likelihood(speaker, data, paths.nodes[:1], paths.headings[:1], [" "], 80)


@pytest.mark.parametrize(("settings", "message"), [
    ({"candidates": 0}, "--candidates must be at least 1"),
    ({"candidates": 2, "speaker_weight": 1.5}, "--speaker-weight must lie in 0 .. 1"),
    ({"candidates": 2, "speaker_weight": 0.0, "speaker": object()}, "is not used; drop --speaker"),
])  # fmt: skip
def test_bad_settings_are_named(settings, message):
    with pytest.raises(GeneraError, match=message):
        RerankConfig(**settings).check()
