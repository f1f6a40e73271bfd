"""`genera train METHOD --minutes N` without a preset: what is chosen before the training, and what came out of it."""

import importlib
import os
from pathlib import Path
from typing import Any

from genera.cli.run_config import parsed, spec_of
from genera.engine import registry
from genera.errors import GeneraError


def planned(arguments: list[str], command: tuple[Any, ...]) -> tuple[list[str], bool]:
    """The arguments with a preset, which the planner of a method has chosen for a budget in minutes, and whether it
    has. A run that was begun keeps its preset. command: the options of `genera train` itself."""
    spec, rest = spec_of(arguments)
    asked = any(word.partition("=")[0] == "--minutes" for word in rest) and not {"-h", "--help"} & set(rest)
    if ":" in spec or spec.endswith((".yaml", ".yml")) or not asked:
        return arguments, False
    entry = registry.entry(spec)
    if entry.planner is None:
        return arguments, False
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:  # whose ranks could choose apart
        raise GeneraError(f"name a preset with torchrun: {spec}:{' or '.join(entry.presets)}.")
    out = parsed(arguments, "train", command)[0].out
    if out is not None and (out / "config.yaml").exists():
        preset = registry.read_config(out).preset
    else:
        module, _, name = entry.planner.partition(":")
        planner = getattr(importlib.import_module(module), name)
        preset = planner(lambda preset: parsed([f"{spec}:{preset}", *rest], "train", command)[1])
    return [f"{spec}:{preset}", *rest], True


QUICK: dict[str, dict[str, int]] = {
    "likelihood": {"items": 200, "samples": 10},
    "reconstruction": {"items": 300},
    "latent": {"items": 300},
    "samples": {"count": 200},
    "fluency": {"count": 200},
    "interpolation": {"pairs": 30},
}
"""Options of the short evaluation after a planned training."""


def show_result(run: Path) -> None:
    """Measure the run shortly, unless it has an evaluation, and print verdicts, findings and samples as they come."""
    from genera.cli.evaluate import MARKS
    from genera.evaluation.evaluate import evaluate
    from genera.evaluation.registry import evaluator
    from genera.evaluation.storage import chosen
    from genera.evaluation.verdict import grades
    from genera.run import load

    loaded = load(run)
    kind = loaded.method.dataset.kind
    options: dict[str, Any] = {n: v for n, v in QUICK.items() if not evaluator(n).lacks(loaded.method, kind)}
    stored = chosen(run)
    if stored is None or stored.step != loaded.step:
        stored = evaluate(loaded, **options)
    print("\nwhat came out, on held-out texts:")
    for use, grade in grades(stored.diagnosis).items():
        print(f"  {grade.upper():<8} {use}")
    for finding in stored.diagnosis:
        print(f"{MARKS[finding['level']]} {finding['finding']}")
    print("three samples as they came:", *loaded.sample(3, seed=0), sep="\n  ")
