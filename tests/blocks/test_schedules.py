from itertools import pairwise

import pytest
import torch

from genera.blocks import schedules
from genera.blocks.schedules import cyclical, monotone, register_schedule, schedule
from genera.errors import GeneraError


def test_cyclical_holds_ramps_and_stays():
    """n_cycles = 2, r0 = .5, ra = .25 over 800 steps: periods of 400 = 200 at zero, 100 of rise, 100 flat."""
    beta = [cyclical(step / 800, cycles=2, hold=0.5, ramp=0.25) for step in range(800)]
    assert beta[:400] == pytest.approx(beta[400:])
    assert set(beta[:201]) == {0.0}  # the first value of the ramp is 0 too
    assert beta[250] == pytest.approx(0.5)
    assert set(beta[300:400]) == {1.0}
    assert all(b >= a for a, b in pairwise(beta[:400]))


def test_the_end_of_the_run_is_the_end_of_a_cycle():
    assert cyclical(1.0, cycles=10) == 1.0


def test_monotone_never_returns_to_zero():
    beta = [monotone(step / 100, hold=0.2, ramp=0.5) for step in range(101)]
    assert beta[20] == 0.0
    assert beta[45] == pytest.approx(0.5)
    assert beta[70:] == pytest.approx([1.0] * 31)


# learning rates


@pytest.mark.parametrize(("name", "half", "end"), [("constant", 1, 1), ("linear", 0.5, 0), ("cosine", 0.5, 0)])
def test_schedules_over_the_budget(name, half, end):
    rate = schedule(name, warmup=10)
    assert rate(0, 0.0) == pytest.approx(0.1)
    assert rate(50, 0.5) == pytest.approx(half)
    assert rate(100, 1.0) == pytest.approx(end)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_a_decay_may_begin_late_and_end_above_zero(name):
    rate = schedule(name, decay_after=0.6, decay_to=0.1)
    assert [rate(0, progress) for progress in (0.0, 0.3, 0.6)] == [1.0, 1.0, 1.0]
    assert rate(0, 0.8) == pytest.approx(0.55)
    assert rate(0, 1.0) == pytest.approx(0.1)


def test_the_inverse_square_root_is_that_of_vaswani():
    """d^-0.5 min(t^-0.5, t w^-1.5), as a share of its peak at t = w."""
    width, warmup = 512, 4000
    published = [width**-0.5 * min(t**-0.5, t * warmup**-1.5) for t in range(1, 20001)]
    rate = schedule("inverse-sqrt", warmup=warmup)
    ours = [rate(t - 1, 0.0) for t in range(1, 20001)]
    assert ours == pytest.approx([value / max(published) for value in published])


def test_steps_halve_as_torch_does():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.StepLR(optimiser, step_size=7, gamma=0.5)
    rate = schedule("step", decay_every=7)
    for step in range(30):
        assert rate(step, 0.0) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        reference.step()


def test_an_option_of_another_schedule_is_refused():
    with pytest.raises(
        GeneraError, match=r"--decay-to 0.1 is not an option of --schedule constant \(its options: none"
    ):
        schedule("constant", decay_to=0.1)
    with pytest.raises(GeneraError, match="--schedule step needs --decay-every"):
        schedule("step")
    with pytest.raises(GeneraError, match="did you mean cosine"):
        schedule("cosin")


def test_another_schedule_can_be_registered(monkeypatch):
    monkeypatch.setattr(schedules, "SCHEDULES", dict(schedules.SCHEDULES))

    @register_schedule("square")
    def square(step: int, progress: float, *, decay_to: float = 0.5) -> float:
        """The square of what is left."""
        return max(decay_to, (1 - progress) ** 2)

    assert schedules.SCHEDULES["square"].summary == "The square of what is left."
    assert schedule("square")(0, 0.1) == pytest.approx(0.81)
    assert schedule("square", decay_to=0.9)(0, 0.1) == 0.9
    with pytest.raises(GeneraError, match="registered twice"):
        register_schedule("square")(square)
