"""From a run folder to a use."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

import genera
from genera import worlds
from genera.errors import GeneraError

A, B, C = worlds.load("captions-small").sentences(3, seed=5, split="test")


def test_samples(run):
    assert len(run.sample(7)) == 7
    assert run.sample(5) == run.sample(5)
    assert run.sample(5) != run.sample(5, seed=1)
    assert run.sample(5, temperature=1.0) != run.sample(5)
    assert all(len(text) < len(longer) for text, longer in zip(run.sample(3, max_tokens=2), run.sample(3), strict=True))
    with pytest.raises(GeneraError, match="number of samples must be at least 1, got 0"):
        run.sample(0)


def test_reconstruction_decodes_the_posterior_mean(run):
    posterior = run.encode([A, B])
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 8)
    assert run.reconstruct([A, B]) == run.decode(posterior.mean)
    assert run.reconstruct([B]) == run.reconstruct([A, B])[1:]


def test_an_interpolation_has_eleven_points_and_ends_at_the_reconstructions(run):
    path = run.interpolate(A, B)
    assert len(path) == 11
    assert [path[0], path[-1]] == run.reconstruct([A, B])
    z = run.encode([A, B]).mean
    assert path[3] == run.decode(0.7 * z[:1] + 0.3 * z[1:])[0]
    assert len(run.interpolate(A, B, steps=1)) == 2
    with pytest.raises(GeneraError, match="steps must be at least 1"):
        run.interpolate(A, B, steps=0)


def test_an_analogy_moves_c_by_the_difference_of_a_and_b(run):
    z = run.encode([A, B, C]).mean
    assert run.analogy(A, B, C) == run.decode((z[2] + z[1] - z[0])[None])[0]
    assert run.analogy(A, B, C, degree=0.0) == run.analogy(A, A, C) == run.reconstruct([C])[0]
    assert run.analogy(A, B, A) == run.reconstruct([B])[0]


def test_scores(run, trained_lm):
    score = run.score([A, B], samples=4)
    assert score.log_weights.shape == score.log_likelihood.shape == (4, 2)
    assert torch.equal(score.log_weights, run.score([A, B], samples=4).log_weights)
    assert genera.load(trained_lm, device="cpu").score([A, B]).log_weights.shape == (1, 2)
    with pytest.raises(GeneraError, match="samples must be at least 1"):
        run.score([A], samples=0)


def test_latents_of_another_shape(run):
    with pytest.raises(GeneraError, match=r"shape \(items, 8\), got \(2, 3\)"):
        run.decode(torch.zeros(2, 3))
    with pytest.raises(GeneraError, match=r"got \(8,\)"):
        run.decode(torch.zeros(8))


@pytest.mark.parametrize("use", ["encode", "reconstruct", "score"])
def test_items_are_a_list_of_at_least_one(run, use):
    with pytest.raises(GeneraError, match=r"expected a list of at least one item, got \[\]"):
        getattr(run, use)([])
    with pytest.raises(GeneraError, match=r"expected a list of at least one item, got 'a dog \.'"):
        getattr(run, use)("a dog .")


def test_a_run_needs_nothing_but_its_folder(run, trained, tmp_path, monkeypatch):
    before = run.sample(4), run.interpolate(A, B), run.score([A], samples=3).log_weights
    monkeypatch.setenv("GENERA_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "elsewhere" / "renamed")
    moved = genera.load("elsewhere/renamed", device="cpu")
    assert (moved.sample(4), moved.interpolate(A, B)) == before[:2]
    assert torch.equal(moved.score([A], samples=3).log_weights, before[2])
    assert not (tmp_path / "no-cache").exists()


def test_any_checkpoint_can_be_loaded(trained):
    first, last = (genera.load(trained, device="cpu", checkpoint=which) for which in ("50", "last"))
    assert (first.step, last.step) == (50, 100)
    assert genera.load(trained, device="cpu", checkpoint="previous").step == 50
    assert first.reconstruct([A, B, C]) != last.reconstruct([A, B, C])
    with pytest.raises(GeneraError, match="no checkpoint '77'; choose one of the steps 50, 100"):
        genera.load(trained, checkpoint="77")


def test_the_averaged_weights_are_the_ones_used(run, trained):
    checkpoint = trained / "checkpoints" / "step-00000100"
    average, weights = load_file(checkpoint / "average.safetensors"), load_file(checkpoint / "weights.safetensors")
    used = run.method.state_dict()
    assert used.keys() == average.keys() == weights.keys()
    assert all(torch.equal(used[name], average[name]) for name in used)
    assert any(not torch.equal(used[name], weights[name]) for name in used)


def test_folders_that_hold_no_trained_run(trained, tmp_path):
    with pytest.raises(GeneraError, match="is not a run folder"):
        genera.load(tmp_path)
    shutil.copytree(trained, tmp_path / "new", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(GeneraError, match="has no checkpoint yet; rerun its training command"):
        genera.load(tmp_path / "new")


def test_loading_leaves_the_random_numbers_of_the_caller_alone(trained):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    genera.load(trained, device="cpu").sample(2, temperature=1.0)
    assert torch.equal(torch.rand(2), expected)


def test_an_image_is_no_sentence(run):
    with pytest.raises(GeneraError, match="optimus expects sentences, got a tensor 3x8x8"):
        run.encode([torch.zeros(3, 8, 8)])
