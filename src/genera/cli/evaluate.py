"""`genera evaluate RUN`: measures with their definitions, and a diagnosis in plain words."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions
from genera.engine.folder import RunFolder
from genera.engine.shipped import SHIPPED
from genera.errors import GeneraError
from genera.evaluation.evaluator import Evaluator
from genera.evaluation.registry import evaluators
from genera.evaluation.settings import EvaluateConfig, Measured
from genera.evaluation.storage import FOLDER, Stored
from genera.evaluation.verdict import grades

MARKS = {"good": "+", "note": "·", "warning": "!"}


@dataclass(frozen=True, kw_only=True)
class Evaluation(UseOptions):
    """How runs are measured."""

    data: OmitArgPrefixes[Measured] = field(default_factory=Measured)
    measures: tuple[str, ...] = ()
    """Run only these evaluators; their options are below [all that apply to the run]."""
    seed: int = 0
    """Random seed."""
    options: Annotated[dict[str, Any], tyro.conf.arg(name="")] = field(default_factory=dict)

    def config(self) -> EvaluateConfig:
        changed = {name: values for name, values in self.options.items() if values != type(values)()}
        config = EvaluateConfig(**vars(self.data), measures=self.measures, seed=self.seed, options=changed)
        config.check()
        return config


@dataclass(frozen=True, kw_only=True)
class Evaluate(Evaluation):
    """Measure a run on held-out data with every evaluator that applies to it; results go to RUN/evaluations/.

    Each combination of data set, split, step and settings has its own evaluation; measuring again adds to it.
    """

    run: Positional[Path]
    """The run folder, or a shipped model's name."""


def main(arguments: list[str]) -> None:
    shown = _fitting(arguments) if {"-h", "--help"} & set(arguments) else evaluators().values()
    command = parse(Evaluate, arguments, "evaluate", default=Evaluate(run=tyro.MISSING, options=options_of(shown)))
    config = command.config()
    from genera.evaluation.evaluate import evaluate

    run = command.load(command.run)
    stored = evaluate(run, config)
    print_json(flat(stored, run.folder.path)) if command.json else print(as_text(stored))


def options_of(shown: Iterable[Evaluator]) -> dict[str, Any]:
    """The default options of each evaluator, from which its command-line options are made."""
    return {known.name: known.options() for known in shown if fields(known.options)}


def flat(stored: Stored, run: Path) -> dict[str, Any]:
    """The evaluation as JSON: every figure under its key, with `errors` and `counts` beside them."""
    return {
        **{figure.key: figure.value for figure in stored.figures},
        "errors": {figure.key: figure.error for figure in stored.figures},
        "counts": {figure.key: figure.n for figure in stored.figures},
        "evaluation": stored.name,
        "file": str(run / FOLDER / f"{stored.name}.json"),
        **{name: getattr(stored, name) for name in ("method", "preset", "data", "split", "step", "settings")},
        "options": {name: result["options"] for name, result in stored.results.items()},
        "verdicts": grades(stored.diagnosis),
        "diagnosis": stored.diagnosis,
    }


def as_text(stored: Stored) -> str:
    """The verdict on each use, a table of figures, and the findings."""
    lines = [f"{stored.method}:{stored.preset}, {stored.title}", ""]
    given = grades(stored.diagnosis)
    lines += [*(f"  {grade.upper():<8} {use}" for use, grade in given.items()), ""] if given else []
    for figure in stored.figures:
        value = "not finite" if figure.value is None else f"{figure.value:.4g}"
        error = "" if figure.error is None else f" ± {figure.error:.2g}"
        unit = stored.definitions[figure.measure].unit
        lines.append(f"  {stored.title_of(figure):<52} {value + error:>18}  {unit}")
    for finding in stored.diagnosis:
        lines += ["", f"{MARKS[finding['level']]} {finding['finding']}", f"  {finding['advice']}"]
    return "\n".join(lines)


def _fitting(arguments: list[str]) -> list[Evaluator]:
    """The evaluators for the item type of the run on the command line; all of them if it names no run."""
    run = next((a for a in arguments if a in SHIPPED or (Path(a) / "config.yaml").is_file()), None)
    if run is None:
        return list(evaluators().values())
    kinds = item_types(RunFolder.existing(run).config().data.data)
    return [known for known in evaluators().values() if not known.items or kinds & set(known.items)]


def item_types(source: str) -> set[str]:
    """The item types that a source can yield, without opening it."""
    from genera.data.registry import ITEMS, kinds_of, schemes

    types: set[str] = set()
    for part in source.split(" + "):
        scheme, _, rest = part.partition(":")
        try:
            types |= set(kinds_of(rest) if scheme == "world" else schemes()[scheme].openers)
        except (GeneraError, KeyError):
            return set(ITEMS)
    return types
