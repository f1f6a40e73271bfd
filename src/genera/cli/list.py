"""`genera list`: every name that a command line accepts."""

from dataclasses import dataclass
from typing import Any

from genera.engine import registry


@dataclass(frozen=True)
class ListCommand:
    """List methods with their presets, shipped models, data sources, worlds and evaluators."""

    json: bool = False
    """Print JSON instead of a table."""


def main(arguments: list[str]) -> None:
    listed = contents()
    if arguments:  # parsing options takes longer than all the rest
        from genera.cli.parsing import parse, print_json

        if parse(ListCommand, arguments, "list").json:
            print_json(listed)
            return
    for method in listed["methods"]:
        print(f"{method['name']:<10} {method['summary']} ({method['paper']})")
        for name, summary in method["presets"].items():
            print(f"  {method['name']}:{name:<14} {summary}")
    print("\nshipped models")
    for name, summary in listed["models"].items():
        print(f"  {name:<16} {summary}")
    print("\ndata sources")
    for scheme, summary in listed["sources"].items():
        print(f"  {scheme + ':':<8} {summary}")
    print("\nworlds")
    for name, summary in listed["worlds"].items():
        print(f"  {name:<16} {summary}")
    print("\nevaluators")
    for name, question in listed["evaluators"].items():
        print(f"  {name:<20} {question}")


def contents() -> dict[str, Any]:
    from genera import worlds
    from genera.data.registry import schemes
    from genera.engine.shipped import SHIPPED
    from genera.evaluation.registry import evaluators

    return {
        "methods": [
            {
                "name": entry.name,
                "summary": entry.summary,
                "paper": entry.paper,
                "family": entry.family,
                "presets": {name: preset.summary for name, preset in entry.presets.items()},
            }
            for entry in registry.entries().values()
        ],
        "models": dict(SHIPPED),
        "sources": {
            name: f"{scheme.argument} of {scheme.summary} [{', '.join(scheme.openers)}]"
            for name, scheme in schemes().items()
        },
        "worlds": {name: worlds.summary(name) for name in worlds.names()},
        "evaluators": {
            name: f"{evaluator.question} [{', '.join(evaluator.items) or 'any items'}]"
            for name, evaluator in evaluators().items()
        },
    }
