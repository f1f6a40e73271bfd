"""Read evaluation.json of older versions (before RUN/evaluations/) in the current format.

Reports, cards and comparisons can thus show it. Imports no torch.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genera.errors import GeneraError, reason
from genera.evaluation.blocks import (
    Bars,
    Block,
    Curves,
    Examples,
    Line,
    Picture,
    Scatter,
    Shares,
)
from genera.evaluation.factors import share_blocks
from genera.evaluation.maps import floor_plans
from genera.evaluation.navigation import breakdown_blocks
from genera.evaluation.pretraining import action_tables
from genera.evaluation.registry import definitions
from genera.evaluation.speaker import instruction_cards
from genera.files import read_json
from genera.measures.schema import Definition, Figure

FILE = "evaluation.json"
EXAMPLES, LATENT = "Reconstructions", "Latent space"
ROLES = ("A", "B", "C", "answer", "expected")


def read_evaluation(run: Path) -> dict[str, Any] | None:
    """The fields of the Stored that RUN/evaluation.json holds; None where there is no such file.

    Raises GeneraError for a damaged one.
    """
    if not (run / FILE).exists():
        return None
    old = mapping(run / FILE)
    try:
        return _current(old)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        kind = type(error).__name__
        raise GeneraError(f"{run / FILE} is damaged ({kind}: {reason(error)}); recreate or delete it.") from None


def _current(old: dict[str, Any]) -> dict[str, Any]:
    splits = str(old.get("split", "test")).split(" + ")
    figures = [_figure(name, values, splits) for name, values in (old.get("measures") or {}).items()]
    known = definitions()
    measured = dict.fromkeys(figure.measure for figure in figures)
    facts = {"lengths": old.get("lengths"), "factor_shares": old.get("factor_shares"), "features": old.get("features")}
    entry = {
        "question": "How good is the model?",
        "options": {},
        "seconds": old.get("seconds") or 0.0,
        "figures": [vars(figure) for figure in figures],
        "blocks": [block.plain() for block in blocks_of(old)],
        "facts": {name: value for name, value in facts.items() if value is not None},
        "measures": [vars(known.get(name) or _undefined(name)) for name in measured],
    }
    return {
        "method": old.get("method", "?"),
        "preset": old.get("preset", "?"),
        "data": old.get("data", "?"),
        "split": " + ".join(splits),
        "step": old.get("step", 0),
        "settings": {"seed": old["seed"]} if old.get("seed") else {},
        "written": 0.0,
        "results": {"evaluation": entry},
        "diagnosis": old.get("diagnosis") or [],
    }


def _figure(name: str, values: Mapping[str, Any], splits: list[str]) -> Figure:
    """Direction, split and samples stood in the names: fid_a2b, SR_unseen, iw_bound_10."""
    told = values.get("value"), values.get("error"), values.get("n") or 0
    if match := re.fullmatch(r"(.+)_(a2b|b2a)", name):
        return Figure(match[1], *told, direction=match[2])
    if match := re.fullmatch(r"iw_bound_(\d+)", name):
        return Figure("iw_bound", *told, samples=int(match[1]))
    if splits[0].startswith("val_") and not name.endswith("_gap"):
        return Figure(
            name.removesuffix("_unseen"), *told, split="val_unseen" if name.endswith("_unseen") else splits[0]
        )
    return Figure(name, *told)


def _undefined(name: str) -> Definition:
    return Definition(name, name.replace("_", " "), "", "neither", "This version of genera does not define it.")


# -- blocks -----------------------------------------------------------------------------------------------------------


def blocks_of(old: Mapping[str, Any]) -> Iterator[Block]:
    """The report's blocks of an old evaluation."""
    examples = old.get("examples") or {}
    for picture in old.get("images") or []:
        yield Picture(section="Images", title=picture["title"], lead=picture["text"], file=picture["file"])
    yield from share_blocks(old.get("factor_shares") or {})
    if responses := examples.get("responses"):
        yield Examples(section="Responses", cards=[_response(item) for item in responses])
    yield from _navigation(old)
    if pairs := examples.get("reconstructions"):
        cards = [
            [Line(text=p["input"], role="input"), Line(text=p["output"], role="output", right=p["exact"])]
            for p in pairs
        ]
        yield Examples(section=EXAMPLES, cards=cards, compare=True)
    if samples := examples.get("samples"):
        yield Examples(section="Samples from the prior", cards=[[Line(text=text)] for text in samples])
    if paths := examples.get("interpolations"):
        steps = [
            [
                Line(text=text, role=f"{place / max(1, len(item['path']) - 1):.1f}")
                for place, text in enumerate(item["path"])
            ]
            for item in paths
        ]
        lead = "Straight lines between two latents, decoded step by step. Words that change are marked."
        yield Examples(section="Interpolations", lead=lead, cards=steps, compare=True)
    if analogies := examples.get("analogies"):
        lead = "A is to B as C is to what? The answer is decoded from z_C + z_B − z_A."
        yield Examples(section="Analogies", lead=lead, cards=[_analogy(item) for item in analogies], compare=True)
    yield from _latent(old)


def _response(item: Mapping[str, Any]) -> list[Line]:
    said = [Line(text=turn) for turn in item["context"]] + [Line(text=" · ".join(item["references"]), role="said")]
    return said + [Line(text=r["text"], role="response", right=r["right"]) for r in item["responses"]]


def _analogy(item: Mapping[str, Any]) -> list[Line]:
    texts = [item["a"], item["b"], item["c"], item["output"]]
    if item.get("expected") and item["expected"] != item["output"]:
        texts.append(item["expected"])
    return [
        Line(text=text, role=role, right=item.get("correct") if role == "answer" else None, anew=role == "C")
        for text, role in zip(texts, ROLES, strict=False)
    ]


def _latent(old: Mapping[str, Any]) -> Iterator[Block]:
    if scatter := old.get("latent_map"):
        yield Scatter(section=LATENT, title="Posterior means", **scatter)
    for name, title, unit in (("kl", "KL by dimension", "nats"), ("variance", "Variance of the mean by dimension", "")):
        if values := old.get(f"{name}_per_dimension"):
            labels = [f"dimension {place}" for place in range(len(values))]
            yield Bars(section=LATENT, title=title, values=values, labels=labels, y=unit)
    lengths = old.get("lengths") or {}
    for name, title in (("reconstruction_nats", "Reconstruction, nats"), ("exact", "Exact share")):
        if lengths.get("words") and lengths.get(name):
            points = list(zip(lengths["words"], lengths[name], strict=False))
            yield Curves(
                section=LATENT, title=f"{title}, by words", series={title: points}, x="words", y=title, from_zero=True
            )
    factors = old.get("factors") or {}
    for kind, title in (("reconstruction", "Kept by reconstruction"), ("analogy", "Moved by analogy")):
        values = {
            name: {"right": entry[kind], "chance": entry.get(f"{kind}_chance", entry.get("chance"))}
            for name, entry in factors.items()
            if entry.get(kind) is not None
        }
        if values:
            yield Shares(section="Factors", title=title, values=values, bar="right", mark="chance")


def _navigation(old: Mapping[str, Any]) -> Iterator[Block]:
    if walks := old.get("walks"):
        yield floor_plans(walks)
    yield from breakdown_blocks(old.get("breakdowns") or {})
    yield from action_tables(old.get("actions") or {})
    if instructions := old.get("instructions"):
        yield instruction_cards(instructions)


def mapping(path: Path) -> dict[str, Any]:
    """What a JSON file holds. Raises GeneraError when it is no mapping."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise GeneraError(f"{path} is damaged (it is not a mapping); recreate or delete it.")
    return values
