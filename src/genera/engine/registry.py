"""Registry of methods and presets. No torch: `genera list` and `--help` read only this."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from genera import plugins
from genera.engine.config import RunConfig, TrainConfig, from_dict, with_budget
from genera.errors import GeneraError, unknown
from genera.files import read_yaml


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named configuration: sizes, schedule and data."""

    summary: str
    model: Any
    train: TrainConfig
    data: Any


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A registered method; `implementation` ("package.module:Class") is imported on first use.

    Raises GeneraError for a name that is invalid on the command line, and without presets.
    """

    name: str
    summary: str
    paper: str
    family: str
    implementation: str
    presets: Mapping[str, Preset]
    imported_as: str = "paper"
    """Preset whose settings `genera import METHOD` completes those of the weights with."""
    planner: str | None = None
    """Function ("package.module:function") that chooses the preset for `genera train METHOD --minutes N`, where the
    user names none: from a function preset → config with the user's options. It also says what to expect [the first
    preset]."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", self.name):
            raise GeneraError(f"a method's name has lower-case letters, digits, '-', '_' and '.', not {self.name!r}.")
        if not self.presets:
            raise GeneraError(f"the method {self.name!r} has no preset; it needs at least one.")

    def load(self) -> Any:
        """The Method class (imports torch). Raises GeneraError when the package of a plug-in cannot be imported."""
        module, _, name = self.implementation.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            plugin = plugins.package_of(plugins.METHODS, self.name)
            if plugin is None or module.startswith("genera."):
                raise
            raise GeneraError(
                f"the method {self.name!r} of the package {plugin.package} {plugin.version} cannot be imported "
                f"({type(error).__name__}: {error}); repair or reinstall the package."
            ) from error


_entries: dict[str, Entry] = {}


def register(entry: Entry) -> None:
    if entry.name in _entries:
        raise GeneraError(f"a method named {entry.name!r} is registered twice.")
    _entries[entry.name] = entry


def entries() -> dict[str, Entry]:
    """All methods by name: those in this package's methods folder, and those of installed plug-ins."""
    importlib.import_module("genera.methods").discover()
    return dict(sorted((_entries | plugins.load(plugins.METHODS, Entry, _entries)).items()))


def entry(name: str) -> Entry:
    known = entries()
    if name not in known:
        raise unknown("method", name, known)
    return known[name]


def preset(spec: str) -> tuple[Entry, RunConfig]:
    """Method and config of `METHOD:PRESET`; `METHOD` alone is its first preset."""
    name, _, wanted = spec.partition(":")
    method = entry(name)
    wanted = wanted or next(iter(method.presets))
    if wanted not in method.presets:
        raise unknown(f"preset of {name}", wanted, method.presets)
    chosen = method.presets[wanted]
    return method, RunConfig(method=name, preset=wanted, data=chosen.data, train=chosen.train, model=chosen.model)


def configure(spec: str | RunConfig, **overrides: Any) -> RunConfig:
    """The config of `METHOD:PRESET` with fields of its data, train and model configs replaced, as on the command line.

    spec: METHOD:PRESET, or a config as returned by `read_config`. A budget among the overrides (steps, epochs, minutes)
    replaces the config's budget. Raises GeneraError for an unknown method, preset or field.
    """
    config = spec if isinstance(spec, RunConfig) else preset(spec)[1]
    name_of_run = spec if isinstance(spec, str) else f"{config.method}:{config.preset}"
    if budget := {name: overrides.pop(name) for name in ("steps", "epochs", "minutes") if name in overrides}:
        config = replace(config, train=with_budget(config.train, **budget))
    for name, value in overrides.items():
        holders = [part for part in ("data", "train", "model") if hasattr(getattr(config, part), name)]
        if not holders:
            known = [f.name for part in (config.data, config.train, config.model) for f in fields(part)]
            raise unknown(f"option of {name_of_run}", name, known)
        config = replace(config, **{holders[0]: replace(getattr(config, holders[0]), **{name: value})})
    return config


def read_config(path: str | Path) -> RunConfig:
    """The config in a saved `config.yaml`, to train again or to change with `configure`.

    path: the file, or the run folder that holds it. Raises GeneraError for a missing or damaged file.
    """
    file = Path(path) / "config.yaml" if Path(path).is_dir() else Path(path)
    return run_config(read_yaml(file), str(file))


def origin(name: str) -> dict[str, Any]:
    """The plug-in entry of config.yaml for the method `name`; empty for a built-in method."""
    plugin = None if name in _entries else plugins.package_of(plugins.METHODS, name)
    return {} if plugin is None else {"plugin": {"package": plugin.package, "version": plugin.version}}


def run_config(values: Any, where: str) -> RunConfig:
    """The RunConfig of a saved config.yaml. Raises GeneraError that names the fault, or the package to install if the
    plug-in of its method is missing."""
    if not isinstance(values, dict) or not {"method", "preset", "data", "train", "model"} <= values.keys():
        raise GeneraError(f"{where} is not a genera run configuration (method, preset, data, train, model).")
    if not isinstance(values["method"], str) or not isinstance(values["preset"], str):
        raise GeneraError(f"{where}: method and preset must be names; restore the file.")
    plugin = values.get("plugin")
    if isinstance(plugin, dict) and values["method"] not in entries():
        raise GeneraError(
            f"the method {values['method']!r} of {where} comes from the package {plugin.get('package')} "
            f"{plugin.get('version')}, which is not installed or does not work here; "
            f"pip install {plugin.get('package')}."
        )
    shape = next(iter(entry(values["method"]).presets.values()))
    empty = RunConfig(method=values["method"], preset=values["preset"], data=None, train=TrainConfig(), model=None)
    return replace(
        empty,
        data=from_dict(type(shape.data), values["data"], f"{where}: data"),
        train=from_dict(TrainConfig, _several_parents(values["train"]), f"{where}: train"),
        model=from_dict(type(shape.model), values["model"], f"{where}: model"),
    )


def _several_parents(train: Any) -> Any:
    """Convert `init` of an older config.yaml (one run or null) to a list."""
    if isinstance(train, dict) and (train.get("init") is None or isinstance(train["init"], str)):
        return train | {"init": [train["init"]] if train.get("init") else []}
    return train
