"""RUN/evaluations/: one JSON file per data set, split, step and settings. Imports no torch.

Evaluating again adds to a file; an evaluation never overwrites another.
"""

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from genera.errors import GeneraError, unknown
from genera.evaluation.checking import damage
from genera.evaluation.evaluator import Result, diagnose
from genera.evaluation.legacy import FILE, read_evaluation
from genera.evaluation.registry import definitions, evaluators
from genera.files import read_json, write_json
from genera.measures.schema import Definition, Figure, Figures

FOLDER = "evaluations"


@dataclass(frozen=True)
class Stored:
    """One evaluation as stored in its file: everything that a report shows, so reading it needs no plug-in."""

    name: str
    """File name without .json."""
    method: str
    preset: str
    data: str
    split: str
    step: int
    settings: dict[str, Any]
    """Options that differ from the defaults: {"seed": 3, "likelihood": {"samples": 10}}."""
    written: float
    """Unix seconds of the last addition."""
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """evaluator → {"question", "options", "seconds", "figures", "blocks", "facts", "measures"}"""
    whole: bool = False
    """Whether all evaluators that apply to the run have run."""
    diagnosis: list[dict[str, Any]] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        """All figures with unique keys; if several evaluators record the same measure, the first one's."""
        known = {f.name for f in fields(Figure)}  # a file of another version may have other fields
        told = (figure for result in self.results.values() for figure in result["figures"])
        every = [Figure(**{k: v for k, v in figure.items() if k in known}) for figure in told]
        return list({figure.key: figure for figure in reversed(every)}.values())[::-1]

    @property
    def definitions(self) -> dict[str, Definition]:
        """Definition of each measure at the time of measuring."""
        known = {f.name for f in fields(Definition)}  # a file of another version may have other fields
        told = [d for result in self.results.values() for d in result["measures"]]
        return {d["name"]: Definition(**{k: v for k, v in d.items() if k in known}) for d in told}

    @property
    def blocks(self) -> list[dict[str, Any]]:
        return [block for result in self.results.values() for block in result["blocks"]]

    @property
    def title(self) -> str:
        """Title for display: `world:captions, test split, step 600`, and the non-default settings."""
        text = f"{self.data}, {self.split} split, step {self.step}"
        return f"{text}, {flat(self.settings)}" if self.settings else text

    @property
    def values(self) -> Figures:
        """The finite figures by key, as numbers."""
        return Figures(self.figures, {k: v for result in self.results.values() for k, v in result["facts"].items()})

    def title_of(self, figure: Figure) -> str:
        """Title of a figure for display: `Success rate, val_unseen`."""
        return ", ".join((self.definitions[figure.measure].title, *figure.qualifiers))

    def evaluator_of(self, key: str) -> str:
        """The evaluator that recorded a figure."""
        measured = {name: replace(self, results={name: result}).figures for name, result in self.results.items()}
        return next(name for name, figures in measured.items() if any(figure.key == key for figure in figures))


def flat(settings: Mapping[str, Any]) -> str:
    """`seed 3, likelihood (items 8, samples 10)`"""
    words = []
    for name, value in settings.items():
        told = f"({', '.join(f'{key} {v}' for key, v in value.items())})" if isinstance(value, Mapping) else value
        words.append(f"{name} {told}")
    return ", ".join(words)


def name_of(data: str, split: str, step: int, settings: Mapping[str, Any]) -> str:
    """File name of an evaluation: readable, and unique for its data, splits, step and settings."""
    kept = re.sub(r"[^A-Za-z0-9]+", "-", data).strip("-").lower()[-40:]
    name = f"{kept}.{re.sub(r'[^A-Za-z0-9_]+', '-', split)}.step-{step}"
    told = [data, settings] if settings or kept != data.replace(":", "-") else []
    if not told:
        return name
    return f"{name}.{hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:6]}"


