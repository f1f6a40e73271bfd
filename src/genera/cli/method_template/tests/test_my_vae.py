"""The promises of every method, from genera's test kit; then what only this method promises."""

import pytest
import torch
from genera.data.images.dataset import ImageAssets
from genera.testing import Case, MethodTests

from my_vae.config import MyVaeConfig
from my_vae.method import MyVae
from my_vae.model import Network


class TestMyVae(MethodTests):
    tiny = Case(
        method="my-vae:nano",
        overrides={"data.image_size": 12, "data.limit": 100, "model.width": 4, "model.latent_size": 3},
        evaluation=("--fidelity.images=64",),
    )


def test_the_probabilities_of_all_values_of_a_pixel_sum_to_one() -> None:
    network = Network(MyVaeConfig(width=2, latent_size=2), size=1, channels=1).double()
    values = torch.linspace(-1, 1, 256, dtype=torch.float64).view(256, 1, 1, 1)
    log_likelihood = network.log_likelihood(values, torch.zeros(256, 2, dtype=torch.float64))
    assert log_likelihood.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_the_importance_weighted_bound_rises_with_samples() -> None:
    torch.manual_seed(0)
    method = MyVae(MyVaeConfig(width=2, latent_size=2), ImageAssets(size=8, channels=1, classes=()))
    images = list(torch.rand(4, 1, 8, 8) * 2 - 1)
    weights = method.score(images, 64, generator=torch.Generator().manual_seed(0)).log_weights
    elbo, bound = weights.mean(0), weights.logsumexp(0) - torch.tensor(64.0).log()
    assert (bound > elbo).all()
