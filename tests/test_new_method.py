"""`genera new method NAME`, and the walk of docs/add-a-method.md in a fresh environment."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import pytest
import yaml

from commands import contents, genera
from genera.engine.folder import RunFolder
from genera.errors import GeneraError
from genera.run import load

SOURCE = Path(__file__).parents[1] / "src"
SHORT = ["--steps=200", "--batch-size=16", "--limit=200", "--image-size=12", "--width=4"]
OFTEN = ["--checkpoint-every=10", "--log-every=10", "--validate-every=0"]


def test_it_writes_a_package_under_the_new_name(tmp_path):
    written = genera("new", "method", "grey-box2", "--out", tmp_path / "package", "--json")
    assert written.code == 0, written.err
    files = written.json["files"]
    assert sorted(files) == sorted(
        str(p.relative_to(tmp_path / "package")) for p in (tmp_path / "package").rglob("*") if p.is_file()
    )
    assert "src/grey_box2/method.py" in files
    text = "".join(content.decode() for content in contents(tmp_path / "package").values())
    assert "class GreyBox2(Method)" in text
    assert not any(old in text for old in ("my_vae", "my-vae", "MyVae"))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("My_Method", "lower-case letters and digits"),
        ("2d", "lower-case letters and digits"),
        ("optimus", "a method 'optimus' already exists"),
        ("torch", "a Python module 'torch' already exists"),
        ("class", "a Python module 'class' already exists"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(tmp_path, name, complaint):
    assert complaint in genera("new", "method", name, "--out", tmp_path / "package").error
    assert not (tmp_path / "package").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "work.py").write_text("mine")
    assert "already exists" in genera("new", "method", "grey-box", "--out", tmp_path / "package").error
    assert contents(tmp_path / "package") == {"work.py": b"mine"}


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    """The Python of a fresh environment that has this one's packages."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    places = {"base": str(folder), "platbase": str(folder)}
    (Path(sysconfig.get_path("purelib", vars=places)) / "outer.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    )
    return str(folder / "bin" / "python")


def test_the_new_package_trains_resumes_evaluates_and_passes_its_tests(python, tmp_path):
    """What a newcomer does: new, install, list, train, kill, train, evaluate, report, test."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}

    def call(*words: str) -> str:
        done = subprocess.run([python, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    assert genera("new", "method", "tiny-vae", "--out", tmp_path / "tiny-vae").code == 0
    install = ["-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--quiet"]
    subprocess.run(
        [sys.executable, *install, "--no-deps", "--no-build-isolation", "--no-index", "-e", tmp_path / "tiny-vae"],
        check=True,
    )
    listed = json.loads(call("-m", "genera", "list", "--json"))
    assert "tiny-vae" in [method["name"] for method in listed["methods"]]

    train = ["-m", "genera", "train", "tiny-vae:nano", "--out", "run", *SHORT, *OFTEN]
    process = subprocess.Popen([python, *train], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any((tmp_path / "run" / "checkpoints").glob("step-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert RunFolder(tmp_path / "run").status()["state"] == "interrupted"
    call(*train)
    assert [row["step"] for row in RunFolder(tmp_path / "run").metrics()] == list(range(10, 201, 10))
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["plugin"] == {"package": "tiny-vae", "version": "0.1.0"}

    evaluated = json.loads(call("-m", "genera", "evaluate", "run", "--fidelity.images", "64", "--json"))
    assert evaluated["method"] == "tiny-vae"
    call("-m", "genera", "report", "run")
    assert "tiny-vae:nano" in (tmp_path / "run" / "report.html").read_text()
    assert " failed" not in call("-m", "pytest", "-q", "-p", "no:cacheprovider", "tiny-vae")

    with pytest.raises(GeneraError, match=r"comes from the package tiny-vae 0\.1\.0.*pip install tiny-vae"):
        load(tmp_path / "run")  # here it is not installed
