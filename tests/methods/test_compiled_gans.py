"""`--compile` of the GANs: each is traced, differentiated (twice where it has penalties) and learns the same.

By the front half of the compiler, `aot_eager`: generated C++ would take minutes, and other tests run some of it.
"""

import pytest
import torch
import yaml
from safetensors.torch import load_file

from genera.engine import checkpoint
from genera.engine.train import train
from training import TINY, configured

GANS = ["biggan:fq", "stylegan2:fq"]  # batch moments and spectral vectors; second derivatives


@pytest.mark.parametrize("method", GANS)
def test_a_compiled_gan_learns_the_same(method, tmp_path, monkeypatch):
    compile_module, compiled = torch.nn.Module.compile, []

    def trace(network):
        compiled.append(type(network).__name__)
        compile_module(network, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    name, overrides = TINY[method]
    overrides = {key: yaml.safe_load(str(value)) for key, value in overrides.items()}
    overrides |= {"train.steps": 2, "train.log_every": 1, "train.batch_size": 4, "train.device": "cpu"}
    found = []
    for turned_on in (False, True):
        torch._dynamo.reset()
        config = configured(f"{method.partition(':')[0]}:{name}", overrides | {"train.compile": turned_on})
        folder = train(config, tmp_path / f"run-{turned_on}")
        found.append(load_file(checkpoint.pick(folder.checkpoints) / "weights.safetensors"))
    assert len(compiled) >= 2
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-3, atol=1e-4, msg=lambda m, key=key: f"{key}: {m}")
