"""Optimisers by name: what they are given reaches them, and averaged SGD averages what it should."""

import json
import math

import pytest
import torch
from torch import nn

from genera.blocks import optimisers
from genera.blocks.optimisers import OPTIMISERS, OptimiserKind, build_optimiser, register_optimiser
from genera.errors import GeneraError

RATES = {"adadelta": 20.0, "adagrad": 0.5}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_descends(name):
    parameter = nn.Parameter(torch.tensor([3.0, -2.0]))
    optimiser = build_optimiser(name, [parameter], lr=RATES.get(name, 0.1))
    for _ in range(100):
        optimiser.zero_grad()
        parameter.square().sum().backward()
        optimiser.step()
    assert parameter.square().sum() < 1.0


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("fused", [False, True])
def test_its_state_survives_as_tensors_and_json(name, fused):
    """As checkpoints keep it: two halves of a descent with the state saved between them are the whole descent."""

    def descend(parameter, optimiser, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            (parameter**4).sum().backward()
            optimiser.step()

    whole, half = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor([1.0, -2.0]))
    descend(whole, build_optimiser(name, [whole], lr=0.01, fused=fused), 10)
    first = build_optimiser(name, [half], lr=0.01, fused=fused)
    descend(half, first, 5)
    state = first.state_dict()
    state = {"state": {0: {key: torch.as_tensor(value) for key, value in state["state"].get(0, {}).items()}},
             "param_groups": json.loads(json.dumps(state["param_groups"]))}  # fmt: skip
    second = build_optimiser(name, [half], lr=0.01, fused=fused)
    second.load_state_dict(state)
    descend(half, second, 5)
    assert torch.equal(whole, half)


OPTIONS = {
    ("adamw", "betas"): ((0.5, 0.9), "betas"),
    ("adam", "eps"): (1e-3, "eps"),
    ("sgd", "momentum"): (0.9, "momentum"),
    ("rmsprop", "smoothing"): (0.8, "alpha"),
    ("adadelta", "smoothing"): (0.8, "rho"),
    ("asgd", "average_from"): (7, "average_from"),
    ("nt-asgd", "patience"): (3, "patience"),
}


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_options_reach_the_optimiser(name, option):
    value, keyword = OPTIONS[name, option]
    optimiser = build_optimiser(name, [nn.Parameter(torch.zeros(1))], lr=0.25, weight_decay=0.125, **{option: value})
    group = optimiser.param_groups[0]
    assert (group[keyword], group["lr"], group["weight_decay"]) == (value, 0.25, 0.125)
    default = build_optimiser(name, [nn.Parameter(torch.zeros(1))], lr=0.25, **{option: None}).param_groups[0][keyword]
    assert default == OPTIMISERS[name].options[option] != value


def test_what_it_does_not_have_is_refused():
    with pytest.raises(GeneraError, match=r"--momentum 0.9 is not an option of --optimiser adam .*--betas, --eps"):
        build_optimiser("adam", [nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    with pytest.raises(GeneraError, match="unknown optimiser 'adamm'; did you mean"):
        build_optimiser("adamm", [nn.Parameter(torch.zeros(1))], lr=0.1)


def test_another_optimiser_can_be_registered(monkeypatch):
    monkeypatch.setattr(optimisers, "OPTIMISERS", dict(OPTIMISERS))
    register_optimiser("rprop-like", OptimiserKind(summary="as SGD", implementation="torch.optim:SGD"))
    built = build_optimiser("rprop-like", [nn.Parameter(torch.zeros(1))], lr=0.1)
    assert isinstance(built, torch.optim.SGD)
    with pytest.raises(GeneraError, match="registered twice"):
        register_optimiser("sgd", OPTIMISERS["sgd"])


# averaged SGD


def iterates(optimiser, parameter, steps):
    """The weights after each step of a noisy descent."""
    noise = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimiser.zero_grad()
        (parameter - torch.randn(3, generator=noise)).square().sum().backward()
        optimiser.step()
        yield parameter.detach().clone()


@pytest.mark.parametrize("begin", [0, 4])
def test_the_average_is_the_mean_of_the_iterates(begin):
    parameter = nn.Parameter(torch.ones(3))
    optimiser = build_optimiser("asgd", [parameter], lr=0.1, average_from=begin)
    after = list(iterates(optimiser, parameter, 20))
    torch.testing.assert_close(optimiser.averages()[parameter], torch.stack(after[begin:]).mean(0))
    plain = nn.Parameter(torch.ones(3))
    assert torch.equal(list(iterates(torch.optim.SGD([plain], lr=0.1), plain, 20))[-1], after[-1])


def test_before_it_begins_the_average_is_a_copy():
    parameter = nn.Parameter(torch.ones(3))
    optimiser = build_optimiser("asgd", [parameter], lr=0.1, average_from=5)
    for after in iterates(optimiser, parameter, 5):
        assert torch.equal(optimiser.averages()[parameter], after)


def test_the_average_is_closer_to_the_minimum_than_the_last_iterate():
    parameter = nn.Parameter(torch.ones(3))
    optimiser = build_optimiser("asgd", [parameter], lr=0.2, average_from=50)
    *_, last = iterates(optimiser, parameter, 1000)
    assert optimiser.averages()[parameter].norm() < last.norm() / 3  # the gradient's noise is around 0


def test_the_trigger_is_that_of_the_released_code():
    """Salesforce's AWD-LSTM: `len(best) > nonmono and loss > min(best[:-nonmono])`, then the loss joins the list."""
    losses = torch.rand(40, generator=torch.Generator().manual_seed(3)).tolist()
    for patience in (1, 3, 5):
        optimiser = build_optimiser("nt-asgd", [nn.Parameter(torch.zeros(1))], lr=0.1, patience=patience)
        seen, triggered = [], None
        for index, loss in enumerate(losses):
            if triggered is None and len(seen) > patience and loss > min(seen[:-patience]):
                triggered = index
            seen.append(loss)
            optimiser.validated(loss)
            optimiser.param_groups[0]["steps"] += 1
        assert optimiser.param_groups[0]["average_from"] == triggered < 40


def test_a_falling_loss_never_triggers():
    optimiser = build_optimiser("nt-asgd", [nn.Parameter(torch.zeros(1))], lr=0.1)
    for index in range(100):
        optimiser.validated(1 / (1 + index))
    assert optimiser.param_groups[0]["average_from"] == math.inf
