"""The residual networks: shapes at every size, and their layers against plain forms."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genera.blocks.resnet_gan import (
    DownBlock,
    Generator,
    ProjectionDiscriminator,
    SelfAttention,
    UpBlock,
    initialise,
)
from genera.blocks.resnet_gan_config import ResNetGanConfig
from genera.errors import GeneraError

SMALL = ResNetGanConfig(width=2, latent_size=21, shared_embedding=5, hierarchical=True)


@pytest.mark.parametrize(("size", "attention"), [(28, 14), (32, 16), (64, 32), (128, 64), (256, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_has_its_shapes(size, attention, channels):
    config = ResNetGanConfig(width=1, latent_size=420, shared_embedding=5, hierarchical=True, attention=attention)
    g, d = Generator(config, size, channels, 4), ProjectionDiscriminator(config, size, channels, 4)
    y = torch.tensor([0, 3])
    images = g(torch.randn(2, 420), y)
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1
    assert d(images, y).shape == (2,)
    assert len(g.attention) == len(d.attention) == 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [(32, [16, 8, 8, 8]), (64, [32, 16, 8, 4, 4]), (128, [64, 32, 16, 8, 4, 4]), (256, [128, 64, 32, 16, 8, 4, 4])],
)
def test_the_discriminators_blocks_halve_the_side(size, expected):
    d, sides = ProjectionDiscriminator(ResNetGanConfig(width=1), size, 3, 2), []
    for block in d.blocks:
        block.register_forward_hook(lambda _, __, out: sides.append(out.shape[2]))
    d(torch.zeros(1, 3, size, size), torch.zeros(1, dtype=torch.int64))
    assert sides == expected


def test_a_class_and_every_chunk_of_z_matter():
    torch.manual_seed(0)
    g = Generator(SMALL, 28, 3, 4).eval()
    z, y = torch.randn(1, 21), torch.tensor([1])
    plain = g(z, y)
    assert not torch.allclose(g(z, torch.tensor([2])), plain)
    for chunk in range(3):
        other = z.clone()
        other[:, 7 * chunk : 7 * (chunk + 1)] += 1
        assert not torch.allclose(g(other, y), plain)


def test_blocks_are_the_published_order_of_their_layers():
    """They pool and upsample where that is cheapest; the published order gives the same."""
    torch.manual_seed(0)
    x, eps = torch.randn(2, 3, 8, 8), 1e-8
    down = DownBlock(3, 4, first=False, pool=True, eps=eps).eval()
    published = F.avg_pool2d(down.conv2(F.relu(down.conv1(F.relu(x)))), 2) + F.avg_pool2d(down.shortcut(x), 2)
    torch.testing.assert_close(down(x), published)
    first = DownBlock(3, 4, first=True, pool=True, eps=eps).eval()
    published = F.avg_pool2d(first.conv2(F.relu(first.conv1(x))), 2) + first.shortcut(F.avg_pool2d(x, 2))
    torch.testing.assert_close(first(x), published)
    same = DownBlock(3, 3, first=False, pool=False, eps=eps).eval()
    torch.testing.assert_close(same(x), x + same.conv2(F.relu(same.conv1(F.relu(x)))))
    up = UpBlock(3, 4, lambda width: Double(), eps).eval()
    big = nn.Upsample(scale_factor=2)
    published = up.conv2(F.relu(2 * up.conv1(big(F.relu(2 * x))))) + up.shortcut(big(x))
    torch.testing.assert_close(up(x, torch.zeros(2)), published)


class Double(nn.Module):
    """Stands where a conditional norm would."""

    def forward(self, x, c):
        return 2 * x


def test_attention_is_the_plain_softmax_over_positions():
    torch.manual_seed(0)
    layer, x = SelfAttention(16, 1e-8).eval(), torch.randn(2, 16, 6, 6)
    assert torch.equal(layer(x), x)  # its gain begins at 0
    nn.init.constant_(layer.gain, 0.7)
    query, key = layer.query(x).flatten(2), F.max_pool2d(layer.key(x), 2).flatten(2)
    value = F.max_pool2d(layer.value(x), 2).flatten(2)
    weights = torch.einsum("bcq,bck->bqk", query, key).softmax(2)
    mixed = torch.einsum("bqk,bck->bcq", weights, value).view(2, 8, 6, 6)
    torch.testing.assert_close(layer(x), x + 0.7 * layer.out(mixed))


def test_the_projection_score():
    torch.manual_seed(0)
    d = ProjectionDiscriminator(ResNetGanConfig(width=2), 28, 1, 3).eval()
    x, y = torch.randn(4, 1, 28, 28), torch.tensor([0, 1, 2, 1])
    phi = d.features(x)
    table, w = d.embedding.normalised(), d.linear.normalised()
    torch.testing.assert_close(
        d(x, y), phi @ w[0] + d.linear.bias + torch.stack([phi[i] @ table[y[i]] for i in range(4)])
    )


def test_initial_weights():
    torch.manual_seed(0)
    d = ProjectionDiscriminator(ResNetGanConfig(width=8), 28, 3, 4)
    initialise(d, "normal")
    assert d.blocks[1].conv1.weight.std().item() == pytest.approx(0.02, rel=0.1)
    initialise(d, "orthogonal")
    rows = d.blocks[1].conv1.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.t(), torch.eye(len(rows)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "size", "words"),
    [
        ({}, 48, "--image-size must be 28, 32, 64, 128 or 256"),
        ({"latent_size": 20}, 28, "--latent-size 20 does not divide into 3 chunks at 28 x 28; use 21"),
        ({"attention": 32}, 28, "--attention 32: no feature map has this resolution; use 14, 28"),
    ],
)
def test_what_does_not_fit_is_said(settings, size, words):
    config = ResNetGanConfig(**{**vars(SMALL), **settings})
    with pytest.raises(GeneraError, match=words):
        Generator(config, size, 3, 2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hierarchical": True}, "needs a --shared-embedding"),
        ({"d_steps": 0}, "--d-steps must be at least 1"),
        ({"g_lr": 0.0}, "must be above 0"),
        ({"optimiser": "sgd"}, "--optimiser must be one of adam"),
        ({"betas": (0.5, 1.0)}, r"two numbers in \[0, 1\)"),
    ],
)
def test_settings_are_checked(settings, words):
    (complaint,) = ResNetGanConfig(**settings).check()
    assert re.search(words, complaint)
