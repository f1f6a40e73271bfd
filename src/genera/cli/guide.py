"""`genera guide RUN --label VALUE`: generate items that carry a label, or measure how well that works."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes, Positional

from genera.cli.items import PICTURES, ItemOptions, items_of
from genera.cli.parsing import parse, print_json
from genera.cli.uses import WORDS
from genera.console import say
from genera.errors import GeneraError
from genera.evaluation.guide_measures import GUIDE_MEASURES
from genera.uses.settings import GuideConfig


@dataclass(frozen=True, kw_only=True)
class Guide(ItemOptions):
    """Generate items with a given label. The guide is fitted once on labelled data and stored in RUN/guides."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    label: str | None = None
    """The label of the generated items (or give --factor NAME=VALUE)."""
    count: int | None = None
    """Number of items [10; 100 per label with --score]."""
    score: bool = False
    """Measure the guide on every label with greedy decoding, instead of printing items."""
    settings: OmitArgPrefixes[GuideConfig] = field(default_factory=GuideConfig)


def main(arguments: list[str]) -> None:
    command = parse(Guide, arguments, "guide")
    factor, _, value = (command.settings.factor or "").partition("=")
    config = replace(command.settings, factor=factor or None)
    config.check()
    if command.label and value and command.label != value:
        raise GeneraError(f"--label {command.label} and --factor {factor}={value} differ; give one of them.")
    label = command.label or value
    count = command.count if command.count is not None else (100 if command.score else 10)
    if command.score:
        if label:
            raise GeneraError("--score measures every label; drop --label and the factor's value.")
        if config.sure is not None:
            raise GeneraError("--score measures the guide without rejection; drop --sure.")
        if given := command.given((*WORDS, *PICTURES)):
            raise GeneraError(f"--score decodes greedily and keeps a few examples; drop {', '.join(given)}.")
        from genera.evaluation.guide_scores import score_guide

        result = score_guide(command.load(command.run), config, count, seed=command.seed)
        print_json(result) if command.json else print(as_text(result))
        return
    if not label:
        raise GeneraError("give a label: --label VALUE, or --factor NAME=VALUE; --score measures all labels.")
    from genera.uses.guide import guide

    run = command.load(command.run)
    items = items_of(run)
    guided = guide(run, label, count, config, **items.options(command, "decode"))
    items.show(command, guided.items)
    say(how_sure(label, guided.probability.tolist(), guided.right))


def how_sure(label: str, probabilities: list[float], right: float, most: int = 20) -> str:
    """`lamp: 2 of 3 by a classifier that is right about 99 % of real items (probabilities 98 %, 3 %, 97 %).`"""
    listed = ", ".join(f"{100 * probability:.0f} %" for probability in probabilities[:most])
    more = ", …" if len(probabilities) > most else ""
    seen = sum(probability >= 0.5 for probability in probabilities)
    return (
        f"{label}: {seen} of {len(probabilities)} by a classifier that is right about {100 * right:.0f} % of real "
        f"items (probabilities {listed}{more})."
    )


def as_text(result: dict[str, Any]) -> str:
    """A table of figures, each label's share, and a few items of each."""
    lines = [
        f"guide {result['guide']} ({result['method']}) on {result['data']}: {result['items_per_label']} items of each "
        f"label, chance {result['chance']:.2f}, {result['test_items']} test items",
        "",
        *(f"{finding['finding']} {finding['advice']}" for finding in result.get("diagnosis", ())),
        "",
    ]
    for name, figure in result["measures"].items():
        known = GUIDE_MEASURES[name]
        error = "" if figure["error"] is None else f" ± {figure['error']:.2g}"
        lines.append(f"  {known.title:<32} {figure['value']:.4g}{error}  {known.unit}")
    for name, shares in result["labels"].items():
        told = ", ".join(f"{GUIDE_MEASURES[measure].title.lower()} {share:.2f}" for measure, share in shares.items())
        lines += ["", f"{name}: {told}", *(f"  {example}" for example in result.get("examples", {}).get(name, ()))]
    if "picture" in result:
        lines += ["", f"examples: {result['picture']} in the run folder"]
    return "\n".join(lines)
