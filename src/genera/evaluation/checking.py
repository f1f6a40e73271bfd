"""Check that an evaluation read from a file is one that reports can show. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genera.evaluation.blocks import Block
from genera.measures.schema import Definition, Figure
from genera.typed import mismatch


@dataclass(frozen=True)
class Entry:
    """What one evaluator left in a file."""

    figures: list[Figure]
    measures: list[Definition]
    blocks: list[dict[str, Any]]
    facts: dict[str, Any]
    question: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Diagnosed:
    """One finding, as reports show it."""

    level: str
    finding: str
    advice: str | None = None
    evidence: dict[str, float] | None = None


BLOCKS = {kind.kind: kind for kind in Block.__subclasses__()}


def damage(kind: type, values: Any) -> str | None:
    """What is wrong with the values of an evaluation, a dataclass `kind`, as a phrase; None if nothing is."""
    if problem := mismatch(values, kind):
        return problem
    results: Mapping[str, Any] = values.get("results", {})
    if problem := mismatch(results, dict[str, Entry], "results"):
        return problem
    if problem := mismatch(values.get("diagnosis", []), list[Diagnosed], "diagnosis"):
        return problem
    for name, result in results.items():
        if problem := blocks_damage(result["blocks"], f"results.{name}.blocks"):
            return problem
    defined = {definition["name"] for result in results.values() for definition in result["measures"]}
    measured = {figure["measure"] for result in results.values() for figure in result["figures"]}
    return f"no definition of {min(measured - defined)!r}" if measured - defined else None


def blocks_damage(blocks: Any, where: str) -> str | None:
    """What is wrong with report blocks; a kind that this version does not know is not drawn, and fits."""
    if problem := mismatch(blocks, list[dict[str, Any]], where):
        return problem
    for i, block in enumerate(blocks):
        if problem := mismatch(block.get("kind"), str, f"{where}[{i}].kind"):
            return problem
        if block["kind"] in BLOCKS and (problem := mismatch(block, BLOCKS[block["kind"]], f"{where}[{i}]")):
            return problem
    return None
