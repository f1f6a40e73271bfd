"""Several turns of one player in a step: their averages, telemetry and shared chances."""

import torch
from torch.testing import assert_close

from genera.data.batch import Batch
from genera.engine.config import TrainConfig
from genera.engine.player import Player
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol

CPU = torch.device("cpu")


def line():
    network = torch.nn.Linear(1, 1)
    player = Player(network, torch.optim.SGD(network.parameters(), lr=0.1), lambda step, progress: 1.0)
    config, ranks = TrainConfig(steps=10, ema=0.5, clip=0.0), Ranks(0, 1, CPU)
    return network, Step(config, ranks, enrol({"line": player}, config, ranks))


def test_the_average_moves_once_a_step_however_often_its_player_did():
    network, step = line()
    start = network.weight.detach().clone()
    batch = Batch(ids=torch.arange(4))
    for turn in ("", "penalty"):
        step.minimise("line", lambda batch, step: {"loss": network.weight.sum()}, batch, turn=turn)
    assert_close(step.trainees["line"].average[0], start)
    step.end()
    assert_close(network.weight.detach(), start - 0.2)
    assert_close(step.trainees["line"].average[0], start - 0.1)


def test_turns_keep_their_telemetry_apart():
    network, step = line()
    batch = Batch(ids=torch.arange(4))
    step.minimise("line", lambda batch, step: {"loss": network.weight.sum() * 0 + 1}, batch)
    step.minimise("line", lambda batch, step: {"loss": network.weight.sum() * 0 + 2}, batch, turn="penalty")
    figures = step.averages()
    assert (figures["loss"], figures["penalty/loss"]) == (1, 2)


def test_a_chance_is_one_for_all_ranks_and_parts_and_another_each_time():
    config, drawn = TrainConfig(steps=10, accumulate=2), []
    for rank in range(2):
        network = torch.nn.Linear(1, 1)
        player = Player(network, torch.optim.SGD(network.parameters(), lr=0.1), lambda step, progress: 1.0)
        step = Step(config, Ranks(rank, 1, CPU), enrol({"line": player}, config, Ranks(0, 1, CPU)))
        seen: list[tuple[float, float]] = []

        def loss(batch, step, seen=seen, network=network):
            seen.append((step.chance(), step.chance()))
            return {"loss": network.weight.sum()}

        for index in range(2):
            step.begin(index, 0.0)
            step.minimise("line", loss, Batch(ids=torch.arange(4)))
        drawn.append(seen)
    assert drawn[0] == drawn[1]
    first, second, third, fourth = drawn[0]
    assert first == second
    assert third == fourth
    assert len({*first, *third}) == 4
    assert all(0 <= value < 1 for pair in drawn[0] for value in pair)
