"""A moving mean that parts do not change (ranks: see every method's promises)."""

import torch
from torch.testing import assert_close

from genera.blocks.running_mean import RunningMean


def test_it_moves_once_by_the_mean_of_all_rows():
    rows = torch.randn(8, 3)
    whole, parts = RunningMean(3, decay=0.9), RunningMean(3, decay=0.9)
    for _ in range(2):
        whole.add(rows)
        parts.add(rows[:2])
        parts.add(rows[2:])
        whole.commit()
        parts.commit()
    assert_close(whole.mean, 0.19 * rows.mean(0))
    assert_close(parts.mean, whole.mean)


def test_nothing_added_moves_nothing():
    mean = RunningMean(decay=0.5)
    mean.add(torch.ones(3))
    mean.commit()
    mean.commit()
    assert mean.mean == 0.5


def test_only_the_mean_is_saved():
    assert list(RunningMean(2, decay=0.9).state_dict()) == ["mean"]
