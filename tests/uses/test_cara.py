"""CARA on points: two clusters whose side is the label, so that all it must do can be read off."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from genera.engine.capabilities import Posterior
from genera.uses.cara import CaraGuide

SIDE = torch.tensor([-2.0, 2.0])


class Points(nn.Module):
    """An autoencoder of points (x, y), items "x y": linear both ways, the likelihood Gaussian of deviation 0.3."""

    latent_size = 2

    def __init__(self):
        super().__init__()
        self.to_z, self.to_x = nn.Linear(2, 2), nn.Linear(2, 2)
        for layer in (self.to_z, self.to_x):
            layer.weight.data, layer.bias.data = torch.eye(2), torch.zeros(2)

    def encode(self, items):
        return Posterior(self.to_z(points(items)))

    def score_given(self, items, z):
        return -(points(items) - self.to_x(z)).square().sum(1).double() / (2 * 0.3**2)

    def decode(self, z, *, generator=None):
        return [f"{x} {y}" for x, y in self.to_x(z).tolist()]


def points(items):
    return torch.tensor([[float(word) for word in item.split()] for item in items])


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(2, (1000,), generator=generator)
    x = torch.randn(1000, 2, generator=generator)
    x[:, 0] = SIDE[classes] + 0.5 * x[:, 0]
    return [f"{a} {b}" for a, b in x.tolist()], classes


@pytest.fixture(scope="module")
def guide(data):
    return CaraGuide.fit(Points(), *data, 2, hidden=32, steps=800, gan_steps=800, lr=1e-2, seed=0)


def told(model, data):
    """How well a fresh reader finds the label in the latent."""
    items, classes = data
    with torch.no_grad():
        z = model.encode(items).mean.numpy()
    return LogisticRegression().fit(z[:500], classes[:500]).score(z[500:], classes[500:])


def test_the_latent_no_longer_tells_the_label(guide, data):
    assert told(Points(), data) > 0.98
    assert told(guide.model, data) < 0.7


def test_the_embedding_does_and_the_rest_is_as_varied_as_the_data(guide):
    for label in (0, 1):
        z = guide(label, 1000, torch.Generator().manual_seed(1), 1.0)
        x = points(guide.model.decode(z))
        assert (x[:, 0].sign() == SIDE[label].sign()).float().mean() > 0.95
        assert x[:, 1].std() == pytest.approx(1.0, abs=0.35)
        assert abs(x[:, 1].mean()) < 0.4


def test_a_fit_follows_its_seed_and_leaves_the_model_alone(data):
    items, classes = data
    model = Points()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    settings = {"hidden": 8, "steps": 3, "gan_steps": 3, "lr": 1e-2}
    guides = [CaraGuide.fit(model, items, classes, 2, **settings, seed=seed) for seed in (0, 0, 1)]
    z = [guide(0, 4, torch.Generator().manual_seed(0), 1.0) for guide in guides]
    assert torch.equal(z[0], z[1])
    assert not torch.equal(z[0], z[2])
    assert torch.equal(model.to_z.weight, torch.eye(2))
    assert torch.equal(torch.rand(1), expected)
