"""What is declared is used, and what is used is declared; extras are imported only by what needs them."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL", "pyyaml": "yaml"}
"""package → the module that it provides, where the names differ"""
WITH_ANOTHER = {"markupsafe": "jinja2"}
"""module → the dependency of which it is a part of the interface"""


def modules_of(requirements):
    names = (re.match(r"[A-Za-z0-9_-]+", requirement)[0] for requirement in requirements)
    return {MODULES.get(name.lower(), name.replace("-", "_")) for name in names}


CORE = modules_of(PROJECT["dependencies"])
EXTRAS = {name: modules_of(packages) for name, packages in PROJECT["optional-dependencies"].items() if name != "dev"}


def imported():
    """Third-party modules that the package imports."""
    found = set()
    for file in (ROOT / "src" / "genera").rglob("*.py"):
        if "method_template" in file.parts or "testing" in file.parts:  # the test kit is for those who have pytest
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return {WITH_ANOTHER.get(name, name) for name in found - sys.stdlib_module_names - {"genera"}}


def test_every_dependency_is_imported_and_every_import_is_declared():
    assert imported() == CORE | set.union(*EXTRAS.values())


def test_extras_are_part_of_no_other_and_of_the_developers():
    developers = modules_of(PROJECT["optional-dependencies"]["dev"])
    for modules in EXTRAS.values():
        assert not modules & CORE
    assert EXTRAS["plot"] | EXTRAS["navigation"] | EXTRAS["hdf5"] <= developers


def test_methods_load_without_extras_and_without_what_only_measures_use():
    absent = {*set.union(*EXTRAS.values()), "sklearn", "sacrebleu"}
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(absent)}))\n"
        "from genera.engine import registry\n"
        "for entry in registry.entries().values(): entry.load()\n"
        "import genera.run, genera.report.page, genera.report.figures, genera.evaluation.evaluate"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_environments_name_their_extra(monkeypatch):
    from genera.errors import GeneraError

    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "genera.navigation.environments", raising=False)
    with pytest.raises(GeneraError, match=r"need gymnasium: pip install 'genera\[navigation\]'"):
        __import__("genera.navigation.environments")


def test_the_readme_names_every_extra():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in PROJECT["optional-dependencies"]:
        assert f"genera[{name}]" in readme
