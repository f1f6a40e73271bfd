"""`genera ablate`: from settings to a comparison over seeds; and `genera.ablate`."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import genera as library
from commands import contents, genera
from genera.engine.folder import RunFolder
from genera.evaluation.image_options import ImageOptions
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.storage import chosen, stored_in
from genera.files import read_json
from genera.report.ablation import ablate

TRAINING = "--data world:shapes --image-size 28 --limit 60 --width 2 --steps 4 --log-every 2 --batch-size 8"
SMALL = [*TRAINING.split(), "--evaluate.fidelity.images", 12, "--evaluate.measures", "training", "pictures"]
FQ = "fq=biggan:nano-fq --quantiser.codes 8"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Two variants over two seeds, and what the command printed."""
    out = tmp_path_factory.mktemp("ablated") / "fq"
    return out, genera("ablate", "biggan:nano", FQ, "--seeds", 0, 7, *SMALL, "--out", out, "--json")


def test_every_variant_is_trained_with_every_seed(done):
    out, shown = done
    assert shown.code == 0
    assert [group["runs"] for group in shown.json["groups"]] == [
        ["biggan-nano/seed-0", "biggan-nano/seed-7"],
        ["fq/seed-0", "fq/seed-7"],
    ]
    for variant in ("biggan-nano", "fq"):
        for seed in (0, 7):
            run = library.load(out / variant / f"seed-{seed}", device="cpu")
            assert (run.config.train.seed, run.config.train.steps, run.config.model.width) == (seed, 4, 2)
            assert run.config.model.quantiser.codes == (8,) if variant == "fq" else not run.config.model.quantiser.after
            assert chosen(run.folder.path).settings == {"fidelity": {"images": 12}}


def test_the_table_has_means_over_seeds(done):
    out, shown = done
    row = shown.json["measures"]["discriminator_gap"]["values"][1]
    gaps = [chosen(out / "fq" / f"seed-{seed}").values["discriminator_gap"] for seed in (0, 7)]
    assert row["runs"] == gaps
    assert row["value"] == pytest.approx(sum(gaps) / 2)
    assert row["sd"] == pytest.approx(abs(gaps[0] - gaps[1]) / 2**0.5)
    assert read_json(out / "comparison.json") == shown.json
    assert "| Discriminator gap, score |" in (out / "comparison.md").read_text()


def test_the_page_has_the_dictionaries_over_training_and_samples(done):
    out, _ = done
    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert "quantiser, blocks.0, usage" in page
    assert page.split('id="section-images"')[1].count("data:image/png") == 4  # samples and real images of each


def test_the_same_command_does_nothing_twice_and_more_seeds_are_added(done):
    out, _ = done
    before = {name: (out / name).stat().st_mtime_ns for name in contents(out) if "seed-" in name}
    words = ("ablate", "biggan:nano", FQ, *SMALL, "--out", out)
    again = genera(*words, "--seeds", 0, 7, "--only", "dictionary_usage")
    assert again.lines[0] == "|  | biggan-nano (2 seeds) | fq (2 seeds) |"
    assert len(again.lines) == 3
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert len(genera(*words, "--seeds", 7, 0, 8, "--json").json["groups"][0]["runs"]) == 3
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before


def test_a_run_that_was_killed_goes_on_and_another_evaluation_is_made(done, tmp_path):
    variants = {"a": _small(steps=3), "b": _small(steps=3, g_lr=1e-3)}
    asked = EvaluateConfig(measures=("training", "pictures"), options={"fidelity": ImageOptions(images=12)})
    ablate(variants, tmp_path, seeds=[1], evaluation=asked)
    weights = contents(tmp_path / "b" / "seed-1" / "checkpoints")
    shutil.rmtree(tmp_path / "b" / "seed-1" / "evaluations")
    before = contents(tmp_path / "a")
    ablate(variants, tmp_path, seeds=[1], evaluation=asked)
    assert contents(tmp_path / "a") == before
    other = replace(asked, options={"fidelity": ImageOptions(images=13)})
    table = ablate(variants, tmp_path, seeds=[1], evaluation=other)
    for variant in variants:
        kept = stored_in(tmp_path / variant / "seed-1")
        assert [stored.settings["fidelity"]["images"] for stored in kept] == [12, 13]
    assert contents(tmp_path / "b" / "seed-1" / "checkpoints") == weights
    assert table["groups"][1] == {"name": "b/seed-1", "runs": ["b/seed-1"]}


def test_a_run_that_fails_is_left_out_and_named(tmp_path):
    variants = {"fine": _small(), "broken": _small(adam_eps=1e30)}
    table = ablate(variants, tmp_path, seeds=[0, 1], evaluation=EvaluateConfig(measures=("training",)))
    assert table["groups"] == [{"name": "seed-0, seed-1", "runs": ["seed-0", "seed-1"]}]
    assert len(table["failed"]) == 2
    assert all("broken" in message and "learned nothing" in message for message in table["failed"])
    assert RunFolder(tmp_path / "broken" / "seed-0").status()["state"] == "failed"


def _small(**changed):
    small = {"image_size": 28, "limit": 60, "width": 2, "steps": 4, "log_every": 2, "batch_size": 8}
    return library.configure("biggan:nano", device="cpu", **small | changed)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x"], "name the variants first"),
        (["biggan:nano", "biggan:nano", "--out", "x"], "two variants are named biggan-nano"),
        (["a=biggan:nano", "b=biggan:nano", "--out", "x"], "the variants a and b are identical"),
        (["biggan:nano", "--seeds", "4", "--out", "x"], "an ablation needs at least two runs, got 1 x 1 seeds"),
        (["biggan:nano", "--seeds", "4", "4", "--out", "x"], "seeds must differ, got [4, 4]"),
        (["../up=biggan:nano", "biggan:nano-fq", "--out", "x"], "'../up' is not a valid variant name"),
        (["biggan:nano", "biggan:nano-fq --quantiser.codes 1", "--out", "x"], "--quantiser.codes must be at least 2"),
        (["biggan:nano", "biggan:nan", "--out", "x"], "unknown preset of biggan 'nan'"),
        (["biggan:nano", "'biggan:nano-fq", "--out", "x"], "cannot be read: No closing quotation"),
        (["biggan:nano", "--out", "x", "--evaluate.fidelity.images", "0"], "--fidelity.images must be"),
    ],
)
def test_bad_words_get_one_sentence(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in genera("ablate", *words).error
    assert not Path("x").exists()


def test_another_run_in_the_place_of_one_stops_it(done):
    out, _ = done
    words = ("ablate", "biggan:nano", FQ, "--seeds", 0, 7, *SMALL, "--g-lr", "0.01", "--out", out)
    assert "holds a run with other settings (model.g_lr: 0.0002 -> 0.01)" in genera(*words).error


def test_ranks_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "runs in one process" in genera("ablate", "biggan:nano", FQ, *SMALL, "--out", tmp_path / "x").error
