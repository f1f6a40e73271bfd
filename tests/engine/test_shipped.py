"""What ships works where only the package is: no repository, no network, no place to write in it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from setuptools import build_meta

import genera as library
from commands import QUICK, contents, genera
from genera import worlds
from genera.engine.shipped import FOLDER, SHIPPED, unpacked
from genera.errors import GeneraError

ROOT = Path(__file__).parents[2]
A, B = "a man is holding a kite near the church .", "some women in black boots were happily selling a drum ."


def test_the_folders_are_those_that_are_listed():
    assert {path.name for path in FOLDER.iterdir()} == set(SHIPPED)
    assert all(f"  {name:<16} {summary}" in genera("list").out for name, summary in SHIPPED.items())
    assert genera("list", "--json").json["models"] == SHIPPED


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel has in it, built from a copy of the sources."""
    place = tmp_path_factory.mktemp("wheel")
    (place / "source").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, place / "source" / name)
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "src", place / "source" / "src", ignore=ignored)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place / "source")
        wheel = build_meta.build_wheel(str(place))
        patch.chdir(place / "source")
        archive = build_meta.build_sdist(str(place))
    shutil.unpack_archive(place / archive, place / "sdist")
    zipfile.ZipFile(place / wheel).extractall(place / "site")
    return place


def test_wheel_and_source_archive_have_every_file(installed):
    expected = contents(FOLDER)
    assert any(name.endswith("weights.safetensors") for name in expected)
    assert contents(installed / "site" / "genera" / "shipped") == expected
    (archive,) = (installed / "sdist").iterdir()
    assert contents(archive / "src" / "genera" / "shipped") == expected


OFFLINE = """
import socket, sys
def refused(*_): raise OSError("no network here")
socket.socket.connect = refused
from genera.cli.main import main
main()
"""


def test_it_works_right_after_installation(installed, tmp_path):
    site = installed / "site"
    for path in (site / "genera" / "shipped").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = contents(site / "genera" / "shipped")
    environment = os.environ | {"PYTHONPATH": str(site), "GENERA_CACHE": str(tmp_path / "cache")}
    for words, lines in ((["interpolate", "optimus-mini", A, B], 11), (["report", "optimus-mini"], 1)):
        done = subprocess.run(
            [sys.executable, "-c", OFFLINE, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == lines
    assert contents(site / "genera" / "shipped") == before


def test_every_use_takes_the_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert genera("reconstruct", "optimus-mini", A).lines == [A]
    assert genera("analogy", "optimus-mini", A, A.replace("is", "was"), A).lines == [A.replace("is", "was")]
    assert len(genera("sample", "optimus-mini", "--count", 3).lines) == 3
    assert len(genera("encode", "optimus-mini", A, "--json").json[0]["mean"]) == 32
    assert "optimus:mini" in Path(genera("report", "optimus-mini").out.strip()).read_text(encoding="utf-8")
    world = worlds.load("captions-small")
    rows = [f"{world.factors_of(text)['number']} {text}\n" for text in world.sentences(400, seed=3)]
    (tmp_path / "labelled.txt").write_text("".join(rows), encoding="utf-8")
    asked = ["--data", "text:labelled.txt", "--label-column", "first"]
    assert len(genera("guide", "optimus-mini", *asked, "--label", "plural", "--count", 2).lines) == 2
    probed = [*asked, "--no-tuned", "--shots", 5]
    assert "features against TF-IDF" in genera("probe", "optimus-mini", *probed, "--test-items", 50).out
    exported = genera("export", "optimus-mini", "--out", tmp_path / "exported")
    assert (exported.code, (tmp_path / "exported" / "README.md").exists()) == (0, True)


def test_its_figures_are_those_of_its_card():
    """Word for word on sentences that it has never seen."""
    run = library.load("optimus-mini", device="cpu")
    items = worlds.load("captions").sentences(200, seed=5, split="test")
    exact = sum(a == b for a, b in zip(run.reconstruct(items), items, strict=True)) / len(items)
    assert exact > 0.9


def test_a_folder_of_that_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert unpacked("optimus-mini").is_dir()
    (tmp_path / "optimus-mini").mkdir()
    with pytest.raises(GeneraError, match="optimus-mini is not a run folder"):
        library.load("optimus-mini")
    shutil.rmtree(tmp_path / "optimus-mini")
    with pytest.raises(GeneraError, match=r"optimus-min is not a run folder .* optimus-mini comes with genera"):
        library.load("optimus-min")


def test_it_can_begin_another_run(tmp_path):
    sentences = tmp_path / "mine.txt"
    sentences.write_text("\n".join(worlds.load("captions").sentences(300, seed=9)))
    words = [
        "train",
        "optimus:mini",
        "--init",
        "optimus-mini",
        "--data",
        f"text:{sentences}",
        "--out",
        tmp_path / "run",
    ]
    done = genera(*words, "--steps", 2, "--batch-size", 16)
    assert done.code == 0, done.err
    assert genera("reconstruct", tmp_path / "run", A).lines


def test_shipping_keeps_what_a_use_needs(tiny_run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from ship import ship

    run = shutil.copytree(tiny_run, tmp_path / "run")
    with pytest.raises(GeneraError, match="`genera evaluate` behind it"):
        ship(run, tmp_path / "out")
    assert genera("evaluate", run, *QUICK.split()).code == 0
    ship(run, tmp_path / "out")
    assert genera("reconstruct", tmp_path / "out", A).out == genera("reconstruct", run, A).out
    assert not any("training" in name for name in contents(tmp_path / "out"))
    assert "## Limits" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
