"""Measure a trained model with every evaluator that applies to it; results go to RUN/evaluations/."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genera.blocks.decoding_options import decodings_used
from genera.console import say
from genera.data.splits import WHOLE
from genera.engine.config import from_dict
from genera.errors import GeneraError, Lacks
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.registry import evaluator, evaluators
from genera.evaluation.sentences import spread
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.storage import FOLDER, Stored, add, name_of, read
from genera.uses.run import Run
from genera.uses.typical import ITEMS, write_typical


def evaluate(
    run: Run, config: EvaluateConfig | None = None, *, measures: Sequence[str] = (), **options: Mapping[str, Any]
) -> Stored:
    """Measure `run` with every evaluator that applies to it (or only with `measures`), and add the results to the
    evaluation of the same data, split, step and settings in RUN/evaluations/.

    options: option fields by evaluator, such as `likelihood={"samples": 10}` (with underscores for the dashes of a
    name). Raises GeneraError for an unknown evaluator or option, unreadable data, or a run without evaluators.
    """
    config = config or EvaluateConfig()
    named = {name.replace("_", "-"): dict(values) for name, values in options.items()}
    given = {name: from_dict(evaluator(name).options, values, name) for name, values in named.items()}
    config = replace(config, measures=tuple(measures) or config.measures, options={**config.options, **given})
    config.check()
    run.folder.check_writable()
    kind = run.method.dataset.kind
    fitting = _fitting(run, config, kind)
    data, spec = _open(run, config)
    splits = _splits(config, fitting, data, spec)
    name = name_of(spec, " + ".join(splits), run.step, config.settings)
    folder = run.folder.path / FOLDER / name
    run = Run(run.folder, run.config, run.method, run.step)  # without the warnings for users' inputs
    evaluation = Evaluation(run, data, splits, config.seed, {"data": config.data}, folder)
    lacking = {}
    for known in fitting:
        say(f"measuring {known.name}")
        started = time.monotonic()
        evaluation.begin(known, config.of(known))
        try:
            with decodings_used() as used:
                known.measure(evaluation, config.of(known))
        except Lacks as reason:
            del evaluation.results[known.name]
            lacking[known.name] = str(reason)
            if known.name in config.measures:
                raise GeneraError(
                    f"{run.config.method} on {spec} cannot be measured by {known.name!r}: {reason}"
                ) from None
        else:
            evaluation.results[known.name].seconds = time.monotonic() - started
            if used:
                evaluation.results[known.name].facts["decoding"] = [asdict(one) for one in used]
    if not evaluation.results:
        raise GeneraError(_nothing(run, kind, lacking))

    if config.data is None and kind == "text" and "likelihood" in evaluation.results:
        write_typical(run, spread(evaluation, evaluation.split, ITEMS))
    path = run.folder.path / FOLDER / f"{name}.json"
    before = read(path) if path.exists() else None
    stored = before or Stored(
        name, run.config.method, run.config.preset, spec, " + ".join(splits), run.step, config.settings, time.time()
    )
    return add(run.folder.path, stored, evaluation.results, whole=not config.measures)


def _fitting(run: Run, config: EvaluateConfig, kind: str) -> list[Evaluator]:
    """Evaluators to run. Raises GeneraError for a requested one that does not apply, before opening any data."""
    known = evaluators()
    for name in (*config.measures, *config.options):
        if reason := known[name].lacks(run.method, kind):
            raise GeneraError(f"{run.config.method} makes {kind} and cannot be measured by {name!r}, which {reason}.")
    chosen = [e for e in known.values() if not e.lacks(run.method, kind)]
    if not chosen:
        raise GeneraError(_nothing(run, kind, {}))
    return [e for e in chosen if not config.measures or e.name in config.measures]


def _nothing(run: Run, kind: str, lacking: Mapping[str, str]) -> str:
    """Error message for a run that no evaluator can measure: what each evaluator needs."""
    reasons = {e.name: e.lacks(run.method, kind) or lacking.get(e.name, "") for e in evaluators().values()}
    near = {name: why for name, why in reasons.items() if why.startswith("needs") or name in lacking}
    listed = "; ".join(f"{name}: {why}" for name, why in (near or reasons).items())
    return (
        f"no evaluator can measure {run.config.method} on {kind} items: {listed}. "
        "A method has a capability if it has its members (genera/engine/capabilities.py)."
    )


def _open(run: Run, config: EvaluateConfig) -> tuple[Any, str]:
    """The data to measure on, and its source."""
    data = run.config.data
    if config.data:
        belongs = {"text_column": config.text_column, "label_column": config.label_column, "graphs": None}
        data = replace(data, data=config.data, **{name: v for name, v in belongs.items() if hasattr(data, name)})
    for name in ("features", "style"):
        if (value := getattr(config, name)) is not None:
            if not hasattr(data, name):
                raise GeneraError(
                    f"--{name} does not apply to {run.config.method}, whose items are {run.method.dataset.kind}."
                )
            data = replace(data, **{name: Path(value).expanduser() if name == "features" else value})
    try:
        return run.method.dataset.open(data, run.method.assets, whole=config.data is not None), data.data
    except GeneraError as error:
        raise GeneraError(f"{error} To measure on other data, give --data SOURCE.") from None


def _splits(config: EvaluateConfig, fitting: Sequence[Evaluator], data: Any, spec: str) -> tuple[str, ...]:
    """The splits of the data for `--split`. Raises GeneraError when all of them are empty."""
    if data.splits == (WHOLE,):
        if config.split not in (None, WHOLE):
            raise GeneraError(f"{spec} has no splits; drop --split to measure all of it.")
        return (WHOLE,)
    asked = config.split or "test"
    wanted = next((e.splits[asked] for e in fitting if asked in e.splits), (asked,))
    splits = tuple(split for split in wanted if split in data.splits and data.size(split))
    if not splits:
        there = ", ".join(split for split in data.splits if data.size(split))
        raise GeneraError(f"{spec} has no {' or '.join(wanted)} items; give another --split ({there}) or --data.")
    return splits
