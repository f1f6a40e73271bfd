"""How evaluators compare, count and show items of a type. One entry per item type.

Evaluators of latents, likelihood, reconstruction and the like support every type in `ITEM_TYPES`. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError
from genera.evaluation.blocks import Examples, Line
from genera.measures.estimate import mean_estimate
from genera.measures.schema import Estimate

if TYPE_CHECKING:
    from torch import Tensor

    from genera.evaluation.evaluator import Evaluation
    from genera.uses.run import Run

AT_ONCE = 256
"""Number of items that a model generates at once."""
TYPICAL = 1000
"""Number of training images whose mean is the baseline of reconstructions."""
PICTURES_ACROSS = 12
"""Maximum number of columns of a grid of examples, unless one example has more."""


class Shown(NamedTuple):
    """One item of an example."""

    role: str
    """input, output, A, …"""
    item: Any
    right: bool | None = None
    """Whether it is correct; None if unknown."""
    anew: bool = False
    """Do not compare with the previous item."""


class Classifier(Protocol):
    """Of items, by what they look like."""

    def fit(self, rows: NDArray[np.int64], classes: NDArray[np.int64]) -> Any:
        """Learn from some of the items that it was made of, and their classes."""
        ...

    def predict(self, items: Sequence[Any]) -> NDArray[np.int64]: ...


class ItemType(Protocol):
    nouns: str
    """Plural noun for messages."""
    valid: str
    """Adjective for an item that the world could have generated; prefix of measure names."""
    appearance: str
    """Input of `classifier`, a baseline for a model's features."""

    def decoding(self, run: Run) -> dict[str, Any]:
        """Options under which a model may make items as large as those it was trained on."""
        ...

    def per_unit(self, nats: Tensor, items: Sequence[Any], lengths: Mapping[str, Tensor]) -> dict[str, Estimate]:
        """measure → nats (N,) of N items normalised by their sizes. lengths: as of Score."""
        ...

    def entropy_floor(self, items: Sequence[Any], world: Any) -> Estimate | None:
        """Mean −log p(x) under the world; None if the world cannot compute it."""
        ...

    def fidelity(self, outputs: Sequence[Any], items: Sequence[Any], data: Any) -> dict[str, Estimate]:
        """measure → how near reconstructions come to their items, of the data set `data`."""
        ...

    def same(self, output: Any, item: Any) -> bool | None:
        """Whether an output equals an item; None if items of this type are practically never equal."""
        ...

    def classifier(self, items: Sequence[Any]) -> Classifier:
        """Which knows no model: it learns from rows of `items`."""
        ...

    def guided(self, outputs: Mapping[str, Sequence[Any]], test: Sequence[Any]) -> dict[str, Estimate]:
        """measure → how guided outputs (label → items) compare with test items and with each other."""
        ...

    def lengths(self, items: Sequence[Any]) -> list[int] | None:
        """Length of each item in words; None if all items have the same size."""
        ...

    def progress(self, path: Sequence[Any], start: Any, end: Any) -> list[float]:
        """For each item on a path: similarity to the end minus similarity to the start."""
        ...

    def distinct(self, paths: Sequence[Sequence[Any]]) -> list[int] | None:
        """Number of distinct items on each path; None if items of this type are practically never equal."""
        ...

    def colourings(self, items: Sequence[Any]) -> dict[str, list[str]]:
        """Name → label of every item on a map, besides data labels and factors."""
        ...

    def captions(self, items: Sequence[Any]) -> list[str]:
        """One line for each item, as a tooltip on a map."""
        ...

    def show(
        self,
        evaluation: Evaluation,
        name: str,
        cards: Sequence[Sequence[Shown]],
        *,
        section: str,
        title: str = "",
        lead: str = "",
        compare: bool = False,
    ) -> None:
        """Add examples to the report. name: of the picture file, if there is one. compare: mark differences from the
        previous line in texts."""
        ...


