"""Streams: every row once an epoch, any step without replaying, ranks that share what one rank would see."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from genera.data.streams import Bucketed, Continuous, Shuffled, TokenBudget, padding_share, permutation
from genera.errors import GeneraError

RANDOM = np.random.default_rng(0)
LENGTHS = RANDOM.integers(1, 40, 1003)
SIDES = np.stack([LENGTHS, np.maximum(1, LENGTHS + RANDOM.integers(-3, 4, 1003))], axis=1)
TEXT = np.arange(2005)

STREAMS = {
    "shuffled": lambda **place: Shuffled(1003, batch=8, seed=1, **place),
    "endless": lambda **place: Shuffled(1003, batch=8, seed=(1, 0), endless=True, **place),
    "leading": lambda **place: Shuffled(1003, batch=8, seed=1, brings=3, **place),
    "bucketed": lambda **place: Bucketed(LENGTHS, batch=8, seed=1, noise=0.25, **place),
    "tokens": lambda **place: TokenBudget(SIDES, budget=400, multiple=4, seed=1, **place),
    "continuous": lambda **place: Continuous(TEXT, batch=8, window=35, seed=1, **place),
    "jittered": lambda **place: Continuous(TEXT, batch=8, window=35, seed=1, jitter=True, **place),
}


def values(batch):
    return [getattr(batch, name) for name in ("ids", "tokens", "targets") if hasattr(batch, name)]


@pytest.mark.parametrize("name", STREAMS)
def test_any_step_can_be_asked_for_without_those_before_it(name):
    stream = STREAMS[name]()
    steps = 3 * stream.steps_per_epoch + 5
    expected = [values(stream.batch(step)) for step in range(steps)]
    for step in (steps - 1, 0, steps // 2, steps // 2 - 1):
        fresh = STREAMS[name]()
        assert all(torch.equal(a, b) for a, b in zip(values(fresh.batch(step)), expected[step], strict=True))


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("name", STREAMS)
def test_ranks_share_the_global_batch(name, ranks):
    whole, parts = STREAMS[name](), [STREAMS[name](rank=rank, ranks=ranks) for rank in range(ranks)]
    for step in (0, 1, whole.steps_per_epoch - 1, whole.steps_per_epoch, 2 * whole.steps_per_epoch + 1):
        shares = [values(part.batch(step)) for part in parts]
        for i, value in enumerate(values(whole.batch(step))):
            assert torch.equal(torch.cat([share[i] for share in shares]), value)


@pytest.mark.parametrize("name", ["shuffled", "bucketed", "tokens"])
def test_an_epoch_has_every_row_once_but_for_a_rest_that_changes(name):
    stream = STREAMS[name]()
    steps = stream.steps_per_epoch
    epochs = [torch.cat([stream.batch(e * steps + i).ids for i in range(steps)]).tolist() for e in range(4)]
    assert all(len(set(rows)) == len(rows) == {"tokens": 1000}.get(name, 1000) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 4
    assert len({frozenset(range(1003)) - frozenset(rows) for rows in epochs}) > 1


def test_shuffled_is_the_permutation_of_seed_and_epoch():
    stream = Shuffled(20, batch=8, seed=3)
    assert stream.steps_per_epoch == 2
    order = np.random.default_rng([3, 1]).permutation(20)
    assert np.concatenate([stream.draw(2).rows, stream.draw(3).rows]).tolist() == order[:16].tolist()
    assert permutation(20, 3, 1).tolist() == order.tolist()


def test_endless_permutations_follow_each_other_without_a_gap():
    stream = Shuffled(10, batch=4, seed=(3, 1), endless=True)
    drawn = np.concatenate([stream.draw(step).rows for step in range(10)])
    for epoch in range(4):
        assert drawn[10 * epoch : 10 * epoch + 10].tolist() == permutation(10, 3, 1, epoch).tolist()


def test_rows_that_bring_others_make_an_epoch_shorter():
    assert Shuffled(100, batch=8, seed=0, brings=3).steps_per_epoch == 100 // 24


def test_bucketing_pads_little():
    def share(stream):
        return padding_share([stream.draw(step).rows for step in range(stream.steps_per_epoch)], LENGTHS)

    shuffled, noisy = share(Shuffled(1003, batch=8, seed=0)), Bucketed(LENGTHS, batch=8, seed=0, noise=0.25)
    exact = Bucketed(LENGTHS, batch=8, seed=0)
    assert exact.padding_share < 0.02 < noisy.padding_share < 0.2 < shuffled
    assert noisy.padding_share == pytest.approx(share(noisy))
    widths = [LENGTHS[exact.draw(step).rows].max() for step in range(exact.steps_per_epoch)]
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.5  # and not from short to long


@pytest.mark.parametrize("lengths", [LENGTHS, SIDES], ids=["one side", "two sides"])
@pytest.mark.parametrize("multiple", [1, 4])
def test_a_token_budget_is_never_exceeded(lengths, multiple):
    stream = TokenBudget(lengths, budget=400, multiple=multiple, seed=2)
    sides = lengths.reshape(len(lengths), -1)
    rows = [stream.draw(step).rows for step in range(2 * stream.steps_per_epoch)]
    assert all(len(batch) % multiple == 0 for batch in rows)
    assert max(len(batch) * sides[batch].max() for batch in rows) <= 400
    assert np.mean([len(batch) * sides[batch].max() for batch in rows]) > 330  # and nearly filled
    assert stream.padding_share < 0.12
    if multiple == 1:
        assert sorted(np.concatenate(rows[: stream.steps_per_epoch])) == list(range(1003))


def test_a_row_over_the_budget_is_a_batch_of_its_own():
    lengths = np.array([5, 5, 100, 5, 90])
    stream = TokenBudget(lengths, budget=20, seed=0)
    batches = [sorted(lengths[stream.draw(step).rows]) for step in range(stream.steps_per_epoch)]
    assert sorted(batches) == [[5, 5, 5], [90], [100]]


@pytest.mark.parametrize("jitter", [False, True])
def test_continuous_columns_are_running_text_and_each_target_comes_once_an_epoch(jitter):
    stream = Continuous(TEXT, batch=5, window=30, seed=4, jitter=jitter)
    epochs, windows, step = [], [], 0
    for _ in range(3):
        windows = [stream.batch(step)]
        assert windows[0].first
        while not (following := stream.batch(step := step + 1)).first:
            windows.append(following)
        epochs.append(windows)
        targets = torch.cat([window.targets for window in windows], dim=1)
        assert targets.tolist() == [list(range(401 * row + 1, 401 * row + 401)) for row in range(5)]
        for one, other in pairwise(windows):  # the state goes on where it was left
            assert torch.equal(one.targets[:, -1], other.tokens[:, 0])
        assert all(torch.equal(window.tokens + 1, window.targets) for window in windows)
    sizes = [[window.tokens.shape[1] for window in windows] for windows in epochs]
    if jitter:
        assert len(set(map(tuple, sizes))) == 3
        assert all(size >= 5 for windows in sizes for size in windows[:-1])
    else:
        assert sizes == 3 * [[30] * 13 + [10]]
        assert stream.steps_per_epoch == 14


def test_windows_of_random_size_have_the_published_sizes():
    stream = Continuous(np.zeros(2_000_000, np.uint16), batch=2, window=70, seed=0, jitter=True)
    ends = stream._planned(0)
    sizes = np.diff(ends)[:-1]
    assert sizes.mean() == pytest.approx(70 * 0.975 - 0.5, abs=0.5)  # int() rounds down
    assert (sizes < 50).mean() == pytest.approx(0.05, abs=0.01)
    assert len(ends) == pytest.approx(stream.steps_per_epoch, rel=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shuffled(7, batch=8, seed=0, kind="images"), "the data has 7 images, fewer than one batch of 8"),
        (lambda: Bucketed(LENGTHS, batch=8, seed=0, ranks=3), "a batch of 8 cannot be shared by 3 ranks"),
        (lambda: TokenBudget(LENGTHS, budget=9, multiple=4, seed=0, ranks=3), "multiple of 4 rows .* 3 ranks"),
        (lambda: TokenBudget(LENGTHS[:3], budget=9, multiple=4, seed=0), "the data has 3 items, fewer than"),
        (lambda: Continuous(TEXT[:9], batch=5, window=3, seed=0), "9 tokens, too few for 5 columns"),
        (lambda: Continuous(TEXT, batch=5, window=3, seed=0, ranks=2), "a batch of 5 cannot be shared by 2 ranks"),
    ],
)
def test_what_cannot_be_a_stream_is_one_sentence(make, message):
    with pytest.raises(GeneraError, match=message):
        make()
