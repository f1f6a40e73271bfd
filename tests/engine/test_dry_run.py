"""What a run would take, told without running it."""

import pytest

from genera.blocks.optimisers import OPTIMISERS
from genera.engine import registry
from genera.engine.dry_run import dry_run
from small_methods import configured


def test_a_dry_run_counts_without_reading_or_writing():
    """A step of the GAN: D on real and on fake (2 forward, 2 backward) and G through D."""
    result = dry_run(configured())
    generator, discriminator = 4 * 16 + 16 + 16 * 2 + 2, 2 * 16 + 16 + 16 * 1 + 1
    assert result["players"] == {
        "discriminator": {"parameters": discriminator, "trainable": discriminator},
        "generator": {"parameters": generator, "trainable": generator},
    }
    assert result["parameters"] == generator + discriminator
    memory = result["memory_bytes"]
    assert memory["weights"] == 4 * (generator + discriminator)
    assert memory["gradients"] == memory["weights"]
    assert memory["optimiser"] == pytest.approx(2 * memory["weights"], abs=100)  # Adam: two moments, and step counts
    assert memory["activations"] > 0
    # multiplications and additions of G and D alike, two a weight of the layers
    g, d = 2 * 16 * (4 * 16 + 16 * 2), 2 * 16 * (2 * 16 + 16 * 1)
    first = 2 * 16 * 2 * 16  # no gradient goes back to D's inputs, real and fake
    expected = (g + 2 * d + 2 * (2 * d) - 2 * first) + (g + d + d + 2 * g - 2 * 16 * 4 * 16)
    assert result["flops_per_step"] == expected


def test_a_dry_run_of_half_precision_keeps_half_of_what_products_keep():
    whole, half = (dry_run(configured(precision=p))["memory_bytes"]["activations"] for p in ("fp32", "bf16"))
    assert half < 0.9 * whole


def test_a_dry_run_of_stages_is_of_the_first():
    assert list(dry_run(configured("small-two-stage"))["players"]) == ["autoencoder"]


def test_a_dry_run_measures_every_stage_that_can_be_sketched():
    result = dry_run(configured("small-pipeline"))
    assert list(result["stages"]) == ["autoencoder", "again"]
    assert result["stages"]["autoencoder"]["basis"] == "16 items of the largest size" == result["basis"]
    assert result["flops_per_step"] == 2 * result["stages"]["again"]["flops_per_step"]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_every_optimiser_has_a_dry_run(optimiser):
    memory = dry_run(registry.configure("gpt2-lm:nano", optimiser=optimiser))["memory_bytes"]
    # asgd: the average of the optimiser, and the copy that evaluation uses
    copies = {"sgd": 0, "rmsprop": 1, "adagrad": 1}.get(optimiser, 2)
    assert memory["optimiser"] == pytest.approx(copies * memory["weights"], rel=0.01, abs=1000)
