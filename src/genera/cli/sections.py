"""Command-line options from config dataclasses, grouped for the help: the most used first, then one group per topic."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tyro

from genera.engine.field_docs import field_docs

Path = tuple[str, ...]
"""Where a field is: (config, field)."""


class Sections:
    """Sorts the fields of several configs into groups, and rebuilds the configs from the parsed command.

    Nested configs stay whole, each as a group.
    """

    def __init__(self, configs: Mapping[str, Any], first: Sequence[str], groups: Mapping[str, Sequence[str]]) -> None:
        """configs: name → instance, whose values are the defaults. first: fields shown before all groups.
        groups: title → fields, in the order of the help; the other fields of a config are grouped under its name."""
        self.configs = configs
        self._docs = {name: field_docs(type(config)) for name, config in configs.items()}
        self._titles: dict[Path, str] = {}
        for name, config in configs.items():
            for f in dataclasses.fields(config):
                title = next((title for title, names in groups.items() if f.name in names), name)
                self._titles[name, f.name] = "" if f.name in first else title
        order = {field: place for place, field in enumerate(first)}
        self._first = sorted((p for p, t in self._titles.items() if not t), key=lambda path: order[path[1]])

    def command(self, name: str, doc: str, command_fields: Sequence[tuple[Any, ...]]) -> Any:
        """A dataclass for `parse`: the fields of the command, the `first` fields, and a dataclass for each group.

        command_fields: (name, type, default) each."""
        fields: list[Any] = [*command_fields, *map(self._field, self._first)]
        for title in dict.fromkeys(self._titles.values()):
            if title:
                members = [self._field(path) for path, group in self._titles.items() if group == title]
                kind = dataclasses.make_dataclass(title, members, frozen=True, kw_only=True, namespace={"__doc__": ""})
                fields.append((title, kind, dataclasses.field(default=kind())))
        return dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True, namespace={"__doc__": doc})

    def parsed(self, command: Any) -> dict[str, Any]:
        """name → config with the values of the parsed command."""
        values: dict[str, dict[str, Any]] = {name: {} for name in self.configs}
        for (name, field), title in self._titles.items():
            holder = getattr(command, title) if title else command
            values[name][field] = getattr(holder, _member(name, field))
        return {name: dataclasses.replace(config, **values[name]) for name, config in self.configs.items()}

    def _field(self, path: Path) -> Any:
        name, field = path
        config = self.configs[name]
        hint = typing.get_type_hints(type(config), include_extras=True)[field]
        option = tyro.conf.arg(name=field, prefix_name=False, help=self._docs[name].get(field))
        return _member(name, field), Annotated[hint, option], dataclasses.field(default=getattr(config, field))


def _member(config: str, field: str) -> str:
    """Unique, since two configs may have a field of the same name."""
    return f"{config}_{field}"
