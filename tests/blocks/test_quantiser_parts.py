"""One dictionary, however its batch is run: in parts, on ranks, compiled."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from genera.testing.processes import forked_script
from small_quantisers import features, quantiser

SETTINGS = [
    {},
    {"ema": "debias", "init": "variance_scaling"},
    {"ema": "ones", "decay": 0.9},
    {"ema": "ones", "init": "data", "revive_below": 0.3},
    {"init": "data"},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_parts_of_a_batch_give_the_dictionary_of_the_whole(settings):
    whole, parts = quantiser(**settings), quantiser(**settings)
    for turn in range(4):
        h = features(rows=8, seed=turn)
        whole(h)
        for part in h.split(2):
            parts(part)
        whole.commit()
        parts.commit()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_nothing_staged_changes_nothing():
    q = quantiser()
    q(features())
    q.commit()
    before = q.codes.clone()
    q.commit()
    assert torch.equal(q.codes, before)


RANKS = """
import sys, torch, torch.distributed as dist
from genera.blocks.quantisation import Quantisation, QuantisedLayer
from genera.blocks.quantiser_config import QuantiserConfig
from safetensors.torch import save_file

world = int(__import__("os").environ.get("WORLD_SIZE", 1))
rank = int(__import__("os").environ.get("RANK", 0))
if world > 1:
    dist.init_process_group("gloo")
for index, settings in enumerate(eval(sys.argv[2])):
    torch.manual_seed(0)
    config = QuantiserConfig(after=("a", "b"), **settings)
    fq = Quantisation(config, [QuantisedLayer("a", 3, (4, 4), 5), QuantisedLayer("b", 2, (2, 2), 4)])
    for turn in range(4):
        noise = torch.Generator().manual_seed(turn)
        shape_a, shape_b = (8, 3, 4, 4), (8, 2, 2, 2)
        draw = lambda shape: torch.randn(shape, generator=noise).chunk(world)[rank]
        fake, real = (draw(shape_a), draw(shape_b)), (draw(shape_a), draw(shape_b))
        n = len(fake[0])
        with fq.learning(fake=slice(n), real=slice(n, None)):
            for q, one, other in zip(fq.quantisers, fake, real):
                q(torch.cat([one, other]))
        fq.commit()
    if rank == 0:
        save_file(fq.state_dict(), f"{sys.argv[1]}/{world}-{index}.safetensors")
if world > 1:
    dist.destroy_process_group()
"""


def test_two_ranks_give_the_dictionary_of_one(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    for ranks in (1, 2):
        done = forked_script(script, tmp_path, repr(SETTINGS), ranks=ranks)
        assert done.returncode == 0, done.stderr
    for index in range(len(SETTINGS)):
        one, two = (load_file(tmp_path / f"{world}-{index}.safetensors") for world in (1, 2))
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


IN_FLOAT64 = """
import sys, torch
torch.set_default_dtype(torch.float64)
from genera.blocks.resnet_gan import Generator, ProjectionDiscriminator
for network in (Generator, ProjectionDiscriminator):
    network.forward = lambda self, x, y, forward=network.forward: forward(self, x.double(), y)
from genera.cli.main import main
main(sys.argv[1:])
"""


def test_a_gan_on_two_ranks_learns_the_dictionaries_of_one_but_for_rounding(tmp_path):
    """In float32 the same six steps end 5e-3 apart: a feature as far from one code as from another, but for rounding,
    moves to the other, and Adam turns gradients of rounding into whole steps. In float64 neither happens."""
    script = tmp_path / "float64.py"
    script.write_text(IN_FLOAT64)
    command = ["train", "biggan:nano-fq", "--data", "world:shapes", "--limit", "100", "--steps", "6", "--device", "cpu"]
    dictionaries = []
    for ranks in (1, 2):
        done = forked_script(script, *command, "--out", tmp_path / str(ranks), ranks=ranks)
        assert done.returncode == 0, done.stderr
        weights = load_file(next((tmp_path / str(ranks)).glob("checkpoints/*/weights.safetensors")))
        dictionaries.append({name: value for name, value in weights.items() if name.endswith(".codes")})
    assert len(dictionaries[0]) == 3
    torch.testing.assert_close(*dictionaries, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
@pytest.mark.parametrize("settings", [{}, {"mode": "quantize", "ema": "ones", "init": "data", "revive_below": 0.1}])
def test_the_compiled_quantiser_is_one_graph_and_learns_the_same(settings):
    eager, compiled = quantiser(**settings), quantiser(**settings)
    torch._dynamo.reset()
    fast = torch.compile(compiled, fullgraph=True)
    for seed in range(3):
        outputs = []
        for q, call in ((eager, eager), (compiled, fast)):
            h = features(seed=seed).requires_grad_()
            out = call(h)
            (out.square().mean() + q.commitment.sum()).backward()
            q.commit()
            outputs.append((out.detach(), h.grad, q.codes.clone()))
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
