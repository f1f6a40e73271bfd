"""The README is a test: its commands run, in order, on the run that `make demo` makes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from genera import worlds
from genera.testing import forked

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `runs/demo`, as the demo makes it at full size, and the user's own sentences."""
    folder = tmp_path_factory.mktemp("readme")
    sentences = worlds.load("captions").sentences(5000, seed=7)
    (folder / "my_sentences.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    done = run("genera demo", folder)
    assert "The demo is done" in done.stdout
    assert (folder / "runs/demo/report.html").exists()
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own, forked from one that has imported torch; test_main.py starts true ones."""
    words = shlex.split(command)
    assert words[0] == "genera", f"only genera's commands stand in the README's bash blocks, got {command!r}"
    done = forked("genera.cli.main:main", words[1:], directory=folder)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done


def test_the_readme_shows_its_commands():
    assert len(blocks("bash")) >= 5


def test_commands(place):
    for block in blocks("bash"):
        for command in block.strip().splitlines():
            done = run(command, place)
            print(command, done.stdout[-500:], sep="\n")
    for page in ("runs/mine/report.html", "comparison.html"):
        assert (place / page).stat().st_size > 10_000


def test_python(place):
    for block in blocks("python"):
        done = subprocess.run([sys.executable, "-c", block], cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(" .'") >= 11, "two samples and eleven sentences of the interpolation"


def test_the_demo_is_done_at_once_when_it_is_done(place):
    (file,) = (place / "runs/demo/evaluations").glob("*.json")
    before = file.stat().st_mtime_ns
    assert "The demo is done" in run("genera demo", place).stdout
    assert file.stat().st_mtime_ns == before


def test_the_dry_run_prints_what_the_readme_shows(place):
    shown = next(block for block in blocks("text") if block.startswith("player vae"))
    assert run("genera train optimus:paper --dry-run --device-memory 16", place).stdout.strip().endswith(shown.strip())


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
