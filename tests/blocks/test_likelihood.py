import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from genera.blocks import likelihood
from genera.blocks.likelihood import IGNORED, next_tokens, sequence_log_likelihood

PAD = 3


def example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dice = torch.Generator().manual_seed(0)
    states = torch.randn(4, 5, 8, generator=dice, requires_grad=True)
    table = torch.randn(11, 8, generator=dice, requires_grad=True)
    targets = torch.randint(4, 11, (4, 5), generator=dice)
    targets[0, 3:] = PAD
    targets[1, :] = PAD
    targets[2, 1:] = PAD
    return states, table, targets


def by_hand(states, table, targets):
    rows = []
    for row in range(len(states)):
        terms = [F.log_softmax(table @ states[row, t], 0)[y] for t, y in enumerate(targets[row].tolist()) if y != PAD]
        rows.append(sum(terms, torch.zeros(())))
    return torch.stack(rows)


def test_sums_the_log_probabilities_of_what_is_not_padding():
    states, table, targets = example()
    found, wanted = sequence_log_likelihood(states, table, targets, PAD), by_hand(states, table, targets)
    assert_close(found, wanted)
    assert found[1] == 0
    weight = torch.randn(4)
    for ours, theirs in zip(
        torch.autograd.grad((found * weight).sum(), [states, table]),
        torch.autograd.grad((wanted * weight).sum(), [states, table]),
        strict=True,
    ):
        assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("floats", [1, 25, 10_000])
def test_chunks_change_nothing_and_bound_the_logits(monkeypatch, floats):
    states, table, targets = example()
    largest = 0

    def linear(some, weight):
        nonlocal largest
        largest = max(largest, len(some))
        return some @ weight.T

    monkeypatch.setattr(likelihood, "LOGITS_AT_ONCE", floats)
    monkeypatch.setattr(likelihood.F, "linear", linear)
    with torch.no_grad():
        assert_close(sequence_log_likelihood(states, table, targets, PAD), by_hand(states, table, targets))
    assert largest == min(max(1, floats // 11), int((targets != PAD).sum()))


def test_padding_gets_no_gradient_even_where_its_state_is_not_finite():
    states, table, targets = example()
    broken = torch.where((targets == PAD)[..., None], torch.nan, states.detach()).requires_grad_()
    sequence_log_likelihood(broken, table, targets, PAD).sum().backward()
    assert table.grad.isfinite().all()
    assert (broken.grad[targets == PAD] == 0).all()


def test_float32_under_autocast():
    states, table, targets = example()
    exact = sequence_log_likelihood(states, table, targets, PAD)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sequence_log_likelihood(states, table, targets, PAD)
    assert found.dtype == torch.float32
    assert_close(found, exact, atol=0.1, rtol=0.02)


def test_all_padding_is_zero_with_a_gradient():
    states, table, targets = example()
    found = sequence_log_likelihood(states, table, torch.full_like(targets, PAD), PAD)
    found.sum().backward()
    assert (found == 0).all()
    assert (table.grad == 0).all()


def test_padding_is_no_target_whatever_its_id():
    rows = torch.tensor([[7, 1, 2, 7, 7, 7], [7, 7, 7, 7, 7, 7], [7, 1, 2, 3, 4, 7]])  # begin, end and padding are 7
    expected = [[1, 2, 7, IGNORED, IGNORED], [7, *[IGNORED] * 4], [1, 2, 3, 4, 7]]
    assert next_tokens(rows, 7).tolist() == expected
    apart = torch.tensor([[8, 1, 2, 7, 9, 9]])  # each of its own
    assert next_tokens(apart, 7).tolist() == [[1, 2, 7, IGNORED, IGNORED]]
