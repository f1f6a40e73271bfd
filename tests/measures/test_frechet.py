import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from genera.errors import GeneraError
from genera.measures.frechet import Moments, fid, fid_infinity, frechet_distance


def gaussian(count, mean, covariance, seed=0):
    root = torch.linalg.cholesky(torch.tensor(covariance, dtype=torch.float64))
    noise = torch.randn(count, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.tensor(mean, dtype=torch.float64) + noise @ root.T


def exactly(mean, covariance):
    """Features whose sample mean and unbiased covariance are exactly these."""
    size = len(mean)
    spread = torch.cat([torch.eye(size), -torch.eye(size)]).double() * ((2 * size - 1) / 2) ** 0.5
    return torch.tensor(mean).double() + spread @ torch.linalg.cholesky(torch.tensor(covariance).double()).T


def test_known_gaussians():
    one = exactly([1.0, 2.0], [[2.0, 0.0], [0.0, 3.0]])
    assert frechet_distance(Moments(one), Moments(one)) == pytest.approx(0, abs=1e-10)
    moved = one + torch.tensor([3.0, 4.0])
    assert frechet_distance(Moments(one), Moments(moved)) == pytest.approx(25)
    # diagonal: Σ (σ₁ - σ₂)²
    other = exactly([1.0, 2.0], [[8.0, 0.0], [0.0, 3.0]])
    assert frechet_distance(Moments(one), Moments(other)) == pytest.approx((8**0.5 - 2**0.5) ** 2)


def test_equals_the_matrix_square_root_of_scipy():
    one = gaussian(300, np.zeros(6), np.cov(np.random.default_rng(0).normal(size=(6, 40))))
    other = gaussian(200, np.ones(6), np.cov(np.random.default_rng(1).normal(size=(6, 40))), seed=1)
    a, b = (np.cov(x.numpy(), rowvar=False) for x in (one, other))
    gap = (one.mean(0) - other.mean(0)).numpy()
    expected = gap @ gap + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert fid(one, other).value == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("sizes", [[300], [1, 299], [100, 100, 100], [7] * 42 + [6]])
def test_moments_do_not_depend_on_the_batches(sizes):
    features = gaussian(300, [5.0, -3.0, 1e3], np.diag([1.0, 0.1, 2.0])).float()
    moments = Moments()
    for part in features.split(sizes):
        moments.add(part)
    assert moments.count == 300
    torch.testing.assert_close(moments.mean, features.double().mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(moments.covariance, features.double().T.cov(), rtol=1e-9, atol=1e-9)


def test_moments_of_many_rows_and_columns_are_made_in_parts():
    noise = torch.Generator().manual_seed(0)
    features = 100 + torch.randn(2500, 300, generator=noise) @ torch.randn(300, 300, generator=noise)
    moments = Moments(features)
    torch.testing.assert_close(moments.mean, features.double().mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(moments.covariance, features.double().T.cov(), rtol=1e-9, atol=1e-9)


def test_fewer_images_than_features_is_finite_and_said(capsys):
    features = gaussian(200, np.zeros(20), np.eye(20))
    few = fid(features[:10], features[100:])
    assert few.value > fid(features[:100], features[100:]).value > 0
    assert "10 images with 20 features each: the covariance is singular" in capsys.readouterr().err
    assert fid(features[:10], features[:10]).value == pytest.approx(0, abs=1e-6)


def test_the_bias_of_few_images_is_extrapolated_away():
    reference = Moments(gaussian(50_000, np.zeros(16), np.eye(16), seed=9))
    features = gaussian(2000, np.zeros(16), np.eye(16))
    at_infinity = fid_infinity(features, reference, generator=torch.Generator().manual_seed(0))
    assert fid(features[:400], reference).value > 3 * fid(features, reference).value
    assert abs(at_infinity.value) < 0.35 * fid(features, reference).value
    shifted = fid_infinity(features + 0.5, reference, generator=torch.Generator().manual_seed(0))
    assert shifted.value == pytest.approx(16 * 0.25, rel=0.1)
    with pytest.raises(GeneraError, match="cannot be extrapolated from 49 images"):
        fid_infinity(features[:49], reference)


def test_bad_features_are_named():
    good = gaussian(10, [0.0, 0.0], np.eye(2))
    with pytest.raises(GeneraError, match="some features are not finite"):
        fid(good * torch.nan, good)
    with pytest.raises(GeneraError, match=r"features must be a table \(items, dimensions\), got \(3,\)"):
        Moments(torch.zeros(3))
    with pytest.raises(GeneraError, match="2 and of 3 dimensions cannot be compared"):
        frechet_distance(Moments(good), Moments(torch.randn(9, 3)))
    with pytest.raises(GeneraError, match="moments of 1 items do not exist; at least 2"):
        fid(good[:1], good)
