"""What uses of a trained model can be asked. No torch."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genera.errors import GeneraError


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Where labelled items come from."""

    data: str | None = None
    """Labelled data, as in training; default: the run's own."""
    text_column: str | None = None
    """Where the text of --data is: a TSV column (number from 0, or name in the header) or a JSONL field; two with a
    comma between them make a pair of sentences [0; text]."""
    label_column: str | None = None
    """Where the label of --data is: a TSV column or a JSONL field; of text: `file` or `first`."""
    factor: str | None = None
    """Factor of a world: source that is the label, in the place of --label-column."""
    items: int = 20_000
    """Training items at most, drawn at random."""
    test_items: int = 2000
    """Test items at most, drawn at random."""

    def complaints(self) -> list[str]:
        wrong = [
            f"--{_option(n)} must be at least 1, got {getattr(self, n)}" for n in self._counts() if getattr(self, n) < 1
        ]
        if self.data is None and (self.text_column or self.label_column):
            wrong.append("--text-column and --label-column are those of --data, which was not given")
        if self.factor and self.label_column:
            wrong.append("--factor is for a world: and --label-column for other data; give one of them")
        return wrong

    def _counts(self) -> tuple[str, ...]:
        return ("items", "test_items")

    def check(self) -> None:
        """Raise one GeneraError with every complaint."""
        if wrong := self.complaints():
            raise GeneraError("; ".join(wrong) + ".")


@dataclass(frozen=True, kw_only=True)
class ProbeConfig(LabelConfig):
    """How few labels a classifier on the model's features needs. The settings of fine-tuning are those of Optimus."""

    shots: tuple[int, ...] = ()
    """Labelled items per class to learn from [1 5 10 25 50 100 500 1000, as far as the data goes]."""
    draws: int = 10
    """Draws of the labelled items up to 100 a class; a third of them (at least 2) above."""
    tuned: bool = True
    """Also train all weights of the encoder with the classifier (minutes on a CPU; --no-tuned for seconds)."""
    tune_draws: int = 3
    """Draws for fine-tuning."""
    tune_epochs: int = 100
    """Passes over the labelled items when fine-tuning."""
    tune_steps: int = 500
    """Updates of fine-tuning at most; the passes end there."""
    tune_lr: float | None = None
    """Learning rate of fine-tuning, which decays to 0 [0.4 of the run's own, 2e-5 for the published one]."""
    tune_batch: int = 32
    """Items per update of fine-tuning."""
    tune_dropout: float = 0.1
    """Dropout on the features when fine-tuning."""
    pairs: Literal["joint", "apart"] = "joint"
    """How a pair of sentences is read: as one text with [SEP] between them, as published; or each for itself, u and v,
    into (u, v, |u - v|, u * v)."""
    against: tuple[str, ...] = ()
    """Other run folders, or shipped models, whose features are probed on the same draws."""
    map_items: int = 500
    """Test items on the t-SNE map of the report; 0 draws none."""
    seed: int = 0
    """Seed of every draw."""

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
    """How the latents of items that carry a label are found."""

    method: Literal["vector", "gan", "cara"] = "vector"
    """Add the mean difference of latents between two labels to an item of another label; draw from a conditional GAN of
    the latents; or train a copy of the model to take the label apart from the latent (minutes)."""
    degree: float = 1.0
    """How far a vector moves: 0 leaves the item as it is, 1 is the whole difference of the means."""
    name: str | None = None
    """Folder of the guide in RUN/guides, found again by later calls [LABEL-METHOD]."""
    gan_steps: int = 3000
    """Updates of each player of the GAN; CARA draws its latents from one too."""
    cara_steps: int = 1000
    """Updates of each player of CARA, of 64 items."""
    cara_lr: float | None = None
    """Learning rate of the model's copy in CARA, which decays to 0 [the run's own]."""
    hidden: int = 256
    """Width of the networks in the latent space, of the GAN and of CARA."""
    fit_seed: int = 0
    """Seed of the fit."""

    def _counts(self) -> tuple[str, ...]:
        return (*super()._counts(), "gan_steps", "cara_steps", "hidden")

    def complaints(self) -> list[str]:
        rules = [
            (self.method == "vector" or self.degree == 1.0, f"--degree moves along a vector; a {self.method} has none"),
            (self.cara_lr is None or self.cara_lr > 0, f"--cara-lr must be above 0, got {self.cara_lr}"),
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
