"""Measures of generated images against closed forms, naive loops, and for their direction."""

import math

import numpy as np
import pytest
import torch

from genera.errors import GeneraError
from genera.measures import images, neighbours
from genera.measures.frechet import fid


def cloud(count, size=4, seed=0, spread=1.0, at=0.0):
    generator = torch.Generator().manual_seed(seed)
    return at + spread * torch.randn(count, size, generator=generator, dtype=torch.float64)


def naive_mmd(x, y):
    """Unbiased, by loops over pairs."""
    x, y = x.tolist(), y.tolist()

    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    def within(points):
        pairs = [kernel(a, b) for i, a in enumerate(points) for j, b in enumerate(points) if i != j]
        return sum(pairs) / len(pairs)

    between = [kernel(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(between) / len(between)


def naive_prdc(fake, real, k, density_k):
    """By loops, as the definitions read."""

    def radius(points, i, k):
        return sorted(np.linalg.norm(points[i] - other) for j, other in enumerate(points) if j != i)[k - 1]

    fake, real = fake.numpy(), real.numpy()
    balls = {n: [radius(real, i, n) for i in range(len(real))] for n in (k, density_k)}
    fake_balls = [radius(fake, i, k) for i in range(len(fake))]

    def inside(point, centre, ball):
        return np.linalg.norm(point - centre) < ball

    near = [[inside(f, r, balls[density_k][i]) for i, r in enumerate(real)] for f in fake]
    return {
        "precision": np.mean([any(inside(f, r, balls[k][i]) for i, r in enumerate(real)) for f in fake]),
        "recall": np.mean([any(inside(r, f, fake_balls[j]) for j, f in enumerate(fake)) for r in real]),
        "density": np.sum(near) / density_k / len(fake),
        "coverage": np.mean([any(row[i] for row in near) for i in range(len(real))]),
    }


def test_kid_equals_naive_loops_whatever_the_blocks(monkeypatch):
    x, y = cloud(17), cloud(23, seed=1, at=0.3)
    expected = naive_mmd(x, y)
    assert images.kid(x, y).value == pytest.approx(expected, rel=1e-10)
    monkeypatch.setattr(neighbours, "ENTRIES_AT_ONCE", 30)
    assert images.kid(x, y).value == pytest.approx(expected, rel=1e-10)
    assert images.kid_blocks(x, y, 100).value == pytest.approx(naive_mmd(x[:17], y[:17]), rel=1e-10)
    blocks = images.kid_blocks(x, y, 8)
    own = [naive_mmd(x[:8], y[:8]), naive_mmd(x[8:16], y[8:16])]
    assert blocks.value == pytest.approx(np.mean(own), rel=1e-10)
    assert blocks.error == pytest.approx(abs(own[0] - own[1]) / 2, rel=1e-9)
    assert blocks.n == 16


@pytest.mark.parametrize(("size", "subsets"), [(5, 2), (20, 30)])  # pairs that hardly, and that often come twice
def test_kid_of_subsets_is_the_mean_over_those_drawn(monkeypatch, size, subsets):
    monkeypatch.setattr(neighbours, "ENTRIES_AT_ONCE", 1000)
    x, y = cloud(25), cloud(23, seed=1, at=0.3)
    found = images.kid_subsets(x, y, size, subsets, generator=torch.Generator().manual_seed(3))
    draws = torch.Generator().manual_seed(3)
    own = [naive_mmd(*(f[torch.randperm(len(f), generator=draws)[:size]] for f in (x, y))) for _ in range(subsets)]
    assert found.value == pytest.approx(np.mean(own), rel=1e-9)
    assert found.error == pytest.approx(np.std(own, ddof=1), rel=1e-9)


@pytest.mark.parametrize(("count", "size"), [(50, 25), (40, 20)])
def test_subsets_of_few_images_are_of_half_of_them(count, size):
    x, y = cloud(count), cloud(50, seed=1, at=0.3)
    found = images.kids(x, y, generator=torch.Generator().manual_seed(3))
    assert found["kid_subsets"] == images.kid_subsets(x, y, size, generator=torch.Generator().manual_seed(3))
    assert found["kid_subsets"].error > 1e-3
    assert found["kid"] == images.kid(x, y)
    assert found["kid_blocks"] == images.kid_blocks(x, y)
    assert "kid_subsets" not in images.kids(x[:3], y)
    with pytest.raises(GeneraError, match="subsets of 1000 images needs at least as many of each kind, got"):
        images.kid_subsets(x, y)


def test_kid_is_unbiased_where_fid_is_not():
    pairs = [(cloud(40, seed=i), cloud(40, seed=1000 + i)) for i in range(60)]
    values = np.array([images.kid(x, y).value for x, y in pairs])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(60)
    assert values.min() < 0
    assert np.mean([fid(x, y).value for x, y in pairs]) > 0.1
    x, y = cloud(300), cloud(300, seed=5, at=1.0)
    subsets = images.kid_subsets(x, y, 100, 20, generator=torch.Generator().manual_seed(0))
    assert subsets.value == pytest.approx(images.kid(x, y).value, rel=0.2)
    assert subsets.error > 0


def test_the_two_kids_of_u_gat_it_are_what_they_say():
    fake, target, source = cloud(40), cloud(40, seed=1), cloud(40, seed=2, at=1.0)
    to_target, to_source = (images.kid_blocks(fake, other, 10).value for other in (target, source))
    last = images.kid_u_gat_it(fake, target, source)
    assert last.value == pytest.approx(100 * (0.02 * to_target + 0.98 * to_source) / 2)
    early = images.kid_u_gat_it_early(fake, target, source)
    assert early.value == pytest.approx(100 * (to_target + to_source) / 2)
    # The trap: a better translation is farther from the source, and the figure is mostly that.
    assert last.value > 10 * abs(100 * to_target) / 2


def test_inception_score_closed_forms():
    sure = torch.eye(5).repeat(20, 1) * 50
    assert images.inception_score(sure, 10).value == pytest.approx(5, rel=1e-6)
    assert images.inception_score(torch.zeros(100, 5)).value == pytest.approx(1)
    assert images.inception_score(sure[::5]).value == pytest.approx(1)  # one class alone
    logits = cloud(40, 3)
    p = torch.softmax(logits, 1)
    divergence = (p * (p / p.mean(0)).log()).sum(1).mean()
    assert images.inception_score(logits, 1).value == pytest.approx(divergence.exp().item())
    with pytest.raises(GeneraError, match="over 10 parts needs as many images"):
        images.inception_score(logits[:9])


@pytest.mark.parametrize("entries", [1 << 24, 50])
def test_precision_and_recall_equal_naive_loops(monkeypatch, entries):
    monkeypatch.setattr(neighbours, "ENTRIES_AT_ONCE", entries)
    fake, real = cloud(30, spread=0.7), cloud(40, seed=1)
    found = images.precision_recall_density_coverage(fake, real)
    expected = naive_prdc(fake, real, 3, 5)
    assert {name: estimate.value for name, estimate in found.items()} == pytest.approx(expected, abs=1e-6)


def test_direction():
    """A collapsed generator is precise and forgets; a scattered one covers and is not precise."""
    real, fresh = cloud(300, 2), cloud(300, 2, seed=1)
    collapsed, scattered = cloud(300, 2, seed=2, spread=0.05), cloud(300, 2, seed=3, spread=6.0)
    of = {
        name: images.precision_recall_density_coverage(fake, real)
        for name, fake in (("fresh", fresh), ("collapsed", collapsed), ("scattered", scattered))
    }
    value = {name: {k: v.value for k, v in found.items()} for name, found in of.items()}
    assert value["collapsed"]["precision"] > 0.95
    assert value["collapsed"]["recall"] < 0.1
    assert value["collapsed"]["coverage"] < 0.2
    assert value["scattered"]["precision"] < 0.4
    assert value["scattered"]["recall"] > 0.8
    assert value["scattered"]["density"] < 0.3
    assert min(value["fresh"].values()) > 0.8
    for measure in (fid, images.kid):
        assert measure(fresh, real).value < measure(collapsed, real).value < measure(scattered, real).value


def test_fid_within_classes_sees_what_the_whole_hides():
    """Labels swapped between two classes leave FID as it is."""
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
    labels = torch.arange(200) % 2
    real, fake = cloud(200, 2) + centres[labels], cloud(200, 2, seed=1) + centres[labels]
    right, by_class = images.intra_class_fid(fake, labels, real, labels)
    wrong, _ = images.intra_class_fid(fake, 1 - labels, real, labels)
    assert right.value < 0.2
    assert wrong.value == pytest.approx(16, rel=0.15)
    assert set(by_class) == {0, 1}
    assert right.value == pytest.approx(np.mean(list(by_class.values())))
    only = images.intra_class_fid(fake, labels * 0, real, labels)[1]
    assert set(only) == {0}
    with pytest.raises(GeneraError, match="needs a class with at least two generated and two real images"):
        images.intra_class_fid(fake, labels + 7, real, labels)


def test_copies_are_found_and_fresh_images_are_not_accused():
    training, fresh = cloud(300), cloud(300, seed=1)
    share, _, _ = images.copies(fresh, training)
    assert 0.3 < share.value < 0.7
    copied, distances, places = images.copies(training[:50] + 1e-3, training)
    assert copied.value == 1
    assert places.tolist() == list(range(50))
    assert (distances < 0.01).all()


@pytest.mark.parametrize("measure", [images.kid, images.kid_blocks, images.precision_recall_density_coverage])
def test_bad_features_are_named(measure):
    good = cloud(20)
    with pytest.raises(GeneraError, match="features must be two tables"):
        measure(good, cloud(20, 3))
    with pytest.raises(GeneraError, match="at least 2 images of each kind"):
        measure(good[:1], good)
    with pytest.raises(GeneraError, match="not finite"):
        measure(good * torch.inf, good)
