"""Latent measures against closed forms and a naive second implementation."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from genera.errors import GeneraError
from genera.measures.latent import active_units, gaussian_kl, latent_variances, mutual_information


def posterior(items=60, size=5, seed=0, spread=1.0, log_variance=-1.0):
    generator = torch.Generator().manual_seed(seed)
    mean = spread * torch.randn(items, size, generator=generator)
    log_var = log_variance + 0.3 * torch.randn(items, size, generator=generator)
    z = mean + torch.exp(0.5 * log_var) * torch.randn(items, size, generator=generator)
    return mean, log_var, z


def naive_information(mean, log_variance, z):
    """log densities one pair at a time, by torch.distributions."""
    q = [Normal(m.double(), torch.exp(0.5 * v.double())) for m, v in zip(mean, log_variance, strict=True)]
    total = 0.0
    for i, sample in enumerate(z.double()):
        log_q = [other.log_prob(sample).sum().item() for other in q]
        peak = max(log_q)
        aggregated = peak + math.log(sum(math.exp(v - peak) for v in log_q) / len(q))
        total += log_q[i] - aggregated
    return total / len(q)


def test_kl_is_that_of_torch_distributions():
    mean, log_variance, _ = posterior()
    expected = kl_divergence(Normal(mean, torch.exp(0.5 * log_variance)), Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected, atol=1e-5, rtol=1e-5)


def test_kl_is_zero_at_the_prior_and_never_negative_near_it():
    assert gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3)).eq(0).all()
    tiny = torch.linspace(-1e-3, 1e-3, 101)[:, None]
    assert gaussian_kl(torch.zeros_like(tiny), tiny).ge(0).all()


def test_information_agrees_with_a_naive_double_loop():
    mean, log_variance, z = posterior(spread=0.7, log_variance=0.0)
    value = mutual_information(mean, log_variance, z)
    assert value == pytest.approx(naive_information(mean, log_variance, z), abs=1e-9)
    assert 0.1 < value < math.log(60) - 0.1  # neither end: the comparison has something to show


def test_identical_posteriors_share_no_information():
    mean, log_variance, _ = posterior()
    mean, log_variance = mean[:1].expand(60, -1), log_variance[:1].expand(60, -1)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn(60, 5)
    assert mutual_information(mean, log_variance, z) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("log_variance", [-6.0, -30.0])
def test_isolated_posteriors_reach_ln_m_and_never_exceed_it(log_variance):
    mean, log_variance, z = posterior(spread=50, log_variance=log_variance)
    value = mutual_information(mean.double(), log_variance.double(), z.double())
    assert value <= math.log(60)
    assert value == pytest.approx(math.log(60), abs=1e-9)


def test_pairs_of_equal_posteriors_reach_ln_of_half():
    mean, log_variance, _ = posterior(items=30, spread=50, log_variance=-6)
    mean, log_variance = mean.repeat(2, 1), log_variance.repeat(2, 1)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn(60, 5)
    assert mutual_information(mean, log_variance, z) == pytest.approx(math.log(30), abs=1e-6)


def test_information_does_not_depend_on_the_chunk():
    inputs = posterior(spread=0.5)
    values = [mutual_information(*inputs, chunk=chunk) for chunk in (1, 7, 60, 1000)]
    assert values == pytest.approx([values[0]] * 4, abs=1e-10)


def test_analytic_entropy_is_the_expectation_of_the_sampled_one():
    mean, log_variance, _ = posterior(items=20, spread=0.5)
    generator = torch.Generator().manual_seed(1)
    draws = [mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=generator) for _ in range(400)]
    sampled, analytic = (
        torch.tensor([mutual_information(mean, log_variance, z, entropy=entropy) for z in draws])
        for entropy in ("sampled", "analytic")
    )
    assert sampled.mean() == pytest.approx(analytic.mean().item(), abs=0.06)
    assert sampled.std() < analytic.std()


def test_shapes_that_differ_are_refused():
    mean, log_variance, z = posterior()
    with pytest.raises(GeneraError, match="one shape"):
        mutual_information(mean, log_variance, z[:-1])


def test_active_units_counts_the_dimensions_that_move():
    mean, _, _ = posterior(items=500, size=6)
    mean[:, :2] *= 0.01
    assert active_units(mean) == 4
    assert active_units(mean, threshold=1e-6) == 6
    torch.testing.assert_close(latent_variances(mean), mean.double().var(0))
    with pytest.raises(GeneraError, match="at least 2"):
        active_units(mean[:1])
