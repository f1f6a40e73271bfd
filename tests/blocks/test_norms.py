"""Normalisation: against torch's own, its running moments over parts and ranks, and conditional gains."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from genera.blocks.norms import AffineNorm, BatchNorm, ConditionalNorm, GroupNorm
from genera.testing.processes import forked_script


def maps(rows=8, channels=4):
    noise = torch.Generator().manual_seed(1)
    return 3 + 2 * torch.randn(rows, channels, 5, 5, generator=noise)


def test_batch_norm_is_torchs_own():
    ours, theirs = BatchNorm(4, "running"), nn.BatchNorm2d(4, affine=False)
    for seed in range(3):
        x = maps() + seed
        torch.testing.assert_close(ours(x), theirs(x))
        ours.commit()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_running_moments_move_once_a_turn_by_the_mean_over_its_passes():
    norm, passes = BatchNorm(4, "running"), [maps(), maps() * 2 + 1]
    for x in passes:
        norm(x)
    assert norm.running_mean.abs().max() == 0
    norm.commit()
    means = torch.stack([x.mean((0, 2, 3)) for x in passes]).mean(0)
    torch.testing.assert_close(norm.running_mean, 0.1 * means)
    norm.commit()
    torch.testing.assert_close(norm.running_mean, 0.1 * means)


def test_the_batchs_own_moments_are_used_at_test_where_asked():
    norm, x = BatchNorm(4, "batch").eval(), maps()
    torch.testing.assert_close(norm(x), F.batch_norm(x, None, None, training=True))
    assert norm.running_mean.abs().max() == 0


RANKS = """
import os, sys, torch, torch.distributed as dist
from genera.blocks.norms import BatchNorm
from safetensors.torch import save_file

world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
if world > 1:
    dist.init_process_group("gloo")
noise = torch.Generator().manual_seed(1)
x = (3 + 2 * torch.randn(8, 4, 5, 5, generator=noise)).chunk(world)[rank].clone().requires_grad_()
weight = torch.randn(8, 4, 5, 5, generator=noise).chunk(world)[rank]
norm = BatchNorm(4, "running")
y = norm(x)
(y.pow(2) * weight).sum().backward()
norm.commit()
parts = {"y": y.detach(), "grad": x.grad}
if world > 1:
    for name, own in parts.items():
        everyones = [torch.empty_like(own) for _ in range(world)]
        dist.all_gather(everyones, own.contiguous())
        parts[name] = torch.cat(everyones)
if rank == 0:
    save_file({**parts, **norm.state_dict()}, f"{sys.argv[1]}/{world}.safetensors")
if world > 1:
    dist.destroy_process_group()
"""


def test_two_ranks_normalise_as_one(tmp_path):
    """Values, running moments, and gradients, which reach each rank through the moments of the other's rows."""
    (tmp_path / "ranks.py").write_text(RANKS)
    for ranks in (1, 2):
        done = forked_script(tmp_path / "ranks.py", tmp_path, ranks=ranks)
        assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / f"{world}.safetensors") for world in (1, 2))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


def test_group_norm_keeps_rows_apart():
    norm, x = GroupNorm(32), maps(channels=32)
    torch.testing.assert_close(norm(x)[:2], norm(x[:2]))
    groups = norm(x).unflatten(1, (2, 16)).flatten(2)
    torch.testing.assert_close(groups.mean(2), torch.zeros(8, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(groups.std(2, correction=0), torch.ones(8, 2), rtol=1e-3, atol=0)


@pytest.mark.parametrize("channels", [1, 3, 8, 20, 48])
def test_group_norm_takes_any_number_of_channels(channels):
    assert channels % GroupNorm(channels).groups == 0


def test_gains_and_biases():
    x = maps()
    gain, bias = nn.Embedding(3, 4), nn.Embedding(3, 4)
    y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    plain = BatchNorm(4, "running")(x)
    out = ConditionalNorm(BatchNorm(4, "running"), gain, bias)(x, y)
    torch.testing.assert_close(out[1], plain[1] * (1 + gain.weight[1])[:, None, None] + bias.weight[1][:, None, None])
    torch.testing.assert_close(AffineNorm(BatchNorm(4, "running"), 4)(x), plain)
