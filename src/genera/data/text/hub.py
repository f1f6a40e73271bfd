"""Hugging Face data sets by name: `hub:NAME[:CONFIG]`, streamed by the library `datasets` (the extra `data`).

Named splits of the data set are used; a missing one is held out of the training texts, as for files.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from genera.console import say
from genera.data.splits import SPLITS, in_order, split_named
from genera.data.text.formats import label_of
from genera.data.text.items import Item
from genera.data.text.pairs import columns_of, joined
from genera.errors import GeneraError, reason, unknown

TROUBLE = (OSError, ValueError, RuntimeError)
"""What `datasets` raises for an unknown name or configuration, and without a network."""


@dataclass(frozen=True)
class HubSource:
    spec: str
    parts: tuple[tuple[str, str, Any], ...]
    """(split, its name on the hub, rows that can be iterated repeatedly), training first"""
    text_column: str
    label_column: str | None
    label_names: tuple[str, ...] | None
    """the names of labels 0, 1, …, if the data set has them"""
    version: str

    @property
    def splits(self) -> tuple[str, ...]:
        return in_order(part[0] for part in self.parts)

    def pieces(self, size: int) -> list["HubSource"]:
        """A piece for each file of the data set, whatever its size."""
        return [
            replace(self, parts=((split, name, rows.shard(rows.num_shards, index)),))
            for split, name, rows in self.parts
            for index in range(rows.num_shards)
        ]

    def items(self) -> Iterator[Item]:
        for split, name, rows in self.parts:
            try:
                for number, row in enumerate(rows, start=1):
                    text, label = self._read(row, f"row {number} of {name} in {self.spec}")
                    yield Item(split, text, label)
            except TROUBLE as error:
                raise _unreadable(self.spec, error) from error

    def _read(self, row: dict[str, Any], where: str) -> tuple[str, str | None]:
        texts = [row[column] for column in columns_of(self.text_column)]
        if not all(isinstance(text, str) for text in texts):
            raise GeneraError(f"{where}: the column {self.text_column!r} is not a string; give --text-column.")
        if self.label_column is None:
            return joined(texts), None
        label = row[self.label_column]
        if self.label_names is not None and label is not None:
            label = self.label_names[label] if label >= 0 else None
        return joined(texts), label_of(where, "" if label is None else str(label))

    def fingerprint(self) -> str:
        parts = [part[:2] for part in self.parts]
        return hashlib.sha256(repr((self.version, parts, self.text_column, self.label_column)).encode()).hexdigest()


def open_hub(spec: str, rest: str, text_column: str | None, label_column: str | None) -> HubSource:
    """Raises GeneraError when `datasets` is not installed, or there is no such data set, configuration or column."""
    datasets = _library()
    name, _, config = rest.partition(":")
    try:
        version = datasets.load_dataset_builder(name, config or None).hash
        named_splits = datasets.load_dataset(name, config or None, streaming=True)
    except TROUBLE as error:
        raise _unreadable(spec, error) from error
    text_column = text_column or "text"
    features = next(iter(named_splits.values())).features or {}
    for column in filter(None, (*columns_of(text_column), label_column)):
        if features and column not in features:
            raise unknown(f"column of {spec}", column, features)
    names = getattr(features.get(label_column), "names", None)
    return HubSource(
        spec=spec,
        parts=_parts(spec, named_splits, label_column if names else None),
        text_column=text_column,
        label_column=label_column,
        label_names=tuple(names) if names else None,
        version=f"{name}:{config}:{version}",
    )


def _parts(spec: str, named_splits: Any, hidden_in: str | None) -> tuple[tuple[str, str, Any], ...]:
    """Maps the splits of the data set to ours. hidden_in: the label column, where -1 marks a hidden label."""
    uses = {name: split_named(name) for name in named_splits}
    if "train" not in uses.values() and len(set(uses.values())) == 1:
        uses = dict.fromkeys(uses, "train")
    for name, rows in named_splits.items():
        if uses[name] is None:
            say(f"{spec}: skipping the split {name}.")
        elif hidden_in and next(iter(rows))[hidden_in] == -1:
            say(f"{spec}: skipping the split {name}, whose labels are hidden.")
            uses[name] = None
    return tuple((split, name, named_splits[name]) for split in SPLITS for name, use in uses.items() if use == split)


def _library() -> ModuleType:
    try:
        import datasets
    except ImportError:
        raise GeneraError("a hub: source needs the library datasets: pip install 'genera[data]'.") from None
    return datasets


def _unreadable(spec: str, error: Exception) -> GeneraError:
    return GeneraError(
        f"{spec} cannot be read ({reason(error).rstrip('.')}); check the name, the configuration and the network."
    )
