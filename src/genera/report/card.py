"""The model card of an exported run: what it is, what it was trained on, what was measured, and where it ends."""

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


def model_card(run: Run, files: str, limits: Sequence[str] = (), *, evaluation: str | None = None) -> str:
    """Markdown. files: what is in the folder, as a list. limits: what is known of this model besides.

    evaluation: the name, or its beginning, of the one whose figures it gives [the newest].
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
    """What the model was trained on, by the item type of its data: "texts of at most 40 words and 100 tokens"."""
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
    "text": "It writes what resembles its training text, with that text's errors and prejudices; no output is checked.",
    "dialogues": "It responds as its training dialogues do, with their errors and prejudices; no output is checked.",
    "images": "It makes images that resemble its training images, with their gaps and biases; no output is checked.",
    "image-pairs": "It translates as its training images suggest, and may add or lose content; no output is checked.",
    "navigation": "It was trained in the houses of its data alone; how it walks elsewhere is not known.",
}


def _data(run: Run) -> str:
    status, data = run.folder.status(), run.config.data
    if imported := status.get("imported"):
        return f"The weights were imported from `{imported}`; what they were trained on is to be asked there."
    rules = [items_of(run)]
    if getattr(data, "limit", None) is not None:
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


def _measures(evaluation: Stored | None) -> str:
    if evaluation is None:
        return "None were taken before the export; `genera evaluate RUN` takes them."
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
    limits = [f"It has learned from {items_of(run)}."]
    if run.step == 0:
        limits = ["No step of training was taken after the import; the settings of training say what one would use."]
    if risk := _RISKS.get(run.method.dataset.kind):
        limits.append(risk)
    if evaluation is None:
        return [*limits, "How good it is on held-out data is unknown: nothing was measured."]
    if evaluation.step != run.step:
        limits.append(f"The measures are those of step {evaluation.step}, and these weights of step {run.step}.")
    limits.append("The measures hold for the data they were taken on.")
    return limits + [f["finding"] for f in evaluation.diagnosis if f["level"] == "warning"]
