"""`genera probe RUN`: how few labels do the model's features need?"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes, Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions
from genera.uses.settings import ProbeConfig


@dataclass(frozen=True, kw_only=True)
class Probe(UseOptions):
    """Learning curves of classifiers on a run's features, compared with baselines; writes probe.json to the run."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    settings: OmitArgPrefixes[ProbeConfig] = field(default_factory=ProbeConfig)


def main(arguments: list[str]) -> None:
    command = parse(Probe, arguments, "probe")
    command.settings.check()
    from genera.evaluation.probe import probe

    result = probe(command.load(command.run), command.settings)
    print_json(result) if command.json else print(as_text(result))


def as_text(result: dict[str, Any]) -> str:
    """The learning curves as a table, accuracy in per cent ± the spread over draws, and who wins where."""
    curves = result["curves"]
    width = max(map(len, curves)) + 2
    shots = [point["shots"] for point in next(iter(curves.values()))]
    lines = [
        f"{result['method']}:{result['preset']} at step {result['step']} on {result['data']}: accuracy in % of "
        f"{result['test_items']} test items ± sd over draws; the commonest class is {100 * result['chance']:.1f} %",
        "",
        f"{'shots per class':<{width}}" + "".join(f"{n:>13}" for n in shots),
    ]
    for name, points in curves.items():
        cells = (f"{100 * p['accuracy']:.1f} ± {100 * p['sd']:.1f}" for p in points)
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join([*lines, "", *(f"· {finding}" for finding in result["findings"])])
