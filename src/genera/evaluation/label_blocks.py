"""Report blocks of probes and guides. Both write them into their files, RUN/probe.json and RUN/guides/NAME/scores.json.

Imports no torch.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genera.errors import GeneraError
from genera.evaluation.blocks import Block, Curves, Examples, Line, Picture, Remarks, Scatter, Table
from genera.evaluation.checking import blocks_damage
from genera.evaluation.guide_measures import GUIDE_MEASURES
from genera.evaluation.legacy import mapping

PROBE, GUIDED = "Few labels", "Guided generation"


def label_blocks(run: Path) -> list[dict[str, Any]]:
    """The blocks of a run's probe and of its scored guides, by name; those of files of earlier versions are made now.

    Raises GeneraError for a damaged file.
    """
    blocks: list[dict[str, Any]] = []
    for path in [*run.glob("probe.json"), *sorted(run.glob("guides/*/scores.json"))]:
        written = mapping(path)
        try:
            if "blocks" not in written:
                made = probe_blocks(written) if path.name == "probe.json" else guide_blocks(path.parent.name, written)
                written = {"blocks": [block.plain() for block in made]}
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, StopIteration):
            raise GeneraError(f"{path} is damaged (fields are missing); recreate or delete it.") from None
        if problem := blocks_damage(written["blocks"], "blocks"):
            raise GeneraError(f"{path} is damaged ({problem}); recreate or delete it.")
        blocks += written["blocks"]
    return blocks


def probe_blocks(probe: Mapping[str, Any]) -> list[Block]:
    """Learning curves as a table and a chart, who wins where, and the map of the features."""
    curves = probe["curves"]
    shots = [point["shots"] for point in next(iter(curves.values()))]
    rows: list[list[Any]] = [
        [name, *((point["accuracy"], point["sd"]) for point in points)] for name, points in curves.items()
    ]
    lead = (
        f"Accuracy on {probe['test_items']:,} test items of {probe['data']}, mean ± standard deviation over draws of "
        f"the labelled items; the commonest class alone is {probe['chance']:.1%}."
    )
    blocks: list[Block] = [
        Remarks(section=PROBE, lead=lead, sentences=list(probe["findings"])),
        Table(
            section=PROBE,
            columns=["shots per class", *(f"{n:,}" for n in shots)],
            units=["", *["share"] * len(shots)],
            rows=rows,
        ),
        Curves(
            section=PROBE,
            title="Accuracy by log₁₀ of the shots per class",
            series={name: [(math.log10(p["shots"]), p["accuracy"]) for p in points] for name, points in curves.items()},
            x="log₁₀ shots",
            y="accuracy",
        ),
    ]
    if placed := probe.get("map"):
        blocks.append(
            Scatter(
                section=PROBE,
                title=f"{placed['method']} of the features of test items",
                points=[(x, y) for x, y in placed["points"]],
                texts=list(placed["texts"]),
                labels={"label": list(placed["labels"])},
                method=placed["method"],
            )
        )
    return blocks


def guide_blocks(name: str, scores: Mapping[str, Any]) -> list[Block]:
    """The figures of a guide, the shares of each label, and a few items of each."""
    lead = (
        f"By {scores['method']}, {scores['items_per_label']} items of each label of {scores['data']}; chance is "
        f"{scores['chance']:.1%}."
    )
    figures: list[list[Any]] = []
    for measure, figure in scores["measures"].items():
        known, value, error = GUIDE_MEASURES[measure], figure["value"], figure["error"]
        if known.unit == "share" and value is not None:
            told = f"{value:.1%}" if error is None else f"{value:.1%} ± {error:.1%}"
            figures.append([known.title, told, ""])
        else:
            figures.append([known.title, value if error is None else (value, error), known.unit])
    blocks: list[Block] = [
        Table(section=GUIDED, title=name, lead=lead, columns=["measure", "value", "unit"], rows=figures)
    ]
    if by_label := scores.get("labels"):
        measures = list(next(iter(by_label.values())))
        blocks.append(
            Table(
                section=GUIDED,
                title=f"{name}: by label",
                columns=["asked for", *(GUIDE_MEASURES[measure].title for measure in measures)],
                units=["", *["share"] * len(measures)],
                rows=[[label, *(shares[measure] for measure in measures)] for label, shares in by_label.items()],
            )
        )
    if diagnosis := scores.get("diagnosis"):
        sentences = [f"{finding['finding']} {finding['advice']}" for finding in diagnosis]
        blocks.insert(0, Remarks(section=GUIDED, title=f"{name}: verdict", sentences=sentences))
    title = f"{name}: examples"
    if picture := scores.get("picture"):
        told = f"One row a label: {', '.join(by_label or ())}."
        blocks.append(Picture(section=GUIDED, title=title, lead=told, file=picture))
    else:
        cards = [[Line(text=text, role=label) for text in texts] for label, texts in scores["examples"].items()]
        blocks.append(Examples(section=GUIDED, title=title, cards=cards))
    return blocks
