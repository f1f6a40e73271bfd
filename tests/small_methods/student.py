"""Per-rank state and a reference to another run."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from genera.data.cache import build_once, cache_folder
from genera.engine.folder import RunFolder
from genera.engine.import_weights import adopt
from genera.engine.method import Method
from genera.engine.player import Player
from small_methods.gan import SmallGan
from small_methods.ring import LINEAR, Points, Ring, RingAssets, SmallConfig, configured


@dataclass(frozen=True, kw_only=True)
class StudentConfig(SmallConfig):
    teacher: str = ""
    """Run folder of a small-gan; one with random weights if empty."""


@dataclass
class Carried(Points):
    hidden: Tensor


class SmallStudent(Method):
    """A recurrent student of a frozen teacher. Row i of each batch continues with the hidden state of row i."""

    dataset = Ring

    def __init__(self, config: StudentConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.student = nn.ModuleDict({"cell": nn.GRUCell(2, 8), "head": nn.Linear(8, 1)})
        self.register_rank_state("hidden")
        self.register_reference("teacher", config.teacher or small_teacher())

    def players(self) -> dict[str, Player]:
        optimiser = torch.optim.Adam(self.student.parameters(), lr=self.config.lr, eps=1e-4)
        return {"student": Player(self.student, optimiser, LINEAR)}

    def update(self, batch, step) -> None:
        before = self.hidden if self.hidden is not None else batch.x.new_zeros(len(batch), 8)
        after: list[Tensor] = []

        def distil(rows, step):
            hidden = self.student["cell"](rows.x, rows.hidden)
            after.append(hidden.detach())
            with torch.no_grad():
                target = self.reference("teacher").discriminator(rows.x)
            return {"loss": (self.student["head"](hidden) - target).square().mean()}

        step.minimise("student", distil, Carried(ids=batch.ids, x=batch.x, hidden=before))
        self.hidden = torch.cat(after)


def small_teacher() -> str:
    """The folder of a small-gan with random weights, made once for each cache."""
    folder = cache_folder() / "small-teacher"

    def make(temporary: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            config = configured("small-gan")
            adopt(config, SmallGan(config.model, RingAssets(2.0)), RunFolder(temporary))

    build_once(folder, make)
    return str(folder)