class Texts:
    nouns, valid, appearance = "sentences", "grammatical", "TF-IDF"

    def decoding(self, run: Run) -> dict[str, Any]:
        return {"max_tokens": run.config.data.max_tokens}

    def per_unit(self, nats: Tensor, items: Sequence[str], lengths: Mapping[str, Tensor]) -> dict[str, Estimate]:
        import torch

        from genera.measures.likelihood import bits_per_byte, per_token, per_word

        figures = {"ppl_word": per_word(nats, torch.tensor(self.lengths(items)))}
        figures["bits_per_byte"] = bits_per_byte(nats, torch.tensor([len(item.encode()) + 1 for item in items]))
        if (tokens := lengths.get("tokens")) is not None:
            figures |= {"ppl_token": per_token(nats, tokens), "ppl_token_bos_eos": per_token(nats, tokens + 1)}
        return figures

    def entropy_floor(self, items: Sequence[str], world: Any) -> Estimate | None:
        from genera.measures.text import entropy_floor

        return None if world is None else entropy_floor(items, world)

    def fidelity(self, outputs: Sequence[str], items: Sequence[str], data: Any) -> dict[str, Estimate]:
        from genera.measures.text import corpus_bleu, exact_match

        bleu = Estimate(corpus_bleu(outputs, items), None, len(items))
        return {"exact_reconstruction": exact_match(outputs, items), "bleu_reconstruction": bleu}

    def same(self, output: str, item: str) -> bool | None:
        return output.split() == item.split()

    def classifier(self, items: Sequence[str]) -> Classifier:
        from genera.measures.classifiers import TfidfClassifier

        return TfidfClassifier(items)

    def guided(self, outputs: Mapping[str, Sequence[str]], test: Sequence[str]) -> dict[str, Estimate]:
        from genera.measures.text import bleu_against, self_bleu

        every = [output for of_label in outputs.values() for output in of_label]
        repeats = [self_bleu(of_label).value for of_label in outputs.values()]
        return {
            "bleu_guided": bleu_against(every, test),
            "self_bleu_guided": Estimate(float(np.mean(repeats)), None, len(every)),
        }

    def lengths(self, items: Sequence[str]) -> list[int] | None:
        return [len(item.split()) for item in items]

    def progress(self, path: Sequence[str], start: str, end: str) -> list[float]:
        from genera.measures.text import progress

        return progress(path, start, end)

    def distinct(self, paths: Sequence[Sequence[str]]) -> list[int] | None:
        from genera.measures.text import distinct_on_path

        return [distinct_on_path(path) for path in paths]

    def colourings(self, items: Sequence[str]) -> dict[str, list[str]]:
        return {"words": [str(words) for words in self.lengths(items) or ()]}

    def captions(self, items: Sequence[str]) -> list[str]:
        from genera.data.text.pairs import halves

        return [" | ".join(filter(None, halves(item))) for item in items]

    def show(
        self,
        evaluation: Evaluation,
        name: str,
        cards: Sequence[Sequence[Shown]],
        *,
        section: str,
        title: str = "",
        lead: str = "",
        compare: bool = False,
    ) -> None:
        lines = [
            [Line(text=self.captions([s.item])[0], role=s.role, right=s.right, anew=s.anew) for s in card]
            for card in cards
        ]
        evaluation.show(Examples(section=section, title=title, lead=lead, cards=lines, compare=compare))


