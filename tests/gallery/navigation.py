"""Agents whose ways are known, on the world of houses."""

from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gallery import Specimen, Truth
from genera.engine.capabilities import Walk
from genera.engine.config import RunConfig, TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.method import Method
from genera.evaluation.evaluate import evaluate
from genera.evaluation.storage import Stored
from genera.files import write_text
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.walkers import AGENTS, shortest, without_repeats
from genera.run import Run

EPISODES = 120
SPLITS = ("val_seen", "val_unseen")


@cache
def data() -> NavigationData:
    return NavigationData.open(NavigationConfig())


class Agent(Method):
    dataset = NavigationData

    def __init__(self, health: str) -> None:
        super().__init__(None, data().assets)
        self.weight = nn.Parameter(torch.zeros(1))
        self.health, self.way = health, {}
        for split in SPLITS:
            table = data().table(split)
            for episode, path in zip(table.episodes, table.reference, strict=True):
                self.way[episode.instruction] = path

    def navigate(self, table, opened):
        """Obedient agents go the way that their words were written for, others one that no word decides."""
        if self.health in ("obedient", "half obedient"):
            paths = np.stack([self.way[episode.instruction] for episode in table.episodes])
            strays = paths[:, 0] != table.start  # words for another place
            if self.health == "half obedient":
                strays |= np.arange(len(paths)) % 2 == 0
            paths[strays] = -1
            paths[strays, 0] = table.start[strays]
        elif self.health == "looping":
            there = AGENTS["straightest"](table, 0)[:, 1:2]
            there = np.where(there < 0, table.start[:, None], there)
            paths = without_repeats(np.concatenate([table.start[:, None], there] * 4, axis=1))
        elif self.health == "ignores the instruction":
            paths = shortest(table)
        else:
            paths = AGENTS[{"random": "random", "stuck": "stop", "straight on": "straightest"}[self.health]](table, 1)
        return Walk(paths)


def walked(health: str, folder: Path) -> Stored:
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "config.yaml", "method: made\npreset: made\ndata: {data: 'world:houses'}\n")
    config = RunConfig(method="made", preset="made", data=data().config, train=TrainConfig(steps=1), model=None)
    run = Run(RunFolder(folder), config, Agent(health), step=1)
    return evaluate(run, measures=("navigation", "shuffled", "random"), navigation={"episodes": EPISODES})


def _agents() -> list[Specimen]:
    made: list[tuple[str, Truth]] = [
        ("obedient", "sound"),
        ("half obedient", "broken"),
        ("random", "broken"),
        ("straight on", "broken"),
        ("stuck", "broken"),
        ("looping", "broken"),
        ("ignores the instruction", "broken"),
    ]
    uses = ("rollouts in seen houses", "rollouts in unseen houses")
    return [
        Specimen("Agents", name, dict.fromkeys(uses, truth), partial(walked, name), poor=name != "half obedient")
        for name, truth in made
    ]


SPECIMENS = _agents()
