"""Plug-ins: methods, sources, worlds and evaluators of installed packages, discovered by entry points. No torch.

A package registers a method, for example, in its pyproject.toml:

    [project.entry-points."genera.methods"]
    my-vae = "my_vae:ENTRY"

An entry point refers to the small record that the registry of its group stores; it must be importable without torch. An
unusable plug-in causes a warning on stderr and does not affect anything else.
"""

import importlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

T = TypeVar("T")

METHODS, SOURCES, WORLDS, EVALUATORS = "genera.methods", "genera.sources", "genera.worlds", "genera.evaluators"
"""The groups of entry points."""


@dataclass(frozen=True)
class Plugin:
    """One entry point of an installed package."""

    group: str
    name: str
    value: str
    """module:OBJECT"""
    package: str
    """The distribution, as `pip install` names it."""
    version: str

    def __str__(self) -> str:
        return f"{self.name!r} ({self.group}) of the package {self.package} {self.version}"


@cache
def installed(group: str) -> tuple[Plugin, ...]:
    """The installed plug-ins of `group`, working or not. Does not import them."""
    return tuple(
        Plugin(group, point.name, point.value, point.dist.name, point.dist.version)
        for point in sorted(entry_points(group=group), key=lambda point: point.name)
        if point.dist is not None
    )


def load(group: str, kind: type[T], built_in: Collection[str]) -> dict[str, T]:
    """name → object of type `kind`, for all working plug-ins of `group`.

    A plug-in is skipped with a warning if it cannot be imported, is not a `kind`, has another `name` than its entry
    point, or has a name in `built_in` or of an earlier plug-in.
    """
    usable: dict[str, T] = {}
    for plugin in installed(group):
        if plugin.name in built_in:
            _warn(f"{plugin} is ignored: genera has a built-in {plugin.name!r}; its author must choose another name.")
        elif plugin.name in usable:
            _warn(f"{plugin} is ignored: another installed package registers the same name.")
        elif (record := _loaded(plugin)) is None:
            continue
        elif not isinstance(record, kind):
            _warn(f"{plugin} is ignored: {plugin.value} is of type {type(record).__name__}, not {kind.__name__}.")
        elif (name := getattr(record, "name", plugin.name)) != plugin.name:
            _warn(f"{plugin} is ignored: {plugin.value} names itself {name!r}.")
        else:
            usable[plugin.name] = record
    return usable


def package_of(group: str, name: str) -> Plugin | None:
    """The plug-in that registers `name`; None for a built-in or unknown name."""
    return next((plugin for plugin in installed(group) if plugin.name == name), None)


@cache
def _loaded(plugin: Plugin) -> object:
    """The object of the entry point; None, with a warning, when it cannot be imported."""
    module, _, path = plugin.value.partition(":")
    try:
        record = importlib.import_module(module.strip())
        for attribute in filter(None, path.split(".")):
            record = getattr(record, attribute)
    except (Exception, SystemExit) as error:  # an import error of another package must not affect the rest
        _warn(f"{plugin} is ignored: {type(error).__name__}: {error}")
        return None
    return record


@cache
def _warn(message: str) -> None:
    """Print a warning once per process, on the main rank."""
    from genera.console import say

    say(f"warning: plug-in {message}")
