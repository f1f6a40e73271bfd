"""Packages that register methods and worlds by entry points: used like built-in ones; broken ones harm nothing."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands import genera
from genera import plugins, worlds
from genera.data.images.sources import parse_images
from genera.data.text.sources import parse_source
from genera.engine import registry
from genera.engine.capabilities import Translates
from genera.engine.folder import RunFolder
from genera.errors import GeneraError
from genera.uses.run import lacking

METHOD = """
from dataclasses import replace
from genera.engine import registry
ENTRY = replace(registry._entries["optimus"], name="{name}", summary="of a plug-in")
"""
WORLD = """
from genera.worlds import Entry
ENTRY = Entry("text", "of a plug-in", "genera.worlds.captions:CAPTIONS_SMALL")
"""

Install = Callable[[str, str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """install(package, group, name, code) puts a package with one entry point on the path, as pip would."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def install(package: str, group: str, name: str, code: str) -> None:
        module = package.replace("-", "_")
        site.mkdir(exist_ok=True)
        (site / f"{module}.py").write_text(code)
        info = site / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:ENTRY\n")
        forget()

    yield install
    for module in [name for name, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(site))]:
        del sys.modules[module]
    forget()


def forget() -> None:
    for cached in (plugins.installed, plugins._loaded, plugins._warn):
        cached.cache_clear()


def test_a_method_of_a_plugin_is_listed_and_configured_like_a_built_in_one(install):
    install("genera-other", plugins.METHODS, "other", METHOD.format(name="other"))
    listed = genera("list", "--json")
    assert "other" in [method["name"] for method in listed.json["methods"]]
    assert registry.configure("other:nano", steps=3).train.steps == 3
    assert not listed.err


def test_a_world_of_a_plugin_is_listed_and_drawn_from(install):
    install("genera-place", plugins.WORLDS, "place", WORLD)
    assert "place" in worlds.names("text")
    assert genera("list", "--json").json["worlds"]["place"] == "of a plug-in"
    assert worlds.load("place").sentences(3, seed=0) == worlds.load("captions-small").sentences(3, seed=0)


SOURCE = """
from genera.data.registry import Scheme
from genera.data.text.items import Item
ENTRY = Scheme("NAME", {"text": "genera_mine:Mine"}, "of a plug-in")
class Mine:
    splits = ()
    def __init__(self, spec, rest, text_column, label_column):
        self.spec, self.rest = spec, rest
    def items(self):
        return (Item("train", f"{self.rest} {i}", None) for i in range(500))
    def fingerprint(self):
        return self.rest
"""


def test_a_source_of_a_plugin_is_listed_and_read_with_splits_held_out(install):
    install("genera-mine", plugins.SOURCES, "mine", SOURCE)
    assert genera("list", "--json").json["sources"]["mine"] == "NAME of of a plug-in [text]"
    items = list(parse_source("mine:word").items())
    assert [item.text for item in items] == [f"word {i}" for i in range(500)]
    assert {item.split for item in items} == {"train", "valid", "test"}
    with pytest.raises(GeneraError, match="mine:word gives texts, but images are needed here"):
        parse_images("mine:word")


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("other = 1", "has no attribute 'ENTRY'"),
        ("ENTRY = 7", "is of type int, not Entry"),
        (METHOD.format(name="another"), "names itself 'another'"),
        (METHOD.format(name="a:b"), "lower-case letters"),
    ],
)
def test_a_broken_plugin_is_a_warning_that_names_its_package_and_the_rest_works(install, code, complaint):
    install("genera-broken", plugins.METHODS, "broken", code)
    install("genera-other", plugins.METHODS, "other", METHOD.format(name="other"))
    listed = genera("list", "--json")
    assert listed.code == 0
    names = [method["name"] for method in listed.json["methods"]]
    assert "other" in names
    assert "optimus" in names
    assert "broken" not in names
    assert len(listed.err.splitlines()) == 1
    assert "package genera-broken 1.2" in listed.err
    assert complaint in listed.err


def test_a_plugin_cannot_take_the_name_of_a_built_in_method_or_of_another_plugin(install):
    install("genera-thief", plugins.METHODS, "optimus", METHOD.format(name="optimus"))
    install("genera-one", plugins.METHODS, "same", METHOD.format(name="same"))
    install("genera-two", plugins.METHODS, "same", METHOD.format(name="same"))
    listed = genera("list", "--json")
    assert registry.entry("optimus").summary != "of a plug-in"
    assert [method["name"] for method in listed.json["methods"]].count("same") == 1
    assert "'optimus' (genera.methods) of the package genera-thief 1.2 is ignored" in listed.err
    assert "another installed package registers the same name" in listed.err


def test_a_method_whose_implementation_cannot_be_imported_is_one_sentence(install):
    code = METHOD.format(name="other").replace("summary=", 'implementation="no_such_module:Method", summary=')
    install("genera-other", plugins.METHODS, "other", code)
    with pytest.raises(GeneraError, match=r"package genera-other 1\.2 cannot be imported .*no_such_module"):
        registry.entry("other").load()
    assert "methods that can: u-gat-it." in str(lacking(Translates, "optimus", "translate"))


def test_a_run_records_its_plugin_and_says_what_to_install_when_it_is_gone(install, tmp_path, monkeypatch):
    install("genera-other", plugins.METHODS, "other", METHOD.format(name="other"))
    folder = RunFolder(tmp_path / "run")
    folder.start(registry.configure("other:nano", steps=3))
    assert folder.config().method == "other"
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path / "site")])
    forget()
    with pytest.raises(GeneraError, match=r"comes from the package genera-other 1\.2.*pip install genera-other"):
        folder.config()


def test_looking_for_plugins_imports_no_torch():
    code = "import sys; from genera.engine import registry; registry.entries(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
