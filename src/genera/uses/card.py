"""The model card of an exported run: what it is, what it was trained on, what was measured, and where it ends."""

from collections.abc import Sequence
from typing import Any

from genera import __version__
from genera.engine import registry
from genera.engine.config import to_dict
from genera.files import read_json
from genera.measures.catalogue import definition
from genera.uses.run import Run

_CARD = """\
---
library_name: genera
tags: [genera, {method}]
---

# {method}:{preset}

{summary} ({paper}). Trained and exported with genera {version}.

## Files

{files}

Weights are safetensors, the rest JSON; loading them runs no code from this folder.

## Data

{data}

## Settings

| | |
|---|---|
{settings}

## Measures

{measures}

## Limits

{limits}
"""
_SHOWN = ("steps", "epochs", "minutes", "batch_size", "precision", "ema", "seed")


def model_card(run: Run, files: str, limits: Sequence[str] = ()) -> str:
    """Markdown. files: what is in the folder, as a list. limits: what is known of this model besides."""
    entry = registry.entry(run.config.method)
    path = run.folder.path / "evaluation.json"
    evaluation = read_json(path) if path.exists() else {}
    return _CARD.format(
        method=run.config.method,
        preset=run.config.preset,
        summary=entry.summary,
        paper=entry.paper,
        version=__version__,
        files=files,
        data=_data(run),
        settings="\n".join(f"| {name} | {value} |" for name, value in _settings(run).items()),
        measures=_measures(evaluation),
        limits="\n".join(f"- {limit}" for limit in [*limits, *_limits(run, evaluation)]),
    )


def _data(run: Run) -> str:
    status, data = run.folder.status(), run.config.data
    if imported := status.get("imported"):
        return f"The weights were imported from `{imported}`; what they were trained on is to be asked there."
    rules = [f"texts of at most {data.max_words} words and {data.max_tokens} tokens"]
    if data.limit is not None:
        rules.append(f"the first {data.limit:,} of them")
    parents = run.config.train.init
    begun = f" Training began with the weights of {' and '.join(parents)}." if parents else ""
    return f"Trained on `{data.data}`: {', '.join(rules)}.{begun}"


def _settings(run: Run) -> dict[str, Any]:
    train, model = to_dict(run.config.train), to_dict(run.config.model)
    asked = {name: train[name] for name in _SHOWN if train[name] is not None}
    sizes = {
        name: ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        for name, value in model.items()
        if value is not None
    }
    parameters = sum(p.numel() for p in run.method.parameters())
    return {"parameters": f"{parameters:,}", "step of these weights": run.step, **asked, **sizes}


def _measures(evaluation: dict[str, Any]) -> str:
    if not evaluation:
        return "None were taken before the export; `genera evaluate RUN` takes them."
    rows = []
    for name, figure in evaluation["measures"].items():
        known = definition(name)
        value = "not finite" if figure["value"] is None else f"{figure['value']:.4g}"
        error = "" if figure["error"] is None else f" ± {figure['error']:.2g}"
        rows.append(f"| {known.title} | {value}{error} | {known.unit} | {figure['n']:,} |")
    head = f"On the {evaluation['split']} split of `{evaluation['data']}`, at step {evaluation['step']}."
    return "\n".join([head, "", "| measure | value ± standard error | unit | n |", "|---|---|---|---|", *rows])


def _limits(run: Run, evaluation: dict[str, Any]) -> list[str]:
    data = run.config.data
    limits = [f"It has learned from texts of at most {data.max_words} words and {data.max_tokens} tokens."]
    if run.step == 0:
        limits = ["No step of training was taken after the import; the settings of training say what one would use."]
    limits.append(
        "It writes what resembles its training text, with that text's errors and prejudices; no output is checked."
    )
    if not evaluation:
        return [*limits, "How well it reconstructs, samples or scores text is unknown: nothing was measured."]
    if evaluation["step"] != run.step:
        limits.append(f"The measures are those of step {evaluation['step']}, and these weights of step {run.step}.")
    limits.append("The measures hold for the data they were taken on.")
    return limits + [f["finding"] for f in evaluation["diagnosis"] if f["level"] == "warning"]
