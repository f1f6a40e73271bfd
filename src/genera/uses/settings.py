"""Options for the uses of a trained model. No torch."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genera.errors import GeneraError


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Source of labelled items."""

    data: str | None = None
    """Source of labelled data, as in training [the run's data]."""
    text_column: str | None = None
    """Text of --data: a TSV column (number from 0, or header name) or a JSONL field; two, separated by a comma, make
    sentence pairs [0; text]."""
    label_column: str | None = None
    """Label of --data: a TSV column or a JSONL field; for text: sources, `file` or `first`."""
    factor: str | None = None
    """Factor to use as the label, for world: sources (instead of --label-column)."""
    items: int = 20_000
    """Maximum number of training items, drawn at random."""
    test_items: int = 2000
    """Maximum number of test items, drawn at random."""

    def complaints(self) -> list[str]:
        wrong = [
            f"--{_option(n)} must be at least 1, got {getattr(self, n)}" for n in self._counts() if getattr(self, n) < 1
        ]
        if self.data is None and (self.text_column or self.label_column):
            wrong.append("--text-column and --label-column need --data")
        if self.factor and self.label_column:
            wrong.append("--factor is for world: sources and --label-column for others; give one of them")
        return wrong

    def _counts(self) -> tuple[str, ...]:
        return ("items", "test_items")

    def check(self) -> None:
        """Raise one GeneraError with all error messages."""
        if wrong := self.complaints():
            raise GeneraError("; ".join(wrong) + ".")


@dataclass(frozen=True, kw_only=True)
class ProbeConfig(LabelConfig):
    """Measures how few labels a classifier on the model's features needs. Fine-tuning settings follow Optimus."""

    shots: tuple[int, ...] = ()
    """Numbers of labelled items per class to train on [1 5 10 25 50 100 500 1000, as far as the data allows]."""
    draws: int = 10
    """Random draws of labelled items for up to 100 per class; above 100, a third of them (at least 2)."""
    tuned: bool = True
    """Also fine-tune all encoder weights with the classifier (minutes on a CPU; seconds with --no-tuned)."""
    tune_draws: int = 3
    """Random draws for fine-tuning."""
    tune_epochs: int = 100
    """Epochs of fine-tuning over the labelled items."""
    tune_steps: int = 500
    """Maximum number of fine-tuning updates."""
    tune_lr: float | None = None
    """Initial learning rate of fine-tuning; decays linearly to 0 [0.4 times the run's; 2e-5 for the published rate]."""
    tune_batch: int = 32
    """Items per update of fine-tuning."""
    tune_dropout: float = 0.1
    """Dropout on the features when fine-tuning."""
    pairs: Literal["joint", "apart"] = "joint"
    """Encoding of sentence pairs: jointly, as one text with [SEP] between them (published); or separately, u and v,
    combined as (u, v, |u - v|, u * v)."""
    against: tuple[str, ...] = ()
    """Other run folders or shipped models to probe on the same draws."""
    map_items: int = 500
    """Test items on the t-SNE map of the report; 0 omits the map."""
    seed: int = 0
    """Random seed."""

    def _counts(self) -> tuple[str, ...]:
        return (*super()._counts(), "tune_epochs", "tune_steps", "tune_batch")

    def complaints(self) -> list[str]:
        rules = [
            (all(n >= 1 for n in self.shots), f"--shots must be at least 1 each, got {list(self.shots)}"),
            (len(set(self.shots)) == len(self.shots), f"--shots must differ, got {list(self.shots)}"),
            (self.draws >= 2, f"--draws must be at least 2 to show a spread, got {self.draws}"),
            (self.tune_draws >= 2, f"--tune-draws must be at least 2 to show a spread, got {self.tune_draws}"),
            (
                not self.tuned or self.tune_draws <= self.draws,
                f"--tune-draws {self.tune_draws} exceeds --draws {self.draws}",
            ),
            (self.tune_lr is None or self.tune_lr > 0, f"--tune-lr must be above 0, got {self.tune_lr}"),
            (0 <= self.tune_dropout < 1, f"--tune-dropout must lie in [0, 1), got {self.tune_dropout}"),
            (self.map_items == 0 or self.map_items >= 4, f"--map-items must be 0 or at least 4, got {self.map_items}"),
            (self.seed >= 0, f"--seed must be 0 or above, got {self.seed}"),
            (
                len({Path(run).name for run in self.against}) == len(self.against),
                f"the runs of --against are told apart by their folders' names, which must differ: {self.against}",
            ),
        ]
        return super().complaints() + [complaint for holds, complaint in rules if not holds]


@dataclass(frozen=True, kw_only=True)
class GuideConfig(LabelConfig):
    """Settings for fitting a guide: latents of items with a given label."""

    method: Literal["vector", "gan", "cara"] = "vector"
    """vector: add the mean latent difference between two labels to an item of another label. gan: sample from a
    conditional GAN over latents. cara: train a copy of the model that separates label and latent (minutes)."""
    degree: float = 1.0
    """Strength of the vector: 0 leaves the item unchanged, 1 adds the full difference of the means."""
    sure: float | None = None
    """Keep only items to which a classifier of real items gives the label with at least this probability; gives up
    after 50 draws per item [keep all]."""
    name: str | None = None
    """Folder of the guide in RUN/guides, reused by later calls [LABEL-METHOD]."""
    gan_steps: int = 3000
    """Updates of each player of the GAN; CARA also samples its latents from a GAN."""
    cara_steps: int = 1000
    """Updates of each player of CARA, with 64 items each."""
    cara_lr: float | None = None
    """Initial learning rate of the model copy in CARA; decays to 0 [the run's]."""
    hidden: int = 256
    """Width of the latent-space networks of the GAN and CARA."""
    fit_seed: int = 0
    """Seed of the fit."""

    def _counts(self) -> tuple[str, ...]:
        return (*super()._counts(), "gan_steps", "cara_steps", "hidden")

    def complaints(self) -> list[str]:
        rules = [
            (self.method == "vector" or self.degree == 1.0, f"--degree is for vector guides, not for {self.method}"),
            (self.cara_lr is None or self.cara_lr > 0, f"--cara-lr must be above 0, got {self.cara_lr}"),
            (self.sure is None or 0 < self.sure < 1, f"--sure must lie between 0 and 1, got {self.sure}"),
            (math.isfinite(self.degree), f"--degree must be finite, got {self.degree}"),
            (self.fit_seed >= 0, f"--fit-seed must be 0 or above, got {self.fit_seed}"),
            (
                self.name is None or re.fullmatch(r"\w[\w.-]*", self.name) is not None,
                f"--name {self.name!r} must be letters, digits, dots and dashes",
            ),
        ]
        return super().complaints() + [complaint for holds, complaint in rules if not holds]

    @property
    def folder(self) -> str:
        """Name of the guide's folder."""
        label = re.sub(r"[^\w.-]", "_", self.factor or self.label_column or "label")
        return self.name or f"{label}-{self.method}"


def _option(name: str) -> str:
    return name.replace("_", "-")
