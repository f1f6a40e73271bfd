"""Load a trained model from its run folder, and use it."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from genera.engine.capabilities import Posterior
from genera.engine.config import from_dict
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.storage import Stored, chosen
from genera.uses import run as core
from genera.uses.grids import Pictures, grid
from genera.uses.settings import GuideConfig, ProbeConfig
from genera.uses.typical import warn_if_far

FINDINGS = 3
"""Shown in a notebook."""


def load(path: str | Path, *, device: str = "auto", checkpoint: str = "last") -> "Run":
    """Load the trained model of the run folder `path`, on any device. Needs no data.

    checkpoint: last, best, previous or a step number.
    Raises GeneraError when there is no run, no checkpoint, or a damaged one.
    """
    return Run.load(path, device=device, checkpoint=checkpoint)


class Run(core.Run):
    """A trained model and all its uses.

    Sentences are `str`. Images are tensors (C, S, S) in [-1, 1]; lists of them are `Pictures`, which notebooks display
    and `.pil()` converts. Methods that take images also accept files and PIL images of any size. `run.capabilities`
    lists the model's capabilities; using a missing one raises GeneraError.
    """

    def evaluate(self, *, measures: Sequence[str] = (), **settings: Any) -> Stored:
        """Measure the model on held-out data, as `genera evaluate`, into RUN/evaluations/.

        measures: only these evaluators. settings: fields of EvaluateConfig (data, split, seed, …), and the options of
        evaluators by name: `run.evaluate(data="text:mine.txt", likelihood={"samples": 10})`.
        """
        from genera.evaluation.evaluate import evaluate

        common = {name: settings.pop(name) for name in EvaluateConfig.__dataclass_fields__ if name in settings}
        return evaluate(self, EvaluateConfig(**common), measures=measures, **settings)

    def report(self, *, evaluation: str | None = None) -> Path:
        """Write RUN/report.html, as `genera report`, and return its path. evaluation: name of the one to show."""
        from genera.report.page import write_report

        return write_report(self.folder.path, evaluation=evaluation)

    def describe(self, paths: Sequence[Mapping[str, Any]], *, seed: int = 0, **options: Any) -> list[str]:
        """An instruction for each path {"scan": …, "path": [viewpoint, …], "heading": radians (default 0)}, as
        `genera describe`. options: see `genera.uses.describe.describe`."""
        from genera.uses.describe import describe

        return describe(self, paths, seed=seed, **options)

    def probe(self, **settings: Any) -> dict[str, Any]:
        """Learning curves of classifiers on the features, as `genera probe`. Settings are fields of ProbeConfig."""
        from genera.evaluation.probe import probe

        return probe(self, from_dict(ProbeConfig, settings, "probe"))

    def guide(self, label: str, count: int = 10, *, seed: int = 0, decoding: Any = None, **settings: Any) -> list[Any]:
        """`count` items with the label `label`, as `genera guide`. Settings are fields of GuideConfig, such as `sure`.
        decoding: the method's options (text: temperature, top_k, top_p, max_tokens, beams, length_penalty)."""
        from genera.uses.guide import guide

        config = from_dict(GuideConfig, settings, "guide")
        return guide(self, label, count, config, seed=seed, **(decoding or {})).items

    def score_guide(self, count: int = 100, *, seed: int = 0, **settings: Any) -> dict[str, Any]:
        """Measure a guide on `count` items per label, as `genera guide --score`."""
        from genera.evaluation.guide_scores import score_guide

        return score_guide(self, from_dict(GuideConfig, settings, "guide"), count, seed=seed)

    def navigate(self, instruction: str, *, scan: str, start: str, **options: Any) -> dict[str, Any]:
        """A greedy rollout of the agent for `instruction` from viewpoint `start`, as `genera navigate RUN`. options:
        heading, goal, data, features, reranking; see `genera.uses.navigate.navigate`."""
        from genera.uses.navigate import navigate

        return navigate(self, instruction, scan=scan, start=start, **options)

    def navigate_split(self, split: str, **options: Any) -> dict[str, float]:
        """Mean figures of greedy rollouts of all episodes of a split. options: out, data, features, reranking; see
        `genera.uses.navigate.navigate_split`."""
        from genera.uses.navigate import navigate_split

        return navigate_split(self, split, **options)

    def encode(self, items: Sequence[Any]) -> Posterior:
        """Posterior mean and log variance of each item. Warns (FarFromTraining) of texts unlike the training data, if
        the run was evaluated."""
        posterior = super().encode(items)
        warn_if_far(self, items)
        return posterior

    # images

    def show(self, images: Tensor | Sequence[Tensor], *, columns: int | None = None) -> Image.Image:
        """One PIL image of an image (C, S, S), or of several in a grid."""
        return grid([images] if isinstance(images, Tensor) and images.ndim == 3 else list(images), columns)

    def sample(self, count: int = 1, *, seed: int = 0, **options: Any) -> list[Any]:
        """Draw `count` items. options: the method's (text: temperature, top_k, top_p, max_tokens; images: classes,
        truncation)."""
        return _displayed(super().sample(count, seed=seed, **options))

    def decode(self, z: Any, *, seed: int = 0, **options: Any) -> list[Any]:
        """Items at the latents z (B, P): a tensor, an array, what `encode` returns (its means), or what `genera encode
        --out` wrote (the path of the .npz, or np.load of it)."""
        return _displayed(super().decode(z, seed=seed, **options))

    def translate(self, items: Sequence[Any], direction: str) -> list[Any]:
        """Translate items of one domain to the other. direction: such as a2b."""
        return _displayed(super().translate(items, direction))

    def mixed_styles(
        self, coarse: Sequence[int], fine: Sequence[int], *, layer: int, seed: int = 0, **options: Any
    ) -> list[Tensor]:
        """A table of images, row by row, with the coarse styles of the row's seed and the fine styles of the column's.
        The first row and the first column show the unmixed images."""
        return Pictures(super().mixed_styles(coarse, fine, layer=layer, seed=seed, **options), columns=len(fine) + 1)

    # in a notebook

    def __repr__(self) -> str:
        return f"<genera run {self.folder.path}: {self._title}, step {self.step}>"

    def _repr_html_(self) -> str:
        """Summary, capabilities, and results of the newest evaluation."""
        rows = {
            "folder": str(self.folder.path),
            "step": f"{self.step:,}",
            "parameters": f"{sum(p.numel() for p in self.method.parameters()):,}",
            "capabilities": ", ".join(self.capabilities),
        }
        findings: list[str] = []
        if stored := chosen(self.folder.path):
            rows["measured on"] = stored.title
            definitions = stored.definitions
            for figure in stored.figures:
                known = definitions[figure.measure]
                if known.headline and figure.value is not None:
                    unit = "" if known.unit == "share" else f" {known.unit}"
                    rows[" ".join((known.title, *figure.qualifiers))] = f"{figure.value:.4g}{unit}"
            findings = [finding["finding"] for finding in stored.diagnosis[:FINDINGS]]
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
        items = "".join(f"<li>{escape(finding)}</li>" for finding in findings)
        return f"<b>{escape(self._title)}</b><table>{cells}</table>" + (f"<ul>{items}</ul>" if items else "")

    @property
    def _title(self) -> str:
        return f"{self.config.method}:{self.config.preset} on {self.config.data.data}"


def _displayed(items: list[Any]) -> list[Any]:
    return Pictures(items) if items and isinstance(items[0], Tensor) else items
