"""`genera new method NAME`: a package with a working method, its tests and its card."""

import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.console import say
from genera.engine import registry
from genera.errors import GeneraError
from genera.files import atomic

TEMPLATE = Path(__file__).parent / "method_template"
"""The template: a working package named my-vae, checked and tested in place. A new package gets other names."""


@dataclass(frozen=True, kw_only=True)
class New:
    """Create a package with a small working method, an image VAE, as a starting point for your own."""

    what: Positional[Literal["method"]]
    """What to create."""
    name: Positional[str]
    """Name of the method and its package: lower-case letters and digits, words joined by '-'."""
    out: Path | None = None
    """Folder of the package; it must not exist yet [NAME]."""
    json: bool = False
    """Print the files as JSON on stdout."""


def main(arguments: list[str]) -> None:
    command = parse(New, arguments, "new")
    check_name(command.name)
    folder = command.out or Path(command.name)
    files = write_package(command.name, folder)
    if command.json:
        print_json({"package": str(folder), "files": files})
    else:
        print("\n".join(str(folder / file) for file in files))
    name = command.name
    say(f"next: pip install -e {folder} && genera train {name}:nano --out runs/{name} && pytest {folder}")


def check_name(name: str) -> None:
    """Raises GeneraError for a name that is invalid for a method, a distribution or a module."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise GeneraError(
            f"{name!r} cannot be the name of a method: lower-case letters and digits were expected, "
            "beginning with a letter, words joined by '-', such as my-vae."
        )
    if name in registry.entries():
        raise GeneraError(f"a method {name!r} already exists (`genera list`); choose another name.")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or importlib.util.find_spec(module):
        raise GeneraError(f"a Python module {module!r} already exists; choose another name for the method.")


def write_package(name: str, folder: Path) -> list[str]:
    """Write the package of the method `name` into the new `folder`; returns its files.

    Raises GeneraError when the folder exists or cannot be written.
    """
    if folder.exists():
        raise GeneraError(f"{folder} already exists; remove it or choose another folder with --out.")
    files = []
    with atomic(folder) as temporary:
        for source in sorted(TEMPLATE.rglob("*")):
            if source.is_file() and source.suffix != ".pyc":
                file = renamed(str(source.relative_to(TEMPLATE)), name)
                files.append(file)
                (temporary / file).parent.mkdir(parents=True, exist_ok=True)
                (temporary / file).write_text(renamed(source.read_text(encoding="utf-8"), name), encoding="utf-8")
    return files


def renamed(text: str, name: str) -> str:
    """`text` with the template's names replaced by those of `name`."""
    words = name.split("-")
    text = text.replace("my-vae", name).replace("my_vae", "_".join(words))
    return text.replace("MyVae", "".join(word.capitalize() for word in words))
