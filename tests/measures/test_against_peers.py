"""Our figures beside those of torchmetrics and prdc on the same features."""

import pytest
import torch
from torch import nn

from genera.measures.frechet import fid
from genera.measures.images import inception_score, kid_subsets, precision_recall_density_coverage


@pytest.fixture(scope="module")
def features():
    """(fake (300, 12), real (400, 12)): correlated, of unequal means and spreads."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(12, 12, generator=generator)
    real = torch.randn(400, 12, generator=generator) @ mix
    fake = 0.8 * torch.randn(300, 12, generator=generator) @ mix + 0.3
    return fake, real


class AsTheyAre(nn.Module):
    """An extractor of features that are given in the place of images."""

    num_features = 12

    def forward(self, features):
        return features


def peer(module):
    return pytest.importorskip(module, reason="an oracle of the extra dev")


def test_fid_of_torchmetrics(features):
    fake, real = features
    theirs = peer("torchmetrics.image.fid").FrechetInceptionDistance(AsTheyAre()).set_dtype(torch.float64)
    for part in real.double().split(90):
        theirs.update(part, real=True)
    for part in fake.double().split(70):
        theirs.update(part, real=False)
    assert fid(fake, real).value == pytest.approx(theirs.compute().item(), rel=1e-6)


def test_kid_of_torchmetrics(features):
    """Of one subset that is everything, since theirs and ours draw different ones."""
    fake, real = (f[:300].double() for f in features)
    theirs = peer("torchmetrics.image.kid").KernelInceptionDistance(AsTheyAre(), subsets=1, subset_size=300)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    ours = kid_subsets(fake, real, size=300, subsets=1)
    assert ours.value == pytest.approx(theirs.compute()[0].item(), rel=1e-6)


def test_inception_score_of_torchmetrics(features):
    """Theirs shuffles the images first: so of a single split."""
    logits, _ = features
    theirs = peer("torchmetrics.image.inception").InceptionScore(AsTheyAre(), splits=1)
    theirs.update(logits.double())
    assert inception_score(logits, splits=1).value == pytest.approx(theirs.compute()[0].item(), rel=1e-5)


@pytest.mark.parametrize("k", [3, 5])
def test_precision_recall_density_coverage_of_prdc(features, k):
    fake, real = features
    theirs = peer("prdc").compute_prdc(real.numpy(), fake.numpy(), nearest_k=k)
    ours = precision_recall_density_coverage(fake, real, k=k, density_k=k)
    assert set(theirs) == set(ours)
    for name, value in theirs.items():
        assert ours[name].value == pytest.approx(value, abs=1e-6)
