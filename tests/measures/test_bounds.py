"""Bounds on a linear-Gaussian model, where log p(x) is known: z ~ N(0, 1), x|z ~ N(w z, s²)."""

import math

import pytest
import torch
from torch.distributions import Normal

from genera.errors import GeneraError
from genera.measures.estimate import mean_estimate
from genera.measures.latent import gaussian_kl
from genera.measures.likelihood import ImportanceBound, per_token, per_word, perplexity

W, S = 2.0, 0.7


def linear_gaussian(shift=0.4, widen=0.8, samples=400, items=500):
    """(log-weights (K, B), log p(x) (B,), ELBO (B,)) for a posterior off the true one by `shift` and `widen`."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(items, generator=generator).double()
    x = W * z + S * torch.randn(items, generator=generator)
    variance = 1 / (1 + W**2 / S**2)  # the exact posterior N(variance · w/s² · x, variance)
    mean, log_variance = variance * W / S**2 * x + shift, torch.full((items,), variance).log() + widen
    q = Normal(mean, torch.exp(0.5 * log_variance))
    draws = mean + torch.exp(0.5 * log_variance) * torch.randn(samples, items, generator=generator)
    log_weights = Normal(W * draws, S).log_prob(x) + Normal(0, 1).log_prob(draws) - q.log_prob(draws)
    expected_fit = Normal(W * mean, S).log_prob(x) - 0.5 * W**2 * log_variance.exp() / S**2
    elbo = expected_fit - gaussian_kl(mean, log_variance)
    return log_weights, Normal(0, math.sqrt(W**2 + S**2)).log_prob(x), elbo


def bound(log_weights):
    accumulator = ImportanceBound()
    accumulator.add(log_weights)
    return accumulator.value()


def test_bounds_rise_from_the_elbo_to_log_p():
    log_weights, log_p, elbo = linear_gaussian()
    iw_1 = log_weights.mean()  # the mean over samples of the K = 1 bound
    iw_10 = torch.stack([bound(part) for part in log_weights.split(10)]).mean()
    iw_100 = torch.stack([bound(part) for part in log_weights.split(100)]).mean()
    assert iw_1 == pytest.approx(elbo.mean().item(), abs=0.02)
    assert elbo.mean() + 0.1 < iw_10 < iw_100 < log_p.mean() + 1e-3
    assert bound(log_weights).mean() == pytest.approx(log_p.mean().item(), abs=0.01)


def test_the_exact_posterior_makes_every_bound_log_p():
    log_weights, log_p, elbo = linear_gaussian(shift=0, widen=0, samples=3)
    torch.testing.assert_close(elbo, log_p)
    for samples in (1, 3):
        torch.testing.assert_close(bound(log_weights[:samples]), log_p)


def test_streaming_in_pieces_changes_nothing():
    log_weights, _, _ = linear_gaussian(samples=50)
    accumulator = ImportanceBound()
    for part in log_weights.split([1, 9, 0, 40]):
        accumulator.add(part)
        if accumulator.samples == 10:
            torch.testing.assert_close(accumulator.value(), bound(log_weights[:10]))
    torch.testing.assert_close(accumulator.value(), bound(log_weights))
    halves = torch.cat([bound(log_weights[:, :123]), bound(log_weights[:, 123:])])
    torch.testing.assert_close(halves, accumulator.value())


def test_log_weights_of_long_items_neither_overflow_nor_vanish():
    log_weights = torch.tensor([[-5000.0], [-5001.0]])
    expected = -5000 + math.log((1 + math.exp(-1)) / 2)
    assert bound(log_weights).item() == pytest.approx(expected, abs=1e-9)


def test_no_samples_and_mismatched_items_are_refused():
    accumulator = ImportanceBound()
    accumulator.add(torch.empty(0, 3))
    with pytest.raises(GeneraError, match="at least one sample"):
        accumulator.value()
    accumulator.add(torch.zeros(2, 3))
    with pytest.raises(GeneraError, match="3 items, got"):
        accumulator.add(torch.zeros(2, 4))


def test_perplexity_of_a_uniform_choice_is_the_number_of_choices():
    words = torch.tensor([4, 9, 2])
    nats = (words + 1) * math.log(50)
    estimate = per_word(nats, words)
    assert estimate.value == pytest.approx(50)
    assert estimate.error == pytest.approx(0, abs=1e-4)
    assert per_token(nats, words + 1).value == pytest.approx(50)
    assert per_token(nats, words).value > 50  # the same nats over fewer units
    assert perplexity(1e6, 1) == math.inf
    with pytest.raises(GeneraError, match="at least one unit"):
        perplexity(1.0, 0)


def test_error_of_a_perplexity_is_its_spread_over_data_sets():
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(3, 20, (300, 200), generator=generator)
    nats = (words + 1) * 3 + 4 * torch.randn(words.shape, generator=generator)
    estimates = [per_word(n, w) for n, w in zip(nats, words, strict=True)]
    spread = torch.tensor([e.value for e in estimates]).std().item()
    assert estimates[0].error == pytest.approx(spread, rel=0.25)


def test_error_of_a_mean():
    estimate = mean_estimate([1.0, 2.0, 3.0, 6.0])
    assert (estimate.value, estimate.n) == (3, 4)
    assert estimate.error == pytest.approx(math.sqrt(14 / 3) / 2)
    assert mean_estimate([True]).error is None
    assert mean_estimate(torch.tensor([1.0, math.inf])).value == math.inf
    with pytest.raises(GeneraError, match="no items"):
        mean_estimate([])
