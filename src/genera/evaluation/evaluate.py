"""Measuring a trained model on held-out data: figures, diagnosis and examples, into evaluation.json.

How items of one kind are measured stands in a module of its own, named in `PARTS`.
"""

import importlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from genera.console import say
from genera.errors import GeneraError, unknown
from genera.files import write_json
from genera.measures.diagnosis import diagnose
from genera.measures.estimate import Estimate
from genera.uses.run import Run
from genera.uses.settings import EvaluateConfig

PARTS = {
    "text": "genera.evaluation.text",
    "dialogues": "genera.evaluation.dialogue",
    "images": "genera.evaluation.images",
    "image-pairs": "genera.evaluation.translation",
    "navigation": "genera.evaluation.navigation",
}
"""kind of items → module whose `PARTS` maps a part's name to its function; its `SPLITS`, where it has any, maps what
`--split` says to the splits that are measured; and its `COUNT`, where it has one, names the option that says how many
items those are [items]"""


@dataclass
class Evaluation:
    """What the parts write into."""

    run: Run
    data: Any
    config: EvaluateConfig
    measures: dict[str, Estimate] = field(default_factory=dict)
    examples: dict[str, list[Any]] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    """What evaluation.json holds besides: latent_map, factors, lengths, images, factor_shares, …"""
    shared: dict[str, Any] = field(default_factory=dict)
    """What one part made and others use; it is not written."""
    splits: tuple[str, ...] = ()
    """Those of `--split` that the data has: one, but for navigation, whose houses are seen or unseen"""

    def items(self, count: int) -> list[Any]:
        """The first `count` items of the split; the splits themselves are unordered."""
        return self.data.items(self.config.split, count)


def evaluate(run: Run, config: EvaluateConfig | None = None) -> dict[str, Any]:
    """Measure `run`, write its evaluation.json, and return what was written.

    Raises GeneraError for an unknown measure, or data that cannot be had.
    """
    config = config or EvaluateConfig()
    config.check()
    run.folder.check_writable()
    dataset = run.method.dataset
    module = importlib.import_module(PARTS[dataset.kind])
    parts: dict[str, Callable[[Evaluation], bool]] = module.PARTS
    for name in config.measures:
        if name not in parts:
            raise unknown("measure", name, parts)
    started = time.monotonic()
    data_config = run.config.data
    if config.data:
        belongs = {"text_column": config.text_column, "label_column": config.label_column, "graphs": None}
        known = {name: value for name, value in belongs.items() if hasattr(data_config, name)}
        data_config = replace(data_config, data=config.data, **known)
    if dataset.kind == "navigation" and config.features != EvaluateConfig.features:
        data_config = replace(data_config, features=Path(config.features).expanduser())
    if config.style:
        if not hasattr(data_config, "style"):
            raise GeneraError(f"--style is for dialogue models, and {run.config.method} is none.")
        data_config = replace(data_config, style=config.style)
    try:
        data = dataset.open(data_config, run.method.assets)
    except GeneraError as error:
        raise GeneraError(f"{error} To measure on other data, give --data SOURCE.") from None
    wanted = getattr(module, "SPLITS", {}).get(config.split, (config.split,))
    splits = tuple(split for split in wanted if data.size(split))
    if not splits:
        raise GeneraError(f"{data_config.data} has no {' or '.join(wanted)} items; give another --split or --data.")
    evaluation = Evaluation(run, data, config, splits=splits)
    for name, part in parts.items():
        if not config.measures or name in config.measures:
            say(f"measuring {name}")
            if not part(evaluation) and name in config.measures:
                raise GeneraError(f"{run.config.method} on {data_config.data} cannot be measured by {name!r}.")

    figures = {name: estimate.value for name, estimate in evaluation.measures.items()}
    findings = diagnose(
        figures, evaluation.extras.get("lengths"), evaluation.extras.get("factor_shares"), config.images
    )
    count = getattr(config, getattr(module, "COUNT", "items"))
    written = {
        "method": run.config.method,
        "preset": run.config.preset,
        "data": data_config.data,
        "split": " + ".join(splits),
        "items": sum(min(count, data.size(split)) for split in splits),
        "step": run.step,
        "seed": config.seed,
        "seconds": round(time.monotonic() - started, 1),
        "settings": asdict(config),
        "measures": {name: asdict(estimate) for name, estimate in evaluation.measures.items()},
        "diagnosis": [asdict(finding) for finding in findings],
        "examples": evaluation.examples,
        **evaluation.extras,
    }
    written = _finite(written)
    write_json(run.folder.path / "evaluation.json", written)
    return written


def _finite(value: Any) -> Any:
    """JSON has no infinities: a figure that overflowed is null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
