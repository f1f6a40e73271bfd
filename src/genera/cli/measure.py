"""`genera measure A B`: measures of two sets of images or texts, without a run."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Measure the set A against the reference B, without a run.

    Two folders of images: FID, KID, precision, recall, density, coverage. Two files with one text per line: BLEU,
    self-BLEU, distinct-n, novelty.
    """

    a: Positional[Path]
    """A folder of images, or a file of texts (plain or .gz)."""
    b: Positional[Path]
    """The reference: another folder or file of the same kind."""
    features: str = "in-domain"
    """Features that compare images: in-domain (a classifier trained once on B), or a file with the weights of FID's
    Inception (.safetensors, or inception-2015-12-05.pt)."""
    size: int | None = None
    """Resize images to this side in pixels [their own size, if all have the same]."""
    json: bool = False
    """Print JSON on stdout."""


def main(arguments: list[str]) -> None:
    command = parse(Measure, arguments, "measure")
    from genera.evaluation.two_sets import definition_of, measure

    figures = measure(command.a, command.b, features=command.features, size=command.size)
    if command.json:
        print_json({name: vars(figure) for name, figure in figures.items()})
        return
    for name, figure in figures.items():
        known = definition_of(name)
        error = "" if figure.error is None else f" ± {figure.error:.2g}"
        print(f"  {known.title:<44} {f'{figure.value:.4g}' + error:>18}  {known.unit}")
