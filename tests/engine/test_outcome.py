"""No run ends as done with weights that are not finite, huge, or those with which it began."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from genera.engine import checkpoint as ckpt
from genera.engine import registry
from genera.engine.config import number_complaints
from genera.engine.folder import RunFolder
from genera.engine.train import train
from genera.errors import GeneraError
from genera.files import write_json
from small_methods import SmallGan, configured

QUIET = {"validate_every": 0, "log_every": 10**6}


def after_updates(monkeypatch, act):
    """Call `act(method, step)` after every update of the small GAN."""
    update = SmallGan.update

    def acting(self, batch, step):
        update(self, batch, step)
        act(self, step)

    monkeypatch.setattr(SmallGan, "update", acting)


@pytest.mark.parametrize(("value", "said"), [(1e30, "1e+30"), (float("nan"), "nan"), (float("-inf"), "inf")])
def test_a_diverged_weight_is_named_and_never_saved(tmp_path, monkeypatch, value, said):
    def diverge(method, step):
        if step.index == 15:
            method.generator[0].weight.data[0, 0] = value
            monkeypatch.undo()  # the loss need not notice

    after_updates(monkeypatch, diverge)
    monkeypatch.setattr("genera.engine.guard.Guard.check", lambda self: None)
    with pytest.raises(GeneraError, match=f"diverged by step .*'generator.0.weight' is {said.replace('+', '.')}"):
        train(configured(**QUIET, checkpoint_every=8), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert (folder.status()["state"], folder.status()["step"]) == ("failed", 8)
    assert [p.name for p in ckpt.list_checkpoints(folder.checkpoints)] == ["step-00000008"]


def test_a_diverged_buffer_is_found_too(tmp_path, monkeypatch):
    def with_buffer(self, config, assets, init=SmallGan.__init__):
        init(self, config, assets)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("count", torch.tensor(3 * 10**9))
        self.register_buffer("total", torch.tensor(1e12))  # large, as running totals may be

    monkeypatch.setattr(SmallGan, "__init__", with_buffer)
    train(configured(**QUIET), tmp_path / "sound")
    after_updates(monkeypatch, lambda method, step: method.mean.fill_(torch.inf))
    with pytest.raises(GeneraError, match="weight 'mean' is inf"):
        train(configured(**QUIET), tmp_path / "run")


def with_optimiser(monkeypatch, **options):
    monkeypatch.setattr(SmallGan, "_adam", lambda self, network: torch.optim.Adam(network.parameters(), **options))


def test_a_player_that_learns_nothing_is_an_error(tmp_path, monkeypatch):
    with_optimiser(monkeypatch, lr=1e-2, eps=1e30)
    with pytest.raises(GeneraError, match="player 'discriminator' has learned nothing: 40 steps left all its weights"):
        train(configured(**QUIET), tmp_path / "run")
    assert RunFolder(tmp_path / "run").status()["state"] == "failed"


def test_a_loss_that_does_not_depend_on_the_weights_is_an_error(tmp_path, monkeypatch):
    def constant(self, batch, step):
        return {"loss": (self.generator[0].weight * 0).sum() + 3}

    monkeypatch.setattr(SmallGan, "generator_loss", constant)
    with pytest.raises(GeneraError, match="player 'generator' has learned nothing"):
        train(configured(**QUIET), tmp_path / "run")


def test_a_rate_of_zero_and_frozen_parts_are_meant(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        with_optimiser(patch, lr=0.0)
        assert train(configured(**QUIET), tmp_path / "zero").status()["state"] == "done"

    def frozen(self, config, assets, init=SmallGan.__init__):
        init(self, config, assets)
        self.generator[0].requires_grad_(False)
        self.spare = nn.Linear(2, 2).requires_grad_(False)

    monkeypatch.setattr(SmallGan, "__init__", frozen)
    assert train(configured(**QUIET), tmp_path / "frozen").status()["state"] == "done"


def test_what_moved_before_a_resume_has_moved(tmp_path, monkeypatch):
    """The last steps of a schedule may be too small to see."""
    run, config = tmp_path / "run", configured(**QUIET, checkpoint_every=30)
    train(config, run)

    def resume(edit):
        checkpoint = run / "checkpoints" / "step-00000030"
        state = json.loads((checkpoint / "state.json").read_text())
        edit(state)
        write_json(checkpoint / "state.json", state)
        with monkeypatch.context() as patch:
            patch.setattr(SmallGan, "update", lambda self, batch, step: None)
            return train(config, run, resume="30").status()["state"]

    assert resume(lambda state: state) == "done"
    assert resume(lambda state: state.pop("moved")) == "done"  # an older checkpoint
    with pytest.raises(GeneraError, match="player 'generator' has learned nothing"):
        resume(lambda state: state.update(moved=["discriminator"]))


# options


def test_every_number_of_every_preset_is_checked():
    for name, entry in registry.entries().items():
        for preset in entry.presets:
            config = registry.preset(f"{name}:{preset}")[1]
            assert not any(number_complaints(part) for part in (config.data, config.train, config.model))


def test_numbers_that_are_not_finite_are_refused_by_name_wherever_they_are():
    config = registry.preset("prevalent:tiny")[1]
    r2r = replace(config.model.agent.r2r, lr=float("nan"), discount=float("inf"), unfrozen_lr=1e30)
    model = replace(config.model, agent=replace(config.model.agent, r2r=r2r), shares=(1.0, float("nan"), 1.0))
    with pytest.raises(GeneraError) as error:
        replace(config, model=model).check()
    for complaint in (
        "--agent.r2r.lr must be a finite number, got nan",
        "--agent.r2r.discount must be a finite number, got inf",
        "--agent.r2r.unfrozen-lr must be at most 1000, got 1e+30",
        "--shares must be a finite number, got (1.0, nan, 1.0)",
    ):
        assert complaint in str(error.value)
        assert str(error.value).count(complaint.split()[0] + " ") == 1  # once, not once a check
