"""Sharded training on two ranks (gloo): the same weights, exact resume, and checkpoints for any number of ranks."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from genera.engine import checkpoint as ckpt
from genera.engine import registry
from genera.engine.dry_run import dry_run
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.train import train
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from training import TINY, configured, start, words

OPTIMUS = [*words(TINY["optimus"][1]), "train.steps=20", "train.ema=0.9", "train.accumulate=2"]
SHARDED = [*OPTIMUS, "train.sharding=fsdp"]
SPEC = "optimus:nano"
ALONE = Ranks(0, 1, torch.device("cpu"))


def run(out, *given, ranks, spec=SPEC):
    done = start(spec, out, *given, ranks=ranks)
    assert done.returncode == 0, done.stderr
    return out


def last(out):
    return ckpt.pick(out / "checkpoints")


def tensors(out):
    """All that moves, by file and name."""
    return {
        f"{file.relative_to(last(out))}/{name}": value
        for file in sorted(last(out).rglob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def assert_close(one, two, *, rtol=1e-3, atol=2e-4):
    for file in ("weights", "average"):
        a, b = load_file(last(one) / f"{file}.safetensors"), load_file(last(two) / f"{file}.safetensors")
        assert a.keys() == b.keys()
        for name in a:
            torch.testing.assert_close(b[name], a[name], rtol=rtol, atol=atol)


def engine():
    """The method of these runs on one rank, its player and its step."""
    config = configured(SPEC, TINY["optimus"][1] | {"train.sharding": "fsdp", "train.epochs": None})
    implementation = registry.entry(config.method).load()
    method = implementation(config.model, implementation.dataset.open(config.data).assets)
    step = Step(config.train, ALONE, enrol(method.players(), config.train, ALONE))
    return method, step.trainees["vae"], step


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain") / "run", *OPTIMUS, ranks=1)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    return run(tmp_path_factory.mktemp("sharded") / "run", *SHARDED, ranks=2)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Killed while the second checkpoint (step 14) was written: what is there is the first, of step 7."""
    out = tmp_path_factory.mktemp("broken") / "run"
    assert start(SPEC, out, *SHARDED, "kill=save:2", ranks=2).returncode != 0
    assert last(out).name == "step-00000007"
    return out


def test_two_sharded_ranks_give_the_weights_of_one(plain, sharded):
    assert_close(plain, sharded)


def test_a_checkpoint_is_whole_weights_and_shares_of_the_rest_and_no_pickle(plain, sharded):
    files = {str(p.relative_to(last(sharded))) for p in last(sharded).rglob("*") if p.is_file()}
    shares = {f"shares/shard-0000{rank}-model-00001-of-00001.safetensors" for rank in (1, 2)}
    assert files == shares | {"state.json", "weights.safetensors", "average.safetensors", "training.safetensors"}
    moments = sum(v.nbytes for k, v in tensors(plain).items() if k.endswith(("exp_avg", "exp_avg_sq")))
    held = [sum(v.nbytes for v in load_file(last(sharded) / file).values()) for file in sorted(shares)]
    assert sum(held) == moments
    assert max(held) < 0.6 * moments
    assert not any("exp_avg" in key for key in load_file(last(sharded) / "training.safetensors"))


def test_killed_while_saving_it_arrives_at_the_same_bits(broken, sharded, tmp_path):
    again = run(shutil.copytree(broken, tmp_path / "run"), *SHARDED, ranks=2)
    one, two = tensors(sharded), tensors(again)
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def test_saved_on_two_it_goes_on_with_one(broken, plain, tmp_path):
    again = run(shutil.copytree(broken, tmp_path / "run"), *SHARDED, ranks=1)
    assert not (last(again) / "shares").exists()
    assert_close(plain, again)


def test_saved_on_one_it_goes_on_sharded(plain, tmp_path):
    out = shutil.copytree(plain, tmp_path / "run")
    assert start(SPEC, out, *SHARDED, "resume=previous", ranks=2).returncode == 0
    assert (last(out) / "shares").is_dir()
    assert_close(plain, out)


