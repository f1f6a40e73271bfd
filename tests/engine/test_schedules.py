import math
from itertools import pairwise

import pytest

from genera.engine.schedules import cyclical, monotone, warmup_decay


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


@pytest.mark.parametrize(("decay", "half"), [("constant", 1.0), ("linear", 0.5), ("cosine", 0.5)])
def test_learning_rate(decay, half):
    assert warmup_decay(0, 0.0, warmup=10, decay=decay) == pytest.approx(0.1)
    assert warmup_decay(50, 0.5, warmup=10, decay=decay) == pytest.approx(half)
    if decay != "constant":
        assert warmup_decay(100, 1.0, warmup=10, decay=decay) == pytest.approx(0.0)
    assert math.isfinite(warmup_decay(0, 0.0, decay=decay))
