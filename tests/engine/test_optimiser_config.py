"""Optimiser and schedule as config fields: complaints, restrictions, and the player that comes of them."""

import re
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from genera.engine.optimiser_config import OptimiserConfig
from genera.engine.optimisers import player


@dataclass(frozen=True, kw_only=True)
class Restricted(OptimiserConfig):
    optimisers: ClassVar[tuple[str, ...]] = ("sgd", "asgd", "nt-asgd")
    schedules: ClassVar[tuple[str, ...]] = ("constant",)
    prefix: ClassVar[str] = "part."
    optimiser: str = "sgd"
    schedule: str = "constant"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"momentum": 0.9}, "--momentum 0.9 is not an option of --optimiser adamw"),
        ({"optimiser": "sgd", "betas": (0.9, 0.95)}, "its options: --momentum, --nesterov"),
        ({"optimiser": "sgd", "nesterov": True}, "--nesterov needs --momentum above 0"),
        ({"optimiser": "adm"}, "unknown optimiser 'adm'; did you mean"),
        ({"schedule": "constant", "decay_after": 0.5}, "--decay-after 0.5 is not an option of --schedule constant"),
        ({"schedule": "step"}, "--schedule step needs --decay-every"),
        ({"schedule": "cosine", "decay_every": 3}, "--decay-every 3 is not an option of --schedule cosine"),
        ({"schedule": "cos"}, "unknown schedule 'cos'"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"weight_decay": -1.0}, "--weight-decay must be 0 or above"),
        ({"betas": (0.5, 1.0)}, "two numbers"),
        ({"eps": 0.0}, "--eps must be above 0"),
        ({"optimiser": "rmsprop", "smoothing": 1.0}, r"--smoothing must lie in \[0, 1\)"),
        ({"warmup": -1}, "--warmup must be 0 or above"),
        ({"decay_after": 1.0}, "--decay-after is a share"),
        ({"decay_to": 2.0}, "--decay-to is a share"),
    ],
)
def test_complaints(fields, complaint):
    assert OptimiserConfig().check() == []
    complaints = OptimiserConfig(**fields).check()
    assert len(complaints) == 1
    assert re.search(complaint, complaints[0])


def test_a_method_may_restrict_them():
    assert Restricted().check() == []
    assert Restricted(optimiser="adam").check() == [
        "this method needs --part.optimiser sgd, asgd or nt-asgd, got 'adam'"
    ]
    assert Restricted(schedule="linear").check() == ["this method needs --part.schedule constant, got 'linear'"]
    (complaint,) = Restricted(momentum=0.5, optimiser="asgd").check()
    assert complaint.startswith("--part.momentum 0.5 is not an option of --part.optimiser asgd (its options: --part.av")


def test_a_player_has_the_optimiser_and_the_schedule():
    network = nn.Linear(2, 2)
    config = OptimiserConfig(optimiser="sgd", lr=0.5, momentum=0.9, nesterov=True, schedule="cosine", decay_to=0.2)
    trained = player(network, config, clip=3.0)
    group = trained.optimiser.param_groups[0]
    assert isinstance(trained.optimiser, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["nesterov"], trained.clip) == (0.5, 0.9, True, 3.0)
    assert trained.schedule(0, 0.5) == pytest.approx(0.6)
    assert player(network, config, lr=0.1).optimiser.param_groups[0]["lr"] == 0.1