def test_half_precision_and_recomputed_layers_compute_what_they_do_unsharded(tmp_path):
    given = [*words(TINY["gpt2-lm"][1]), "train.steps=12", "train.ema=0.9", "train.precision=bf16"]
    given.append("model.checkpointing=true")
    one = run(tmp_path / "one", *given, ranks=2, spec="gpt2-lm:nano")
    two = run(tmp_path / "two", *given, "train.sharding=fsdp", ranks=2, spec="gpt2-lm:nano")
    assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_a_damaged_share_is_named(broken, tmp_path):
    out = shutil.copytree(broken, tmp_path / "run")
    share = next((last(out) / "shares").glob("shard-00002*"))
    share.write_bytes(share.read_bytes()[:-9])
    method, _, step = engine()
    with pytest.raises(GeneraError, match=rf"{share} is damaged .*--resume previous"):
        ckpt.load_training(last(out), method, step)


def test_a_loss_that_is_not_finite_stops_sharded_ranks_and_nothing_moves(tmp_path):
    done = start(SPEC, tmp_path / "run", *SHARDED, "model.latent_init=1.0e+30", ranks=2)
    assert "is not finite at step 1" in done.stderr
    assert "the weights are unchanged" in done.stderr


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("biggan:nano", "--sharding fsdp needs a method with a single player, got discriminator, generator; drop it."),
        ("small-two-stage:tiny", "--sharding fsdp gathers transformer layers, but this method has none; drop it."),
    ],
)
def test_methods_that_cannot_be_sharded_say_so(method, sentence):
    with pytest.raises(GeneraError) as refused:
        dry_run(configured(method, {"train.sharding": "fsdp"}))
    assert str(refused.value) == sentence


def test_several_stages_are_refused(tmp_path):
    config = configured("small-two-stage:tiny", {"train.sharding": "fsdp"})
    with pytest.raises(GeneraError, match="needs a method with a single stage, got autoencoder, prior; drop it"):
        train(config, tmp_path / "run")


def test_one_rank_holds_all_of_it():
    _, trainee, _ = engine()
    assert not trainee.sharded


def test_a_dry_run_shows_what_a_rank_takes():
    """With ever more ranks a sharded one takes what is whole at a time; without shards never less than all states."""
    config = configured("optimus:paper", {"train.sharding": "fsdp", "model.checkpointing": True})
    result = dry_run(config)
    memory = result["memory_bytes"]
    ranks = {(row["ranks"], row["options"]): row["memory_bytes"]["total"] for row in result["meshes"]}
    fsdp, plain = "--sharding fsdp", "--sharding none"
    states = memory["weights"] + memory["gradients"] + memory["optimiser"]
    assert list(ranks) == [(n, options) for n in (2, 4, 8) for options in (plain, fsdp)]
    assert ranks[2, fsdp] > ranks[4, fsdp] > ranks[8, fsdp] > states / 8
    assert all(ranks[n, plain] == states + memory["gradients"] + memory["activations"] // n for n in (2, 4, 8))
    # halving a rank's part halves all but what is whole at a time
    halved = ranks[2, fsdp] - ranks[4, fsdp]
    assert halved == pytest.approx((states + memory["activations"]) / 4, rel=1e-3)
    assert dry_run(configured("optimus:nano", {}))["meshes"] == []


def test_tensor_parallel_ranks_begin_from_another_run_and_resume_to_the_weights_of_one(tmp_path):
    """From the run of one process, killed while two ranks that split its layers save, to the weights of one process."""
    short = {"train.steps": 6, "train.ema": 0.9, "train.checkpoint_every": 2, "train.validate_every": 3}
    given = words(TINY["lm"][1] | short)
    parent = run(tmp_path / "parent", *given, ranks=1, spec="lm:nano")
    given.append(f"train.init=[{parent}]")
    one = run(tmp_path / "one", *given, ranks=1, spec="lm:nano")
    given.append("train.tensor_parallel=2")
    assert start("lm:nano", tmp_path / "two", *given, "kill=save:2", ranks=2).returncode != 0
    two = run(tmp_path / "two", *given, ranks=2, spec="lm:nano")
    assert_close(one, two, rtol=1e-4, atol=1e-5)
