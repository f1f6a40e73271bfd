"""Labelled items for probes and guides: reading, splitting and checking."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genera.data.vocabularies.classes import label_order
from genera.errors import GeneraError, unknown
from genera.uses.facts import facts_of
from genera.uses.settings import LabelConfig

if TYPE_CHECKING:
    from genera.uses.run import Run

FEWEST_TEST_ITEMS = 500
"""A test split smaller than this is extended with a fifth of the training items."""


@dataclass(frozen=True)
class Labelled:
    """Items with their labels. No item is in both splits, and every class has at least two training items."""

    source: str
    names: tuple[str, ...]
    """class → its label"""
    train: list[Any]
    train_classes: NDArray[np.int64]
    test: list[Any]
    test_classes: NDArray[np.int64]
    world: Any
    factor: str | None
    """the world's factor that serves as the label"""

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of training items per label."""
        return dict(zip(self.names, np.bincount(self.train_classes, minlength=len(self.names)).tolist(), strict=True))

    def class_of(self, label: str) -> int:
        if label not in self.names:
            raise unknown(f"label of {self.source}", label, self.names)
        return self.names.index(label)


def read_labelled(run: "Run", config: LabelConfig, seed: int) -> Labelled:
    """The labelled items of `config`, in random order.

    Raises GeneraError for data without labels, a single label, or a label seen once.
    """
    source = _source(run, config)
    data = run.method.dataset.open(source, run.method.assets)
    by_column = hasattr(source, "label_column")
    if config.factor is None and data.labels("train", 1) is None:
        columns = "--label-column COLUMN (tsv:, jsonl:), --label-column file or first (text:), or "
        raise GeneraError(
            f"{source.data} has no labels; name them: {columns if by_column else ''}--factor NAME (world:)."
        )
    if config.factor is not None and data.world is None:
        instead = "; use --label-column." if by_column else "."
        raise GeneraError(f"--factor is for world: sources, not for {source.data}{instead}")
    factors = getattr(data.world, "factors", {})
    if config.factor is not None and config.factor not in factors:
        raise unknown(f"factor of {source.data}", config.factor, factors)

    train, train_labels = _draw(data, "train", config.items, config.factor, seed)
    test, test_labels = _draw(data, "test", config.test_items, config.factor, seed)
    if len(test) < min(FEWEST_TEST_ITEMS, config.test_items):
        taken = min(len(train) // 5, config.test_items - len(test))
        test, test_labels = test + train[:taken], test_labels + train_labels[:taken]
        train, train_labels = train[taken:], train_labels[taken:]
    seen = set(map(_content, test))
    kept = [i for i, item in enumerate(train) if _content(item) not in seen]
    train, train_labels = [train[i] for i in kept], [train_labels[i] for i in kept]

    counts = Counter(train_labels)
    names = tuple(label_order(counts))
    where = f"--factor {config.factor}" if config.factor else f"the labels of {source.data}"
    if len(names) < 2:
        raise GeneraError(
            f"{where}: {_listed(names)} is the only label of the {len(train)} training items; at least two are needed."
        )
    if once := [name for name in names if counts[name] < 2]:
        raise GeneraError(
            f"{where}: every class needs two training items, and {_listed(once)} occurs once among {len(train)}; "
            "give more items (--items), drop these rows, or check the label column."
        )
    if strange := sorted(set(test_labels) - counts.keys()):
        raise GeneraError(f"{where}: {_listed(strange)} occurs only in the test items; give more items (--items).")
    classes = {name: index for index, name in enumerate(names)}
    return Labelled(
        source=source.data,
        names=names,
        train=train,
        train_classes=np.array([classes[label] for label in train_labels]),
        test=test,
        test_classes=np.array([classes[label] for label in test_labels]),
        world=data.world,
        factor=config.factor,
    )


def _source(run: "Run", config: LabelConfig) -> Any:
    """The data settings of the run, changed to the source in `config` if it gives one."""
    trained_on = run.config.data
    columns = {"text_column": config.text_column, "label_column": config.label_column}
    if not config.data:
        return trained_on
    if not hasattr(trained_on, "text_column") and any(columns.values()):
        raise GeneraError(
            f"--text-column and --label-column are for texts, but the items of {run.config.method} are "
            f"{run.method.dataset.kind}, whose labels come with the data."
        )
    belongs = columns if hasattr(trained_on, "text_column") else {}
    return replace(trained_on, data=config.data, limit=None, **belongs)


def _draw(data: Any, split: str, most: int, factor: str | None, seed: int) -> tuple[list[Any], list[str]]:
    """At most `most` random items of a split and their labels; images only if the world can read their factors."""
    store = data.split(split)
    rows = np.random.default_rng([seed, len(store)]).permutation(len(store))[:most]
    items = store.texts(rows) if hasattr(store, "texts") else list(store.images(rows))
    if factor is None:
        names = data.labels(split, len(store))
        return items, [names[row] for row in rows]
    facts = facts_of(items, data.world)
    if facts is None and items:
        raise GeneraError(
            f"the world of {data.world.name} cannot read its factors from grey images; give --channels 3."
        )
    known = [(item, fact[factor]) for item, fact in zip(items, facts or (), strict=True) if fact is not None]
    return [item for item, _ in known], [label for _, label in known]


def _content(item: Any) -> str | bytes:
    """A key that is equal for equal items."""
    return item if isinstance(item, str) else item.cpu().numpy().tobytes()


def _listed(names: Any, most: int = 3) -> str:
    shown = " and ".join(repr(name) for name in list(names)[:most]) or "no label"
    return shown + (f" (and {len(names) - most} more)" if len(names) > most else "")
