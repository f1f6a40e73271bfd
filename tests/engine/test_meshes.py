"""FSDP, HSDP, tensor parallelism and their combinations on four ranks (gloo): the curve of one process, memory of 1/N,
checkpoints that any mesh resumes; and what cannot be divided says so."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from genera.blocks.tensor_parallel import Arrangement, check_split
from genera.engine import checkpoint as ckpt
from genera.engine.config import TrainConfig
from genera.engine.deferred import build
from genera.engine.dry_run import dry_run
from genera.engine.mesh import Mesh, mesh_of
from genera.errors import GeneraError
from genera.files import in_file_order, stream_tensors
from genera.testing import forked
from mesh_steps import CASES, CROSSINGS, SAVED, STEPS
from training import configured

CLOSE = 1e-5
"""of losses and gradient norms, in units of the figure"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meshes")
    done = forked("mesh_steps:report", str(folder), ranks=4, imports=["small_methods", "mesh_steps"])
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize(("layout", "mesh"), CASES)
def test_every_mesh_has_the_curve_of_one_process(found, layout, mesh):
    """Loss and gradient norm of each step, and the loss under moving averages."""
    one, some = found[f"{layout} alone"], found[f"{layout} {mesh}"]
    torch.testing.assert_close(torch.tensor(some["figures"]), torch.tensor(one["figures"]), rtol=CLOSE, atol=0)
    assert some["validation"] == pytest.approx(one["validation"], rel=CLOSE)
    assert len({norm for _, norm in one["figures"]}) == STEPS


@pytest.mark.parametrize(
    ("mesh", "share"), [("fsdp", 1 / 4), ("hsdp", 1 / 2), ("tp4", 1 / 4), ("tp2 x ddp", 1 / 2), ("tp2 x fsdp", 1 / 4)]
)
def test_a_rank_holds_its_share_of_weights_averages_and_moments(found, mesh, share):
    """Tensor parallelism replicates positions and norms, and fills the vocabulary up."""
    (whole,), held = found["gpt2 alone"]["held"], found[f"gpt2 {mesh}"]["held"]
    slack = 0.09 if mesh.startswith("tp") else 0.01
    assert all(share * whole * 0.99 <= bytes_held <= (share + slack) * whole for bytes_held in held)


@pytest.mark.parametrize(("before", "after"), CROSSINGS)
def test_what_one_mesh_saved_another_resumes(found, before, after):
    resumed, unbroken = found[f"{before} -> {after}"]["figures"], found[f"gpt2 {before}"]["figures"][SAVED:]
    if before == after:
        assert resumed == unbroken
    torch.testing.assert_close(torch.tensor(resumed), torch.tensor(unbroken), rtol=1e-6, atol=1e-6)


def test_weights_are_one_file_in_the_order_of_files(folder):
    one = load_file(ckpt.pick(folder / "gpt2 alone") / "weights.safetensors")
    for mesh in ("tp4", "tp2 x fsdp"):
        checkpoint = ckpt.pick(folder / f"gpt2 {mesh}")
        some = load_file(checkpoint / "weights.safetensors")
        assert {name: t.shape for name, t in some.items()} == {name: t.shape for name, t in one.items()}
        for name, tensor in one.items():
            torch.testing.assert_close(some[name], tensor, rtol=1e-4, atol=1e-5)
        ckpt.verify(checkpoint)


def test_parts_draw_alike_outside_of_their_heads_and_apart_inside(found):
    drawn = found["dropout"]
    assert len({str(values) for values in drawn["attention"]}) == 4
    assert len({str(values) for values in drawn["after"]}) == 1
    assert len({str(values) for values in drawn["norms"]}) == 1


def test_layers_are_compiled_recomputed_and_sharded(found):
    case = found["compiled"]
    assert case["frames"] >= 2
    torch.testing.assert_close(torch.tensor(case["figures"]), torch.tensor(case["plain"]), rtol=CLOSE, atol=0)


# parts


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("matrices", [(8, 4, 4), (12, 12), (7,), (5, 9)])
def test_an_arrangement_gives_each_part_its_share_of_every_matrix(matrices, parts):
    arrangement, whole = Arrangement(matrices, parts), torch.randn(sum(matrices), 3)
    held = arrangement.held(whole)
    assert len(held) == arrangement.held_rows
    torch.testing.assert_close(arrangement.whole(held), whole, rtol=0, atol=0)
    first = held.chunk(parts)[0]
    assert torch.equal(first[: matrices[0] // parts], whole[: matrices[0] // parts])


class Odd(nn.Module):
    """One weight is computed from another, which cannot be drawn later."""

    def __init__(self):
        super().__init__()
        self.a = nn.Embedding(5, 3, padding_idx=0)
        self.b = nn.Parameter(torch.randn(3))
        nn.init.orthogonal_(self.a.weight)
        self.register_buffer("c", torch.empty(3).fill_(2))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.norm = nn.LayerNorm(4)
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.1)
            nn.init.zeros_(layer.bias)


@pytest.mark.parametrize("make", [Plain, Odd])
def test_a_model_built_without_memory_gets_the_weights_it_would_have(make):
    torch.manual_seed(1)
    whole, after = make(), torch.rand(2)
    torch.manual_seed(1)
    deferred, initial = build(make)
    assert torch.equal(torch.rand(2), after)
    assert all(p.is_meta for p in deferred.parameters())
    assert not any(b.is_meta for b in deferred.buffers())
    state, values = torch.get_rng_state(), {name: value.clone() for name, value in initial}
    assert torch.equal(torch.get_rng_state(), state)
    assert values.keys() == dict(whole.named_parameters()).keys()
    assert all(torch.equal(values[name], p) for name, p in whole.named_parameters())


def test_a_streamed_file_is_one_that_safetensors_reads(tmp_path):
    tensors = {"b": torch.randn(3, 5), "a": torch.tensor(7), "c": torch.randn(4).bfloat16(), "d": torch.ones(3) > 0}
    shapes = {name: (t.shape, t.dtype) for name, t in tensors.items()}
    path = tmp_path / "some.safetensors"
    stream_tensors(path, shapes, (tensors[name] for name in in_file_order(shapes)))
    read = load_file(path)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], t) and read[name].dtype == t.dtype for name, t in tensors.items())
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


