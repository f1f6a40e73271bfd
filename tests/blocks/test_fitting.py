"""Small fits: steps, schedules, clipping, seeds and the check of losses."""

from functools import partial
from itertools import islice

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from genera.blocks.fitting import CHECK_EVERY, Fit, drawn, seeded, shuffled
from genera.errors import GeneraError


def test_a_fit_is_the_loop_that_one_would_write():
    parameter, reference = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    fit = Fit("fitting", 20)
    descend = fit.optimiser([parameter], "adam", lr=0.1, schedule="linear", betas=(0.5, 0.9))
    for step in fit:
        descend((parameter - step % 3).square().sum())
    optimiser = torch.optim.Adam([reference], lr=0.1, betas=(0.5, 0.9))
    for step in range(20):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 20)
        optimiser.zero_grad()
        (reference - step % 3).square().sum().backward()
        optimiser.step()
    assert torch.equal(parameter, reference)


def test_groups_keep_their_rates_and_gradients_are_clipped():
    fast, slow = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    fit = Fit("fitting", 1)
    groups = [{"params": [fast], "lr": 1.0}, {"params": [slow]}]
    descend = fit.optimiser(groups, "sgd", lr=0.1, clip=1.0)
    for _ in fit:
        descend(-30 * fast.sum() - 40 * slow.sum())
    assert fast.item() == pytest.approx(0.6, rel=1e-4)
    assert slow.item() == pytest.approx(0.08, rel=1e-4)


def test_a_scheduler_of_torchs_may_be_given():
    parameter = nn.Parameter(torch.zeros(1))
    fit, rates = Fit("fitting", 10), []

    def cycle(optimiser):
        rates.append(optimiser)
        return OneCycleLR(optimiser, max_lr=1.0, total_steps=10)

    descend = fit.optimiser([parameter], "sgd", lr=1.0, schedule=cycle, momentum=0.9)
    seen = []
    for _ in fit:
        seen.append(rates[0].param_groups[0]["lr"])
        descend(parameter.sum())
    assert max(seen) == pytest.approx(1.0)
    assert seen[0] == pytest.approx(1 / 25)


@pytest.mark.parametrize("bad", [0, CHECK_EVERY + 3])
def test_a_loss_that_is_not_finite_ends_the_fit(bad):
    parameter = nn.Parameter(torch.ones(1))
    fit = Fit("training the guide", CHECK_EVERY + 10)
    descend = fit.optimiser([parameter], "sgd", lr=0.1)

    def run():
        for step in fit:
            descend((parameter * (torch.nan if step == bad else 1.0)).sum())

    with pytest.raises(GeneraError, match=r"training the guide: a loss was not finite by step \d+ of 60"):
        run()


def test_every_pass_sees_every_item_once():
    with seeded(1):
        batches = list(islice(shuffled(10, 4), 6))
    assert [len(rows) for rows in batches] == [4, 4, 2] * 2
    one, two = torch.cat(batches[:3]), torch.cat(batches[3:])
    assert one.sort().values.tolist() == two.sort().values.tolist() == list(range(10))
    assert one.tolist() != two.tolist()


def test_small_sets_are_drawn_with_replacement():
    rows = next(drawn(3, 64, generator=torch.Generator().manual_seed(0)))
    assert rows.shape == (64,)
    assert set(rows.tolist()) == {0, 1, 2}


def test_the_seed_holds_inside_alone():
    def draw():
        return torch.randn(2).tolist()

    torch.manual_seed(7)
    expected = draw()
    torch.manual_seed(7)
    with seeded(0):
        inside = draw()
    assert draw() == expected
    with seeded(0):
        assert draw() == inside != expected


def test_batches_end_with_the_steps():
    fit = Fit("fitting", 5)
    assert len(list(fit.batches(iter(partial(dict), None)))) == 5