class Images:
    """Images (C, S, S) in [-1, 1]."""

    nouns, valid, appearance = "images", "valid", "pixels"

    def decoding(self, run: Run) -> dict[str, Any]:
        return {}

    def per_unit(self, nats: Tensor, items: Sequence[Tensor], lengths: Mapping[str, Tensor]) -> dict[str, Estimate]:
        return {"bits_per_dimension": mean_estimate(nats / (items[0].numel() * math.log(2)))}

    def entropy_floor(self, items: Sequence[Tensor], world: Any) -> Estimate | None:
        return None

    def fidelity(self, outputs: Sequence[Tensor], items: Sequence[Tensor], data: Any) -> dict[str, Estimate]:
        from genera.measures.reconstruction import blurred, details_kept, psnr, squared_error

        images = _stacked(items)
        errors = squared_error(_stacked(outputs), images)
        typical = (
            _stacked(data.items("train" if "train" in data.splits else data.splits[0], TYPICAL))
            .mean(0, keepdim=True)
            .expand(len(items), -1, -1, -1)
        )
        return {
            "mse_reconstruction": mean_estimate(errors),
            "psnr_reconstruction": mean_estimate(psnr(errors)),
            "mse_of_mean_image": mean_estimate(squared_error(typical, images)),
            "mse_of_blur": mean_estimate(squared_error(blurred(images), images)),
            "details_reconstruction": details_kept(_stacked(outputs), images),
            "details_of_blur": details_kept(blurred(images), images),
        }

    def same(self, output: Tensor, item: Tensor) -> bool | None:
        return None

    def classifier(self, items: Sequence[Tensor]) -> Classifier:
        from genera.measures.classifiers import PixelClassifier

        return PixelClassifier(items)

    def guided(self, outputs: Mapping[str, Sequence[Tensor]], test: Sequence[Tensor]) -> dict[str, Estimate]:
        return {}

    def lengths(self, items: Sequence[Tensor]) -> list[int] | None:
        return None

    def progress(self, path: Sequence[Tensor], start: Tensor, end: Tensor) -> list[float]:
        images = _stacked(path)
        to_start, to_end = ((images - other.cpu()).square().mean((1, 2, 3)).sqrt() for other in (start, end))
        return (to_start - to_end).tolist()

    def distinct(self, paths: Sequence[Sequence[Tensor]]) -> list[int] | None:
        return None

    def colourings(self, items: Sequence[Tensor]) -> dict[str, list[str]]:
        return {}

    def captions(self, items: Sequence[Tensor]) -> list[str]:
        return [f"image {number}" for number in range(len(items))]

    def show(
        self,
        evaluation: Evaluation,
        name: str,
        cards: Sequence[Sequence[Shown]],
        *,
        section: str,
        title: str = "",
        lead: str = "",
        compare: bool = False,
    ) -> None:
        columns = len(cards[0])
        roles = ", ".join(role for role, *_ in cards[0])
        told = f"{lead} From left to right: {roles}." if columns < PICTURES_ACROSS // 2 else lead
        across = columns * max(1, PICTURES_ACROSS // columns)
        images = [shown.item for card in cards for shown in card]
        evaluation.picture(name, images, section=section, title=title, lead=told.strip(), columns=across)


ITEM_TYPES: dict[str, ItemType] = {"text": Texts(), "images": Images()}
"""kind of a data set → its items, for the evaluators of any type"""


def item_type(kind: str) -> ItemType:
    """Of a data set's kind. Raises GeneraError for one whose items nobody knows how to compare."""
    if kind not in ITEM_TYPES:
        raise GeneraError(f"this is for {' and '.join(ITEM_TYPES)}, but the run's items are {kind}.")
    return ITEM_TYPES[kind]


def in_parts(use: Callable[..., list[Any]], inputs: Any, what: str, **options: Any) -> list[Any]:
    """`use(part, **options)` of all parts of `inputs`, AT_ONCE each, without gradients."""
    import torch

    from genera.console import track

    outputs: list[Any] = []
    with torch.no_grad():
        for i in track(range(0, len(inputs), AT_ONCE), what):
            outputs += use(inputs[i : i + AT_ONCE], **options)
    return outputs


def _stacked(images: Sequence[Tensor]) -> Tensor:
    """(N, C, S, S) float32 on the CPU."""
    import torch

    return torch.stack(list(images)).detach().float().cpu()
