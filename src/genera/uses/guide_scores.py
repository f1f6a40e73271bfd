"""How well a guide steers: is the label there, does it read like the data, and is it varied?"""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from genera.console import say
from genera.errors import GeneraError
from genera.files import write_json
from genera.measures import text
from genera.measures.classifiers import TfidfClassifier, accuracy
from genera.measures.estimate import Estimate, mean_estimate
from genera.uses.guide import fitted_on, open_guide
from genera.uses.labelled import read_labelled
from genera.uses.settings import GuideConfig

if TYPE_CHECKING:
    from genera.uses.run import Run

SHOWN = 5
"""Examples kept of each label."""


def score_guide(run: "Run", config: GuideConfig, count: int = 100, *, seed: int = 0) -> dict[str, Any]:
    """Measure the guide of `config` on `count` items of each label; written into its folder as scores.json.

    Raises GeneraError as `open_guide` does, and for a count below 2.
    """
    if count < 2:
        raise GeneraError(f"self-BLEU compares items with each other: at least 2 of each label, got {count}.")
    config.check()
    data = read_labelled(run, config, config.fit_seed)
    guide = open_guide(run, config, data)
    held_out = np.arange(len(data.train))[fitted_on(data).stop :]
    oracle = TfidfClassifier(data.train).fit(held_out, data.train_classes[held_out])

    generator = run.generator(seed)
    generated: dict[str, list[str]] = {}
    for name in data.names:
        say(f"generating {count} items of {name!r}")
        longest = run.config.data.max_tokens
        generated[name] = guide.items(name, count, generator, max_tokens=longest)
    outputs = [output for of_label in generated.values() for output in of_label]
    wanted = np.repeat(np.arange(len(data.names)), count)
    seen = oracle.predict(outputs) == wanted

    figures = {
        "oracle_accuracy": mean_estimate(seen),
        "oracle_own_accuracy": Estimate(accuracy(oracle.predict(data.test), data.test_classes), None, len(data.test)),
        "bleu_guided": text.bleu_against(outputs, data.test),
    }
    share = figures["oracle_accuracy"].value * figures["bleu_guided"].value / 100
    figures["g_score"] = Estimate(math.sqrt(share), None, len(outputs))
    repeats = [text.self_bleu(of_label).value for of_label in generated.values()]
    figures["self_bleu_guided"] = Estimate(float(np.mean(repeats)), None, len(outputs))
    by_label = {name: {"oracle_accuracy": float(seen[wanted == c].mean())} for c, name in enumerate(data.names)}
    if data.world is not None and data.factor is not None:
        facts = [data.world.factors_of(output) for output in outputs]
        figures["grammatical_guided"] = mean_estimate([known is not None for known in facts])
        names = [data.names[c] for c in wanted]
        right = np.array([(k or {}).get(data.factor) == name for k, name in zip(facts, names, strict=True)])
        figures["true_factor_accuracy"] = mean_estimate(right)
        for c, name in enumerate(data.names):
            by_label[name]["true_factor_accuracy"] = float(right[wanted == c].mean())
    written = {
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
        "examples": {name: of_label[:SHOWN] for name, of_label in generated.items()},
    }
    write_json(guide.folder / "scores.json", written)
    return written
