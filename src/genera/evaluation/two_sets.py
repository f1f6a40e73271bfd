"""Two sets of images or texts, measured without a run. Imports no torch until it measures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genera.errors import GeneraError
from genera.evaluation.registry import definitions
from genera.measures.schema import Definition, Estimate

if TYPE_CHECKING:
    from genera.measures.two_sets import Images, Texts

_GROUP = "Two sets of texts"
DEFINITIONS = (
    Definition(
        "bleu", "BLEU", "0–100", "higher",
        "Corpus BLEU-4 of each line of A against the same line of B: sacrebleu, 13a tokeniser, exponential smoothing.",
        "Papineni et al. 2002; Post 2018", _GROUP,
    ),
    Definition(
        "bleu_against", "BLEU against all of B", "0–100", "higher",
        "Mean BLEU-4 of each text of A with all texts of B as references: whether A sounds like B.",
        "Yu et al. 2017, SeqGAN", _GROUP,
    ),
    Definition(
        "self_bleu_of_reference", "Self-BLEU of B", "0–100", "neither",
        "The same of the texts of B: what a set as diverse as B has.", "Zhu et al. 2018, Texygen", _GROUP,
    ),
    Definition(
        "distinct_1_of_reference", "Distinct words of B", "share", "neither", "The same of the texts of B.", "", _GROUP,
    ),
    Definition(
        "distinct_2_of_reference", "Distinct word pairs of B", "share", "neither", "The same of the texts of B.", "",
        _GROUP,
    ),
)  # fmt: skip


def measure(
    a: "Images | Texts", b: "Images | Texts", *, features: str | Path = "in-domain", size: int | None = None
) -> dict[str, Estimate]:
    """Every measure of the set `a` against the reference `b`, by name: of folders or arrays of images FID, KID,
    precision, recall, density and coverage; of files or lists of texts BLEU, self-BLEU, distinct-n, novelty.

    features, size: for images, as in `genera.fid`. Raises GeneraError for sets of different kinds.
    """
    from genera.measures import two_sets

    for one in (a, b):
        if isinstance(one, str | Path) and not Path(one).expanduser().exists():
            raise GeneraError(f"{one} does not exist; give two folders of images, or two files of texts.")
    kinds = [two_sets.are_texts(one) for one in (a, b)]
    if any(kinds) != all(kinds):
        raise GeneraError("one set has texts and the other images; give two sets of the same kind.")
    if not any(kinds):
        return two_sets.image_measures(a, b, features=features, size=size)
    if features != "in-domain" or size is not None:
        raise GeneraError("features and size are for images; these sets are of texts.")
    texts: Any = (a, b)
    return two_sets.text_measures(*texts)


def definition_of(name: str) -> Definition:
    """What a measure of `measure` means."""
    return {d.name: d for d in DEFINITIONS}.get(name) or definitions()[name]