def add(run: Path, stored: Stored, results: Mapping[str, Result], *, whole: bool) -> Stored:
    """Add the results of evaluators to the stored ones (if any), diagnose all figures, and write the file.

    whole: the results are from all evaluators that apply to the run.
    """
    known = evaluators()
    entries = dict(stored.results)
    for name, result in results.items():
        used = {figure.measure for figure in result.figures}
        entries[name] = _finite(
            {
                "question": known[name].question,
                "options": _plain(result.options),
                "seconds": round(result.seconds, 1),
                "figures": [asdict(figure) for figure in result.figures],
                "blocks": [block.plain() for block in result.blocks],
                "facts": result.facts,
                "measures": [asdict(d) for d in known[name].measures if d.name in used],
            }
        )
    order = list(known)
    entries = dict(sorted(entries.items(), key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order)))
    merged = replace(stored, results=entries, written=time.time(), whole=stored.whole or whole)
    findings = diagnose(merged.values, list(known.values()))
    merged = replace(merged, diagnosis=[asdict(finding) for finding in findings])
    write_json(run / FOLDER / f"{merged.name}.json", {k: v for k, v in vars(merged).items() if k != "name"})
    return merged


def stored_in(run: Path) -> list[Stored]:
    """The evaluations of a run folder, newest last; an evaluation.json of an older version first, as `evaluation`.

    Raises GeneraError for a damaged file.
    """
    old = read_evaluation(run)
    every = sorted(map(read, (run / FOLDER).glob("*.json")), key=lambda stored: (stored.written, stored.name))
    return ([] if old is None else [_stored(run / FILE, "evaluation", old)]) + every


def with_one_sign(stored: Stored) -> Stored:
    """An evaluation of an older version in the current convention: the entropy floor, positive beside negative bounds,
    becomes the log-likelihood under the world."""
    old, new = "nll_floor", "log_likelihood_of_world"
    if not any(figure["measure"] == old for result in stored.results.values() for figure in result["figures"]):
        return stored

    def figure(told: dict[str, Any]) -> dict[str, Any]:
        if told["measure"] != old:
            return told
        return told | {"measure": new, "value": None if told["value"] is None else -told["value"]}

    results = {
        name: result
        | {
            "figures": [figure(told) for told in result["figures"]],
            "measures": [asdict(definitions()[new]) if d["name"] == old else d for d in result["measures"]],
        }
        for name, result in stored.results.items()
    }
    diagnosis = [
        finding
        | {
            "evidence": {
                new if k == old else k: -v if k == old else v for k, v in (finding.get("evidence") or {}).items()
            }
        }
        for finding in stored.diagnosis
    ]
    return replace(stored, results=results, diagnosis=diagnosis)


def read(path: Path) -> Stored:
    """Raises GeneraError for a file that is not an evaluation."""
    return _stored(path, path.stem, read_json(path))


def _stored(path: Path, name: str, values: Any) -> Stored:
    values = values | {"name": name} if isinstance(values, dict) else values
    if problem := damage(Stored, values):
        raise GeneraError(f"{path} is damaged ({problem}); delete it and run `genera evaluate`.")
    known = {f.name for f in fields(Stored)}
    return with_one_sign(Stored(**{key: value for key, value in values.items() if key in known}))


def chosen(run: Path, name: str | None = None) -> Stored | None:
    """The newest evaluation, or the newest one whose name starts with `name`; None if there are no evaluations.

    Raises GeneraError that lists the existing evaluations if none matches `name`.
    """
    every = stored_in(run)
    if name is None:
        return every[-1] if every else None
    named = [stored for stored in every if stored.name == name] or [s for s in every if s.name.startswith(name)]
    if not named:
        raise unknown(f"evaluation of {run}", name, [stored.name for stored in every])
    return named[-1]


def all_definitions(stored: Iterable[Stored]) -> dict[str, Definition]:
    """Definitions of the measures of several evaluations, in the order of the evaluators; unknown ones last."""
    told = {name: d for one in stored for name, d in one.definitions.items()}
    ordered = [name for name in definitions() if name in told]
    return {name: told[name] for name in dict.fromkeys((*ordered, *told))}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _finite(value: Any) -> Any:
    """JSON has no infinities, so a non-finite figure is null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
