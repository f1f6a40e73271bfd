"""Scores of a guide: do items have the label, do they resemble the data, and are they diverse?"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genera.console import say
from genera.errors import GeneraError
from genera.evaluation.guide_uses import judge
from genera.evaluation.item_types import item_type
from genera.evaluation.label_blocks import guide_blocks
from genera.files import write_json
from genera.measures.classifiers import accuracy
from genera.measures.estimate import mean_estimate
from genera.measures.factors import valid
from genera.measures.schema import Estimate
from genera.uses.facts import facts_of
from genera.uses.grids import write_grid
from genera.uses.guide import fitted_on, open_guide
from genera.uses.labelled import read_labelled
from genera.uses.settings import GuideConfig

if TYPE_CHECKING:
    from genera.uses.run import Run

SHOWN = 5
"""Examples kept of each label."""


def score_guide(run: "Run", config: GuideConfig, count: int = 100, *, seed: int = 0) -> dict[str, Any]:
    """Measure the guide of `config` on `count` items per label; writes scores.json to its folder.

    Raises GeneraError as `open_guide` does, and for a count below 2.
    """
    if count < 2:
        raise GeneraError(
            f"items are compared with each other, so --count must be at least 2 of each label, got {count}."
        )
    config.check()
    kind = item_type(run.method.dataset.kind)
    data = read_labelled(run, config, config.fit_seed)
    guide = open_guide(run, config, data)
    held_out = np.arange(len(data.train))[fitted_on(data).stop :]
    oracle = kind.classifier(data.train).fit(held_out, data.train_classes[held_out])

    generator = run.generator(seed)
    generated: dict[str, list[Any]] = {}
    for name in data.names:
        say(f"generating {count} items of {name!r}")
        items = guide.items(name, count, generator, **kind.decoding(run))
        generated[name] = [item if isinstance(item, str) else item.cpu() for item in items]
    outputs = [output for of_label in generated.values() for output in of_label]
    wanted = np.repeat(np.arange(len(data.names)), count)
    seen = oracle.predict(outputs) == wanted

    figures = {
        "oracle_accuracy": mean_estimate(seen),
        "oracle_own_accuracy": Estimate(accuracy(oracle.predict(data.test), data.test_classes), None, len(data.test)),
        **kind.guided(generated, data.test),
    }
    if (bleu := figures.get("bleu_guided")) is not None:
        share = figures["oracle_accuracy"].value * bleu.value / 100
        figures["g_score"] = Estimate(math.sqrt(share), None, len(outputs))
    by_label = {name: {"oracle_accuracy": float(seen[wanted == c].mean())} for c, name in enumerate(data.names)}
    if data.factor is not None and (facts := facts_of(outputs, data.world)) is not None:
        figures[f"{kind.valid}_guided"] = valid(facts)
        names = [data.names[c] for c in wanted]
        right = np.array([(k or {}).get(data.factor) == name for k, name in zip(facts, names, strict=True)])
        figures["true_factor_accuracy"] = mean_estimate(right)
        for c, name in enumerate(data.names):
            by_label[name]["true_factor_accuracy"] = float(right[wanted == c].mean())
    written: dict[str, Any] = {
        "guide": guide.folder.name,
        "method": config.method,
        "degree": config.degree,
        "data": data.source,
        "chance": 1 / len(data.names),
        "items_per_label": count,
        "test_items": len(data.test),
        "seed": seed,
        "measures": {name: asdict(estimate) for name, estimate in figures.items()},
        "labels": by_label,
        "diagnosis": judge(figures, 1 / len(data.names)),
        **_examples(run, guide.folder, {name: of_label[:SHOWN] for name, of_label in generated.items()}),
    }
    written["blocks"] = [block.plain() for block in guide_blocks(guide.folder.name, written)]
    write_json(guide.folder / "scores.json", written)
    return written


def _examples(run: "Run", folder: Path, items: dict[str, list[Any]]) -> dict[str, Any]:
    """Sentences as they are; images in a picture, a row for each label."""
    rows = list(items.values())
    if isinstance(rows[0][0], str):
        return {"examples": items}
    file = write_grid(folder / "examples.png", [image for row in rows for image in row], columns=len(rows[0]))
    return {"picture": file.relative_to(run.folder.path).as_posix()}
