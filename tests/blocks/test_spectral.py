"""Spectral normalisation: the largest singular value, staging, gradients."""

import torch
from torch import nn

from genera.blocks.spectral import SpectralConv2d, SpectralEmbedding, SpectralLinear


def layers():
    torch.manual_seed(0)
    return [
        SpectralLinear(6, 4, eps=1e-8),
        SpectralConv2d(3, 5, 3, eps=1e-8),
        SpectralEmbedding(7, 4, eps=1e-8),
    ]


def run(layer):
    if isinstance(layer, nn.Embedding):
        return layer(torch.arange(7))
    return layer(torch.randn(2, 6) if isinstance(layer, nn.Linear) else torch.randn(2, 3, 8, 8))


def largest(layer):
    return torch.linalg.matrix_norm(layer.weight.flatten(1), 2)


def test_power_iterations_find_the_largest_singular_value():
    for layer in layers():
        for _ in range(100):
            run(layer)
            layer.commit()
        torch.testing.assert_close(layer.normalised(), layer.weight / largest(layer), rtol=1e-4, atol=1e-5)


def test_one_iteration_a_turn_however_often_the_layer_runs():
    once, thrice = layers()[0], layers()[0]
    run(once)
    for _ in range(3):
        run(thrice)
    assert torch.equal(once.u, thrice.u)
    assert torch.equal(once.normalised(), thrice.normalised())
    before = once.u.clone()
    once.commit()
    thrice.commit()
    assert torch.equal(once.u, thrice.u)
    assert not torch.equal(once.u, before)
    torch.testing.assert_close(once.u.norm(), torch.tensor(1.0))


def test_several_iterations_a_turn_are_several_turns_at_once():
    slow, fast = layers()[1], layers()[1]
    fast.iterations = 3
    for _ in range(3):
        run(slow)
        slow.commit()
    run(fast)
    fast.commit()
    assert torch.equal(fast.u, slow.u)


def test_orthogonal_weights_stay_near_norm_one_while_they_learn():
    """A weight that grows in one direction after another."""
    worst = {}
    for iterations in (1, 3):
        torch.manual_seed(0)
        layer = SpectralLinear(64, 32, eps=1e-8)
        nn.init.orthogonal_(layer.weight)
        layer.iterations = iterations
        norms = []
        for turn in range(200):
            if turn % 50 == 0:
                out, back = (nn.functional.normalize(torch.randn(size), dim=0) for size in (32, 64))
            with torch.no_grad():
                layer.weight += 0.01 * out[:, None] * back
            norms.append(torch.linalg.matrix_norm(layer.normalised(), 2).item())
            layer.commit()
        worst[iterations] = max(norms)
    assert worst[1] > 1.05
    assert worst[3] < 1.05


def test_eval_mode_moves_nothing():
    for layer in layers():
        layer.eval()
        before = layer.u.clone()
        run(layer)
        layer.commit()
        assert torch.equal(layer.u, before)


def test_the_gradient_runs_through_the_singular_value():
    """W / σ(W) does not change with the scale of W, so its gradient is orthogonal to W."""
    layer = layers()[0]
    layer.normalised().pow(3).sum().backward()
    assert abs((layer.weight.grad * layer.weight).sum()) < 1e-6
    assert layer.weight.grad.norm() > 1e-3


def test_a_weight_of_zeros_stays_finite():
    layer = SpectralLinear(3, 2, eps=1e-6)
    nn.init.zeros_(layer.weight)
    assert torch.isfinite(layer.u).all()
    run_once = layer.normalised()
    assert run_once.shape == (2, 3)
    layer.commit()
    assert torch.isfinite(layer.u).all()
