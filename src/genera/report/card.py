"""The model card of an exported run: description, training data, measures and limits."""

from collections.abc import Sequence
from typing import Any

from genera import __version__
from genera.engine import registry
from genera.engine.config import to_dict
from genera.evaluation.storage import Stored, chosen, flat
from genera.uses.run import Run

_CARD = """\
---
library_name: genera
tags: [genera, {method}]
---

# {method}:{preset}

{summary}{paper}. Trained and exported with genera {version}.

## Files

{files}

Weights are safetensors, the rest is JSON; loading them executes no code from this folder.

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


def model_card(run: Run, files: str, limits: Sequence[str] = (), *, evaluation: str | None = None) -> str:
    """The card as Markdown. files: Markdown list of the files in the folder. limits: further limits of this model.

    evaluation: name, or a prefix of it, of the evaluation to show [the newest].
    """
    entry = registry.entry(run.config.method)
    measured = chosen(run.folder.path, evaluation)
    return _CARD.format(
        method=run.config.method,
        preset=run.config.preset,
        summary=entry.summary,
        paper=f" ({entry.paper})" if entry.paper else "",
        version=__version__,
        files=files,
        data=_data(run),
        settings="\n".join(f"| {name} | {value} |" for name, value in _settings(run).items()),
        measures=_measures(measured),
        limits="\n".join(f"- {limit}" for limit in [*limits, *_limits(run, measured)]),
    )


def items_of(run: Run) -> str:
    """Description of the training data by item type: "texts of at most 40 words and 100 tokens"."""
    data, kind = run.config.data, run.method.dataset.kind
    if kind == "text":
        return f"texts of at most {data.max_words} words and {data.max_tokens} tokens"
    if kind == "dialogues":
        return (
            f"dialogues, with responses of at most {data.max_words} words and {data.max_tokens} tokens to contexts of "
            f"at most {data.max_turns} turns"
        )
    if kind in ("images", "image-pairs"):
        classes = len(getattr(run.method.assets, "classes", ()))
        size = f"{data.image_size}x{data.image_size} {'RGB' if data.channels == 3 else 'grey'} images"
        return (
            f"{size}{f' of {classes} classes' if classes else ''}{' of two domains' if kind == 'image-pairs' else ''}"
        )
    if kind == "navigation":
        return f"navigation episodes with instructions of at most {data.max_tokens} tokens"
    return kind


_RISKS = {
    "text": "It generates text that resembles its training text, with its errors and biases; no output is checked.",
    "dialogues": "It responds like its training dialogues, with their errors and biases; no output is checked.",
    "images": "It generates images that resemble its training images, with gaps and biases; no output is checked.",
    "image-pairs": "It translates according to its training images, and may add or lose content; no output is checked.",
    "navigation": "It was trained only in the houses of its data; its performance elsewhere is unknown.",
}


def _data(run: Run) -> str:
    status, data = run.folder.status(), run.config.data
    if imported := status.get("imported"):
        return f"The weights were imported from `{imported}`; see there for their training data."
    rules = [items_of(run)]
    if getattr(data, "limit", None) is not None:
        rules.append(f"the first {data.limit:,} of them")
    parents = run.config.train.init
    begun = f" Training was initialised with the weights of {' and '.join(parents)}." if parents else ""
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


def _measures(evaluation: Stored | None) -> str:
    if evaluation is None:
        return "The run was not evaluated before the export; `genera evaluate RUN` evaluates it."
    rows = []
    for figure in evaluation.figures:
        value = "not finite" if figure.value is None else f"{figure.value:.4g}"
        error = "" if figure.error is None else f" ± {figure.error:.2g}"
        unit = evaluation.definitions[figure.measure].unit
        rows.append(f"| {evaluation.title_of(figure)} | {value}{error} | {unit} | {figure.n:,} |")
    head = f"On the {evaluation.split} split of `{evaluation.data}`, at step {evaluation.step}."
    if evaluation.settings:
        head = f"{head[:-1]}, with {flat(evaluation.settings)}."
    return "\n".join([head, "", "| measure | value ± standard error | unit | n |", "|---|---|---|---|", *rows])


def _limits(run: Run, evaluation: Stored | None) -> list[str]:
    limits = [f"It was trained on {items_of(run)}."]
    if run.step == 0:
        limits = ["It was not trained after the import; the training settings are those that training would use."]
    if risk := _RISKS.get(run.method.dataset.kind):
        limits.append(risk)
    if evaluation is None:
        return [*limits, "Its quality on held-out data is unknown, because it was not evaluated."]
    if evaluation.step != run.step:
        limits.append(f"The measures are from step {evaluation.step}, but these weights are from step {run.step}.")
    limits.append("The measures hold only for the data on which they were computed.")
    return limits + [f["finding"] for f in evaluation.diagnosis if f["level"] == "warning"]
