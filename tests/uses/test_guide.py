"""Guides: closed forms on Gaussian latents, then what is kept, found again and measured."""

import json
import math

import pytest
import torch

import genera
from genera.engine.capabilities import Posterior
from genera.errors import GeneraError
from genera.files import read_json, write_json
from genera.uses.guide import open_guide
from genera.uses.latent_guides import GanGuide, VectorGuide
from genera.uses.settings import GuideConfig

CENTRES = torch.tensor([[4.0, 0, 0], [-4.0, 2, 0], [0, -3.0, 1]])
QUICK = {"factor": "number", "items": 400, "test_items": 100}


def gaussians(count=3000, variance=0.25):
    """Posteriors of three classes: means around CENTRES with deviation 1, each with its own variance."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(3, (count,), generator=generator)
    mean = CENTRES[classes] + torch.randn(count, 3, generator=generator)
    return Posterior(mean, torch.full_like(mean, math.log(variance))), classes


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_a_vector_takes_other_classes_to_the_label_in_proportion_to_the_degree():
    posterior, classes = gaussians()
    guide = VectorGuide.fit(posterior, classes, 3)
    for label in range(3):
        others = torch.stack([CENTRES[c] for c in range(3) if c != label]).mean(0)
        for degree in (0.0, 0.5, 1.0, 2.0):
            z = guide(label, 4000, generator(), degree)
            assert torch.allclose(z.mean(0), others + degree * (CENTRES[label] - others), atol=0.25)
    moved = guide(0, 4000, generator(), 1.0)
    assert torch.allclose(moved.std(0), torch.tensor(1.25).sqrt().expand(3), atol=0.1)  # deviation 1 and variance 1/4
    assert torch.equal(guide(0, 5, generator(), 1.0), guide(0, 5, generator(), 1.0))


def test_a_vector_of_points_adds_no_noise():
    mean = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    guide = VectorGuide.fit(Posterior(mean), torch.tensor([0, 0, 1, 1]), 2)
    assert set(guide(1, 50, generator(), 1.0).flatten().tolist()) == {10.0, 11.0}
    assert set(guide(1, 50, generator(), 0.0).flatten().tolist()) == {0.0, 1.0}


def test_the_gan_finds_the_classes():
    posterior, classes = gaussians()
    guide = GanGuide.fit(posterior, classes, 3, hidden=64, steps=1200, seed=0)
    for label in range(3):
        z = guide(label, 2000, generator(), 1.0)
        assert torch.allclose(z.mean(0), CENTRES[label], atol=0.5)
        assert ((z.std(0) > 0.7) & (z.std(0) < 1.5)).all()  # 1.12: neither collapsed nor scattered
    again = GanGuide.fit(posterior, classes, 3, hidden=64, steps=5, seed=0)
    same, other = (GanGuide.fit(posterior, classes, 3, hidden=64, steps=5, seed=seed) for seed in (0, 1))
    z = [g(1, 5, generator(), 1.0) for g in (again, same, other)]
    assert torch.equal(z[0], z[1])
    assert not torch.equal(z[0], z[2])


STEPS = {"vector": {}, "gan": {"gan_steps": 20}, "cara": {"cara_steps": 4, "gan_steps": 4}}


@pytest.mark.parametrize("method", STEPS)
def test_a_guide_is_fitted_once_and_found_again(copied, monkeypatch, method, tmp_path):
    run = copied()
    settings = QUICK | {"method": method} | STEPS[method]
    first = run.guide("plural", 3, **settings)
    folder = run.folder.path / "guides" / f"number-{method}"
    assert {p.name for p in folder.iterdir()} == {"guide.json", "guide.safetensors", "judge.json", "judge.safetensors"}
    assert len(first) == 3
    written = (folder / "guide.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(run.method.dataset, "open", None)  # it needs no data any more
    assert run.guide("plural", 3, **settings) == first
    assert (folder / "guide.safetensors").stat().st_mtime_ns == written
    assert len(run.guide("singular", 2, seed=5, decoding={"max_tokens": 4}, **settings)) == 2
    monkeypatch.undo()
    run.guide("plural", 1, **settings | {"fit_seed": 1})
    assert read_json(folder / "guide.json")["settings"]["fit_seed"] == 1


def test_the_degree_needs_no_new_fit(copied):
    run = copied()
    guides = [open_guide(run, GuideConfig(**QUICK, degree=degree)) for degree in (0.0, 3.0)]
    z = [guide.latents("plural", 4, run.generator(0)) for guide in guides]
    assert torch.equal(guides[0].module.centres, guides[1].module.centres)
    assert not torch.equal(z[0], z[1])


def test_scores(copied):
    run = copied()
    scores = run.score_guide(6, **QUICK)
    assert read_json(run.folder.path / "guides/number-vector/scores.json") == json.loads(json.dumps(scores))
    figures = {name: figure["value"] for name, figure in scores["measures"].items()}
    shares = ("oracle_accuracy", "oracle_own_accuracy", "true_factor_accuracy", "grammatical_guided", "g_score")
    assert all(0 <= figures[name] <= 1 for name in shares)
    assert figures["g_score"] == pytest.approx(math.sqrt(figures["oracle_accuracy"] * figures["bleu_guided"] / 100))
    assert figures["oracle_own_accuracy"] > 0.8
    assert figures["true_factor_accuracy"] <= figures["grammatical_guided"]
    by_label = [scores["labels"][name]["oracle_accuracy"] for name in ("plural", "singular")]
    assert figures["oracle_accuracy"] == pytest.approx(sum(by_label) / 2)
    assert len(scores["examples"]["plural"]) == 5


def test_what_cannot_be_guided(copied, trained_lm):
    run = copied()
    for label, settings, message in (
        ("plurl", QUICK, "did you mean plural"),
        ("plural", {"factor": "number", "method": "gan", "degree": 2.0}, "for vector guides, not for gan"),
        ("plural", {"factor": "number", "name": "../elsewhere"}, "must be letters, digits"),
        ("plural", {"factor": "number", "degree": math.inf}, "--degree must be finite"),
        ("plural", {"method": "magic"}, "magic"),
        ("plural", {}, "has no labels; name them"),
    ):
        with pytest.raises(GeneraError, match=message):
            run.guide(label, 2, **settings)
    with pytest.raises(GeneraError, match="the number of items must be at least 1, got 0"):
        run.guide("plural", 0, **QUICK)
    with pytest.raises(GeneraError, match="at least 2 of each label, got 1"):
        run.score_guide(1, **QUICK)
    with pytest.raises(GeneraError, match="gpt2-lm cannot encode; methods that can: optimus"):
        genera.load(trained_lm, device="cpu").guide("plural", 2, factor="number")


def test_a_damaged_guide_is_named(copied):
    run = copied()
    run.guide("plural", 1, **QUICK)
    folder = run.folder.path / "guides" / "number-vector"
    (folder / "guide.safetensors").write_bytes(b"short")
    with pytest.raises(GeneraError, match=r"guide.safetensors is damaged .* delete .*number-vector"):
        run.guide("plural", 1, **QUICK)
    write_json(folder / "guide.json", [])
    with pytest.raises(GeneraError, match=r"guide.json is damaged"):
        run.guide("plural", 1, **QUICK)