# what cannot be divided


@pytest.mark.parametrize(
    ("given", "world", "sentence"),
    [
        ({"tensor_parallel": 2}, 1, "--tensor-parallel 2 needs a multiple of 2 ranks, but there is 1; start them with"),
        ({"tensor_parallel": 3}, 4, "--tensor-parallel 3 needs a multiple of 3 ranks, but there are 4; start them"),
        (
            {"tensor_parallel": 2, "replicas": 2, "sharding": "fsdp"},
            6,
            "--tensor-parallel 2 and --replicas 2 needs a multiple of 4 ranks, but there are 6",
        ),
        (
            {"tensor_parallel": 2, "batch_size": 9},
            4,
            "--batch-size 9 does not divide over 2 groups of 2 ranks x 1 parts.",
        ),
        ({"batch_size": 9}, 4, "--batch-size 9 does not divide over 4 ranks x 1 parts."),
    ],
)
def test_ranks_that_do_not_divide_are_refused(given, world, sentence):
    with pytest.raises(GeneraError) as refused:
        mesh_of(TrainConfig(steps=1, **given), world)
    assert str(refused.value).startswith(sentence)


def test_meshes_of_options():
    of = {"none": TrainConfig(steps=1), "fsdp": TrainConfig(steps=1, sharding="fsdp")}
    assert mesh_of(of["none"], 8) == Mesh(8, 1, 1)
    assert mesh_of(of["fsdp"], 8) == Mesh(1, 8, 1)
    assert mesh_of(TrainConfig(steps=1, sharding="fsdp", replicas=2, tensor_parallel=2), 8) == Mesh(2, 2, 2)
    assert mesh_of(TrainConfig(steps=1, tensor_parallel=4), 8) == Mesh(2, 1, 4)
    assert "--replicas 2 needs --sharding fsdp" in TrainConfig(steps=1, replicas=2).check()


@pytest.mark.parametrize(
    ("method", "given", "sentence"),
    [
        ("lm:nano", {"train.tensor_parallel": 3}, "--tensor-parallel 3 does not divide the heads of blocks.0"),
        (
            "lm:nano",
            {"train.tensor_parallel": 4, "model.decoder.key_value_heads": 2},
            "--tensor-parallel 4 does not divide the key_value_heads of blocks.0, which are 2; use a divisor.",
        ),
        (
            "lm:nano",
            {"train.tensor_parallel": 4, "model.decoder.feed_forward": 90},
            "--tensor-parallel 4 does not divide the feed_forward of blocks.0, which are 90; use a divisor.",
        ),
        (
            "biggan:nano",
            {"train.tensor_parallel": 2},
            "--tensor-parallel 2 needs a method with a single player, got discriminator, generator; drop it.",
        ),
        (
            "small-image-vae:tiny",
            {"train.tensor_parallel": 2},
            "--tensor-parallel 2 splits transformer layers, but this method has none; drop it.",
        ),
    ],
)
def test_methods_that_cannot_be_split_say_so(method, given, sentence):
    with pytest.raises(GeneraError) as refused:
        dry_run(configured(method, given))
    assert str(refused.value).startswith(sentence)


def test_layers_that_cannot_be_split_are_named():
    from genera.blocks.layouts import T5
    from genera.blocks.size import T5Size, TransformerSize
    from genera.blocks.t5 import T5 as Model
    from genera.blocks.transformer import Block

    size = {"layers": 1, "hidden": 8, "heads": 2, "feed_forward": 16, "positions": 8, "vocabulary": 10, "layout": T5}
    with pytest.raises(GeneraError, match="cannot split the cross-attention of  of this method"):
        check_split(Block(TransformerSize(**size), T5, cross=True), 2)
    with pytest.raises(GeneraError, match="--tensor-parallel 2 cannot split encoder_bias of this method"):
        check_split(Model(T5Size(**size, decoder_layers=1)), 2)


def test_shares_of_another_layout_are_named(folder, tmp_path):
    """Moments of a model of other sizes, under the weights of this one."""
    import shutil

    from genera.engine.ranks import Ranks
    from mesh_steps import LAYOUTS, Training

    there = shutil.copytree(ckpt.pick(folder / "gpt2 tp4"), tmp_path / ckpt.name_of(SAVED))
    state = json.loads((there / "state.json").read_text())
    (there / "state.json").write_text(json.dumps(state | {"tensor_parallel": 3}))
    training = Training(Ranks(0, 1, torch.device("cpu")), LAYOUTS["gpt2"])
    with pytest.raises(GeneraError, match=r"is of another layout: optimiser/lm/0/exp_avg is \(392,"):
        training.resume(tmp_path)
    llama = Training(Ranks(0, 1, torch.device("cpu")), LAYOUTS["llama"])
    with pytest.raises(GeneraError, match="is of another method or size"):
        llama.resume(Path(folder) / "gpt2 tp4")
