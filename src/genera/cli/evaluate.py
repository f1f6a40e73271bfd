"""`genera evaluate RUN`: figures with their meaning, and a diagnosis in plain words."""

from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions
from genera.measures.catalogue import definition


@dataclass(frozen=True, kw_only=True)
class Evaluate(UseOptions):
    """Measure a run on held-out data; writes evaluation.json into it."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""


def main(arguments: list[str]) -> None:
    from genera.uses.settings import EvaluateConfig

    settings = Annotated[EvaluateConfig, tyro.conf.arg(name="")]
    command: Any = parse(
        make_dataclass(
            "EvaluateCommand",
            [("settings", settings, EvaluateConfig())],
            bases=(Evaluate,),
            frozen=True,
            kw_only=True,
            namespace={"__doc__": Evaluate.__doc__},
        ),
        arguments,
        "evaluate",
    )
    command.settings.check()
    from genera.evaluation.evaluate import evaluate

    result = evaluate(command.load(command.run), command.settings)
    print_json(flat(result)) if command.json else print(as_text(result))


def flat(result: dict[str, Any]) -> dict[str, Any]:
    """The evaluation for programs: every figure under its own name, `errors` and `counts` beside them."""
    figures = result["measures"]
    return {
        **{name: figure["value"] for name, figure in figures.items()},
        "errors": {name: figure["error"] for name, figure in figures.items()},
        "counts": {name: figure["n"] for name, figure in figures.items()},
        **{name: value for name, value in result.items() if name not in ("measures", "latent_map")},
    }


def as_text(result: dict[str, Any]) -> str:
    """A table of figures and the findings."""
    lines = [
        f"{result['method']}:{result['preset']} at step {result['step']} on {result['data']} ({result['split']})",
        "",
    ]
    for name, figure in result["measures"].items():
        known = definition(name)
        value = "not finite" if figure["value"] is None else f"{figure['value']:.4g}"
        error = "" if figure["error"] is None else f" ± {figure['error']:.2g}"
        lines.append(f"  {known.title:<44} {value + error:>18}  {known.unit}")
    marks = {"good": "+", "note": "·", "warning": "!"}
    for finding in result["diagnosis"]:
        lines += ["", f"{marks[finding['level']]} {finding['finding']}", f"  {finding['advice']}"]
    return "\n".join(lines)
