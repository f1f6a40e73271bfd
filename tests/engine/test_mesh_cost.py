"""What a rank of a mesh holds and sends, by the dry run: closed forms, and the truth on two and four ranks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import genera
from genera.blocks.size import DecoderShape
from genera.engine import registry
from genera.engine.dry_run import dry_run
from genera.engine.mesh import Mesh
from genera.engine.mesh_cost import (
    memory_of_rank,
    meshes,
    options_of,
    smallest,
    traffic_of_rank,
    zero_memory,
)
from genera.engine.step_cost import StepCost, cost_of_step
from genera.errors import GeneraError
from genera.testing.processes import forked
from genera.testing.runs import TINY, configured


def deep(layers: int) -> DecoderShape:
    return replace(genera.configure("gpt2-lm:nano").model.decoder, layers=layers)


def cost(spec: str = "gpt2-lm:nano", **options: object) -> StepCost:
    config = genera.configure(spec, **{"batch_size": 16, "max_tokens": 32, **options})
    implementation = registry.entry(config.method).load()
    assets, batch = implementation.dataset.sketch(config.data, config.train.batch_size)
    with torch.device("meta"):
        method = implementation(config.model, assets)
    return cost_of_step(config, method, method.stages()[0], lambda rows: batch, fused=True)


def numbers(of: StepCost) -> int:
    return sum(p.bytes for p in of.parameters) // 4


def test_the_table_of_zero():
    """Figure 1 of ZeRO (Rajbhandari et al. 2020): 7.5 B parameters on 64 ranks, in GB."""
    table = {stage: round(size / 1e9, 1) for stage, size in zero_memory(7.5e9, 64).items()}
    assert table == {"plain": 120.0, "stage 1": 31.4, "stage 2": 16.6, "stage 3": 1.9}


def test_a_rank_of_ddp_holds_all_and_buckets():
    of = cost()
    psi = numbers(of)
    memory = memory_of_rank(of, Mesh(4, 1, 1), half=False)
    assert memory["weights"] == memory["gradients"] == memory["buffers"] == 4 * psi
    assert memory["optimiser"] == pytest.approx(8 * psi, abs=1000)
    assert memory["activations"] == of.activations() // 4
    assert memory["total"] == sum(size for name, size in memory.items() if name != "total")
    assert memory_of_rank(of, Mesh(1, 1, 1), half=False)["buffers"] == 0


def test_shards_divide_weights_gradients_and_state():
    of = cost()
    whole, shard = (memory_of_rank(of, mesh, half=False) for mesh in (Mesh(1, 1, 1), Mesh(1, 8, 1)))
    for name in ("weights", "gradients", "optimiser"):
        assert shard[name] == pytest.approx(whole[name] / 8, rel=0.01)
    replicated = memory_of_rank(of, Mesh(2, 4, 1), half=False)
    assert replicated["weights"] == memory_of_rank(of, Mesh(1, 4, 1), half=False)["weights"]
    assert replicated["activations"] == shard["activations"]


def test_traffic_is_two_psi_or_three_psi():
    """ZeRO, section 7: 2Ψ elements a step with gradients alone, 3Ψ with sharded weights."""
    of = cost()
    psi = 4 * numbers(of)
    assert traffic_of_rank(of, Mesh(1, 1, 1), half=False) == {"data": 0, "tensor": 0}
    assert traffic_of_rank(of, Mesh(64, 1, 1), half=False)["data"] == int(2 * psi * 63 / 64)
    layers = sum(p.bytes for p in of.parameters if p.layer is not None)
    sharded = traffic_of_rank(of, Mesh(1, 64, 1), half=False)["data"]
    assert sharded == int((2 * psi + layers) * 63 / 64)  # the rest stays gathered after the forward pass
    assert traffic_of_rank(of, Mesh(1, 64, 1), half=False, parts=4)["data"] == pytest.approx(4 * sharded, abs=4)
    both = traffic_of_rank(of, Mesh(2, 32, 1), half=False)["data"]
    assert both == int((2 * psi + layers) * 31 / 32 + psi / 32)


def test_activations_grow_linearly_with_layers():
    """Two and three layers say what five take."""
    sizes = [cost(decoder=deep(layers)).activations() for layers in (2, 3, 5)]
    assert sizes[1] - sizes[0] == (sizes[2] - sizes[1]) // 2 > 0


def test_checkpointing_keeps_inputs_of_layers_and_one_layer():
    plain, again = (cost(checkpointing=on, decoder=deep(8), vocabulary=300) for on in (False, True))
    assert again.activations() < 0.5 * plain.activations()
    assert again.flops > 1.15 * plain.flops
    half = cost(checkpointing=True, precision="bf16", decoder=deep(8), vocabulary=300)
    assert half.activations() < again.activations()


def test_attention_is_fused_where_it_does_not_drop_out_on_this_cpu():
    """Scores of all pairs of tokens would grow with the square of the length."""
    lengths = [
        dry_run(genera.configure("gpt2-lm:paper", max_tokens=n, batch_size=1, vocabulary=300), device_memory=16)
        for n in (256, 512, 1024)
    ]
    first, second, third = (result["memory_bytes"]["activations"] for result in lengths)
    assert second < 2.2 * first
    assert third < 2.2 * second
    kept = dry_run(genera.configure("gpt2-lm:paper", max_tokens=1024, batch_size=1, vocabulary=300, device="cpu"))
    assert kept["memory_bytes"]["activations"] > 1.2 * third  # dropout of 0.1 materialises them on the CPU


def test_what_fits():
    config = genera.configure("gpt2-lm:paper", batch_size=64)
    roomy, tight, none = (dry_run(config, device_memory=gb) for gb in (64, 4, 0.1))
    assert roomy["fits"]
    assert roomy["smallest"]["ranks"] == 1
    assert not tight["fits"]
    assert tight["smallest"]["memory_bytes"]["total"] <= 0.9 * 4 * 2**30
    of = cost("gpt2-lm:paper", batch_size=64, max_tokens=config.data.max_tokens)
    fewer = list(meshes(tight["smallest"]["ranks"] // 2, of, sharded=True, tensor=(1,), parts=1))
    assert all(memory_of_rank(of, mesh, half=False)["total"] > 0.9 * 4 * 2**30 for mesh in fewer)
    assert none["smallest"] is None


def test_meshes_divide_ranks_and_batch():
    of = cost(batch_size=64)
    able = {"sharded": True, "parts": 1}
    found = [options_of(mesh) for mesh in meshes(32, of, tensor=(1, 2), **able)]
    assert found == [
        "--sharding none",
        "--sharding fsdp",
        "--sharding fsdp --replicas 4",
        "--tensor-parallel 2",
        "--sharding fsdp --tensor-parallel 2",
        "--sharding fsdp --replicas 4 --tensor-parallel 2",
    ]
    assert list(meshes(128, of, tensor=(1,), **able)) == []
    assert list(meshes(128, of, tensor=(2,), **able))
    assert smallest(of, 1, half=False, tensor=(1,), **able) is None


def test_tensor_parallelism_divides_matrices_logits_and_sums():
    """Megatron-LM: four sums of the states a layer, one of the embeddings, one of the gradient before the output."""
    of = cost(decoder=deep(3))
    states = 4 * 16 * 31 * 64
    assert of.reductions == (4 * 3 + 2) * states
    assert traffic_of_rank(of, Mesh(2, 1, 4), half=False)["tensor"] == int(2 * 3 / 4 * 14 * states / 2)
    assert cost(decoder=deep(3), checkpointing=True).reductions == pytest.approx((6 * 3 + 2) * states, abs=3 * states)
    one, four = (memory_of_rank(of, Mesh(1, 1, n), half=False) for n in (1, 4))
    assert 0.25 < four["weights"] / one["weights"] < 0.3
    assert 0.25 < four["activations"] / one["activations"] < 0.6


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(GeneraError, match="--batch-size 16 does not divide over 512 ranks"):
        dry_run(genera.configure("gpt2-lm:nano", batch_size=16), ranks=512)


@pytest.mark.parametrize(
    ("ranks", "options"),
    [
        (2, {}),
        (2, {"train.sharding": "fsdp"}),
        (4, {"train.sharding": "fsdp", "train.replicas": 2}),
        (2, {"train.tensor_parallel": 2}),
        (4, {"train.tensor_parallel": 2, "train.sharding": "fsdp"}),
    ],
)
def test_ranks_hold_what_the_dry_run_says(tmp_path, ranks, options):
    """Weights and optimiser state to the byte: of the rank with most, also where shards are unequal."""
    overrides = {**TINY, "train.steps": 1, "train.ema": 0.0, "data.limit": 100, "train.validate_every": 0, **options}
    overrides |= {"data.vocabulary": 301}
    done = forked("held_bytes:train", "gpt2-lm:nano", str(tmp_path / "run"), overrides, ranks=ranks)
    assert done.returncode == 0, done.stderr
    held = [json.loads((tmp_path / f"run.{rank}.json").read_text()) for rank in range(ranks)]
    said = dry_run(configured("gpt2-lm:nano", overrides), ranks=ranks)["meshes"][0]["memory_bytes"]
    for name in ("weights", "optimiser"):
        assert max(rank[name] for rank in held) == said[name]
    if "train.sharding" in options and "train.tensor_parallel" not in options:
        whole = dry_run(configured("gpt2-lm:nano", overrides))["memory_bytes"]
        assert sum(rank["weights"] for rank in held) == overrides.get("train.replicas", 1) * whole["weights"]


def test_the_page_on_scale_shows_what_the_dry_run_prints():
    page = (Path(__file__).parents[2] / "docs/scale.md").read_text()
    config = genera.configure("optimus:pretrain-wikipedia", batch_size=512, precision="bf16")
    result = dry_run(config, ranks=512, device_memory=32)
    for row in result["meshes"][:3]:
        sizes = [*row["memory_bytes"].values(), sum(row["traffic_bytes"].values())]
        line = f"512 {row['options']} " + " ".join(f"{size / 2**20:,.0f}" for size in sizes)
        assert line in {" ".join(shown.split()) for shown in page.splitlines()}
