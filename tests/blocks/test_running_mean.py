"""A moving mean that neither parts nor ranks change."""

import torch
from torch.testing import assert_close

from genera.blocks.running_mean import RunningMean


def alone(values):
    return values


def test_it_moves_by_the_mean_of_all_rows_once():
    rows = torch.randn(8, 3)
    whole, parts = RunningMean(3, decay=0.9), RunningMean(3, decay=0.9)
    for _ in range(2):
        whole.add(rows)
        parts.add(rows[:4])
        parts.add(rows[4:])
        whole.move(alone)
        parts.move(alone)
    assert_close(whole.mean, 0.19 * rows.mean(0))
    assert_close(parts.mean, whole.mean)


def test_ranks_agree_by_the_mean_of_theirs():
    one, two = torch.randn(4), torch.randn(4)
    mean = RunningMean(decay=0.5)
    mean.add(one)
    mean.move(lambda own: (own + two.mean()) / 2)
    assert_close(mean.mean, 0.5 * torch.cat([one, two]).mean())


def test_only_the_mean_is_saved():
    assert list(RunningMean(2, decay=0.9).state_dict()) == ["mean"]
