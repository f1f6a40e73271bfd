"""Every field of these methods' configs does something: a new one fails here until it says what to change it to."""

import hashlib
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from genera.blocks.quantiser_config import QuantiserConfig
from genera.engine import registry
from genera.engine.config import TrainConfig
from genera.engine.ranks import Ranks
from genera.engine.runtime import seed_all
from genera.engine.step import Step
from genera.engine.trainees import enrol

FQ = QuantiserConfig(after=("layers.1",), codes=(4,))

BASE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "stylegan2": ({"image_size": 16}, {"base_width": 64, "latent_size": 8, "mapping_layers": 2}),
    "u-gat-it": ({"image_size": 32}, {"width": 4, "blocks": 1}),
}
"""Fields of data and model in which the base differs from nano."""

OTHER: dict[str, dict[str, Any]] = {
    "stylegan2": {
        "base_width": 32, "max_width": 4, "latent_size": 6, "mapping_layers": 1, "mapping_rate": 0.1,
        "mean_w_decay": 0.5, "stddev_group": 2, "lr": 0.01, "mixing": 0.0, "r1": 5.0, "r1_every": 1,
        "path_weight": 1.0, "path_every": 1, "path_decay": 0.5, "path_shrink": 1,
        "quantiser": replace(FQ, after=("blocks.3",)),
        "optimiser": "nadam", "weight_decay": 0.5, "betas": (0.5, 0.9), "eps": 0.01, "schedule": "linear", "warmup": 3,
    },
    "u-gat-it": {
        "light": False, "width": 2, "blocks": 2, "global_halvings": 2, "local_halvings": 1, "release": "pytorch",
        "optimiser": "nadam", "lr": 0.01, "adam_eps": 0.01, "weight_decay": 0.5, "adversarial": 0.5,
        "cycle": 1.0, "identity": 1.0, "attention": 1.0,
        "quantiser": FQ,
    },
}  # fmt: skip

LINEAR, STEPS = {"schedule": "linear"}, {"schedule": "step", "decay_every": 1}
UNDER: dict[str, dict[str, tuple[dict[str, Any], Any]]] = {
    "stylegan2": {
        "decay_after": (LINEAR, 0.6), "decay_to": (LINEAR, 0.5),
        "decay_every": (STEPS, 2), "decay_factor": (STEPS, 0.1),
    },
}  # fmt: skip
"""Fields that have an effect with other fields alone: those, and the value."""

REFUSED: dict[str, dict[str, Any]] = {
    "stylegan2": {"momentum": 0.9, "nesterov": True, "smoothing": 0.5, "average_from": 2, "patience": 2},
}
"""Fields of optimisers that the method does not work with."""


def trained(name: str, **changes: Any) -> dict[str, tuple[Any, bytes]]:
    """All tensors after two steps, by shape and bytes."""
    _, config = registry.preset(f"{name}:nano")
    data, model = BASE[name]
    data, model = replace(config.data, **data), replace(config.model, **model | changes)
    assert not model.check()
    seed_all(0)
    implementation = registry.entry(name).load()
    assets, batch = implementation.dataset.sketch(data, 4)
    batch = batch._each(lambda t: torch.rand(t.shape) * 2 - 1 if t.is_floating_point() else t)
    seed_all(1)
    method = implementation(model, assets)
    method.initialise()
    train, ranks = TrainConfig(steps=2, clip=0.0), Ranks(0, 1, torch.device("cpu"))
    step = Step(train, ranks, enrol(method.players(), train, ranks))
    for index in range(2):
        step.begin(index, index / 2)
        method.update(batch, step)
        step.end()
    return {n: (t.shape, hashlib.sha256(t.numpy().tobytes()).digest()) for n, t in method.state_dict().items()}


@pytest.fixture(scope="module")
def unchanged():
    torch.set_num_threads(1)
    return {name: trained(name) for name in BASE}


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in OTHER for place in OTHER[name]])
def test_a_field_has_an_effect(unchanged, name, place):
    assert trained(name, **{place: OTHER[name][place]}) != unchanged[name]


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in UNDER for place in UNDER[name]])
def test_a_field_has_an_effect_with_others(name, place):
    others, value = UNDER[name][place]
    assert trained(name, **others | {place: value}) != trained(name, **others)


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in REFUSED for place in REFUSED[name]])
def test_a_field_without_an_effect_is_refused(name, place):
    _, config = registry.preset(f"{name}:nano")
    assert not config.model.check()
    assert replace(config.model, **{place: REFUSED[name][place]}).check()


@pytest.mark.parametrize("name", BASE)
def test_the_same_config_gives_the_same(unchanged, name):
    """Or else a difference would show nothing."""
    assert trained(name) == unchanged[name]


@pytest.mark.parametrize("name", BASE)
def test_no_field_is_left_out(name):
    tested = {*OTHER[name], *UNDER.get(name, ()), *REFUSED.get(name, ())}
    assert tested == {f.name for f in fields(registry.preset(name)[1].model)}
