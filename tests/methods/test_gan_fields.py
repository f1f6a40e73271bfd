"""Every field of the class-conditional GANs' configs changes the weights of a short run, or its samples."""

from dataclasses import fields, replace

import pytest
import torch

from genera.blocks.quantiser_config import QuantiserConfig
from genera.data.images.dataset import ImageAssets, ImageBatch
from genera.engine.config import TrainConfig
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.methods.tac_gan.config import TacGanConfig
from genera.methods.tac_gan.method import TacGan

QUANTISER = QuantiserConfig(
    after=("blocks.1", "blocks.2"), codes=(8,), decay=0.5, weight=1.0, ema="ones", mode="quantize", warmup=2
)
BASE = TacGanConfig(
    width=2, latent_size=9, shared_embedding=4, attention=14, d_steps=1, g_lr=1e-2, d_lr=1e-2, quantiser=QUANTISER
)
CHANGES = {
    "width": 3,
    "latent_size": 12,
    "shared_embedding": 0,
    "hierarchical": True,
    "attention": 0,
    "norm": "group",
    "test_statistics": "running",
    "first_weights": "orthogonal",
    "spectral_eps": 0.05,
    "spectral_iterations": 3,
    "d_steps": 2,
    "optimiser": "nadam",
    "g_lr": 2e-2,
    "d_lr": 2e-2,
    "betas": (0.5, 0.9),
    "adam_eps": 1e-2,
    "g_steps": 2,
    "classifier": "auxiliary",
    "classifier_loss": "hinge",
    "classifier_weight": 0.3,
}
QUANTISER_CHANGES = {
    "after": ("blocks.1",),
    "codes": (4,),
    "decay": 0.9,
    "weight": 2.0,
    "mode": "commit",
    "warmup": 0,
    "init": "data",
    "ema": "release",
    "revive_below": 0.9,
    "update_from": "real",
    "update_on_generator_steps": False,
}


def outcome(config):
    """All numbers that three steps and a sample leave."""
    torch.manual_seed(0)
    method = TacGan(config, ImageAssets(28, 1, ("a", "b")))
    method.initialise()
    noise = torch.Generator().manual_seed(1)
    images = torch.rand(8, 1, 28, 28, generator=noise) * 2 - 1
    batch = ImageBatch(ids=torch.arange(8), images=images, labels=torch.arange(8) % 2)
    train, alone = TrainConfig(steps=3, clip=0), Ranks(0, 1, torch.device("cpu"))
    step = Step(train, alone, enrol(method.players(), train, alone))
    for index in range(3):
        step.begin(index, 0.0)
        method.update(batch, step)
    (sample,) = method.eval().sample(1, generator=noise)
    return torch.cat([sample.flatten(), *(v.flatten().float() for v in method.state_dict().values())])


@pytest.fixture(scope="module")
def unchanged():
    return outcome(BASE)


def test_the_same_config_leaves_the_same(unchanged):
    assert torch.equal(outcome(BASE), unchanged)


@pytest.mark.parametrize("name", [f.name for f in fields(TacGanConfig) if f.name != "quantiser"])
def test_a_field_has_an_effect(unchanged, name):
    other = replace(BASE, **{name: CHANGES[name]})
    after = outcome(other)
    assert after.shape != unchanged.shape or not torch.equal(after, unchanged)


@pytest.mark.parametrize("name", [f.name for f in fields(QuantiserConfig)])
def test_a_field_of_the_quantiser_has_an_effect(unchanged, name):
    quantiser = replace(QUANTISER, **{name: QUANTISER_CHANGES[name]})
    if name == "mode":
        quantiser = replace(quantiser, warmup=0)
    assert not quantiser.check()
    after = outcome(replace(BASE, quantiser=quantiser))
    assert after.shape != unchanged.shape or not torch.equal(after, unchanged)
