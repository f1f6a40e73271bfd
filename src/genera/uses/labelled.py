"""Labelled items for probes and guides: read, cut apart, checked."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError, unknown
from genera.uses.settings import LabelConfig
from genera.worlds.grammar import World

if TYPE_CHECKING:
    from genera.uses.run import Run

FEWEST_TEST_ITEMS = 500
"""A test split smaller than this is filled up with a fifth of the training items."""


@dataclass(frozen=True)
class Labelled:
    """Items with their labels; no text is in both parts, and every class has at least two training items."""

    source: str
    names: tuple[str, ...]
    """class → its label"""
    train: list[str]
    train_classes: NDArray[np.int64]
    test: list[str]
    test_classes: NDArray[np.int64]
    world: World | None
    factor: str | None
    """the world's factor that is the label"""

    @cached_property
    def counts(self) -> dict[str, int]:
        """Training items of each label."""
        return dict(zip(self.names, np.bincount(self.train_classes, minlength=len(self.names)).tolist(), strict=True))

    def class_of(self, label: str) -> int:
        if label not in self.names:
            raise unknown(f"label of {self.source}", label, self.names)
        return self.names.index(label)


def read_labelled(run: "Run", config: LabelConfig, seed: int) -> Labelled:
    """The labelled items that `config` names, in a random order.

    Raises GeneraError for data without labels, a single label, or a label seen once.
    """
    own = run.config.data
    if config.data:
        own = replace(own, data=config.data, text_column=config.text_column, label_column=config.label_column)
    dataset = run.method.dataset
    data = dataset.open(replace(own, limit=None) if config.data else own, run.method.assets)
    if config.factor is None and not data.label_names:
        raise GeneraError(
            f"{own.data} has no labels; name them: --label-column COLUMN (tsv:, jsonl:), --label-column file or first "
            "(text:), or --factor NAME (world:)."
        )
    if config.factor is not None and data.world is None:
        raise GeneraError(f"--factor is for a world: source, and {own.data} is none; use --label-column.")
    if config.factor is not None and config.factor not in data.world.factors:
        raise unknown(f"factor of {own.data}", config.factor, data.world.factors)

    train, train_labels = _draw(data, "train", config.items, config.factor, seed)
    test, test_labels = _draw(data, "test", config.test_items, config.factor, seed)
    if len(test) < min(FEWEST_TEST_ITEMS, config.test_items):
        taken = min(len(train) // 5, config.test_items - len(test))
        test, test_labels = test + train[:taken], test_labels + train_labels[:taken]
        train, train_labels = train[taken:], train_labels[taken:]
    seen = set(test)
    kept = [i for i, text in enumerate(train) if text not in seen]
    train, train_labels = [train[i] for i in kept], [train_labels[i] for i in kept]

    counts = Counter(train_labels)
    names = tuple(sorted(counts, key=_naturally))
    where = f"--factor {config.factor}" if config.factor else f"the labels of {own.data}"
    if len(names) < 2:
        raise GeneraError(
            f"{where}: {_listed(names)} is the only one among {len(train)} training items; two are needed."
        )
    if once := [name for name in names if counts[name] < 2]:
        raise GeneraError(
            f"{where}: {_listed(once)} occurs once among {len(train)} training items, and a class needs two; "
            "give more items (--items), drop these rows, or check the label column."
        )
    if strange := sorted(set(test_labels) - counts.keys()):
        raise GeneraError(f"{where}: {_listed(strange)} is among the test items only; give more items (--items).")
    classes = {name: index for index, name in enumerate(names)}
    return Labelled(
        source=own.data,
        names=names,
        train=train,
        train_classes=np.array([classes[label] for label in train_labels]),
        test=test,
        test_classes=np.array([classes[label] for label in test_labels]),
        world=data.world,
        factor=config.factor,
    )


def _draw(data: Any, split: str, most: int, factor: str | None, seed: int) -> tuple[list[str], list[str]]:
    """At most `most` random items of a split and their labels."""
    store = data.split(split)
    rows = np.random.default_rng([seed, len(store)]).permutation(len(store))[:most]
    texts = store.texts(rows)
    if factor is None:
        return texts, [data.label_names[label] for label in store.labels[rows]]
    return texts, [data.world.factors_of(text)[factor] for text in texts]


def _naturally(name: str) -> tuple[bool, int, str]:
    return not name.isdigit(), int(name) if name.isdigit() else 0, name


def _listed(names: Any, most: int = 3) -> str:
    shown = " and ".join(repr(name) for name in list(names)[:most]) or "no label"
    return shown + (f" (and {len(names) - most} more)" if len(names) > most else "")
