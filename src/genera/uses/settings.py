"""What an evaluation can be asked. No torch."""

from dataclasses import dataclass
from typing import Literal

from genera.errors import GeneraError


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What to measure and on how much."""

    data: str | None = None
    """Data to measure on, as in training; default: the run's own."""
    text_column: str | None = None
    """Where the text of --data is: a TSV column (number from 0, or name in the header) or a JSONL field [0; text]."""
    label_column: str | None = None
    """Where the label of --data is: a TSV column or a JSONL field [no labels]."""
    split: Literal["test", "valid", "train"] = "test"
    """Which part of the data."""
    items: int = 2000
    """Items of the split for reconstruction and the latent space."""
    likelihood_items: int = 500
    """Items of the split for the likelihood bounds, each decoded K times."""
    importance_samples: int = 100
    """K of the importance-weighted bound."""
    prior_samples: int = 500
    """Samples drawn from the model."""
    pairs: int = 100
    """Interpolations, and ten times as many analogies."""
    images: int = 2000
    """Images drawn from (or translated by) an image model, and real ones to compare as many with."""
    features: str = "in-domain"
    """What images are compared by: in-domain (a classifier trained on the run's data, once), or a file with the FID
    Inception's weights (.safetensors, or inception-2015-12-05.pt)."""
    measures: tuple[str, ...] = ()
    """Only these parts. Texts: likelihood, latent, reconstruction, samples, interpolation, analogy; images: fidelity,
    factors, memorisation, samples, training; image pairs: fidelity, truth, samples [all that apply]."""
    seed: int = 0
    """Seed of every draw."""

    def check(self) -> None:
        names = ("items", "likelihood_items", "importance_samples", "prior_samples", "pairs", "images")
        wrong = [
            f"--{n.replace('_', '-')} must be at least 1, got {getattr(self, n)}" for n in names if getattr(self, n) < 1
        ]
        if self.data is None and (self.text_column or self.label_column):
            wrong.append("--text-column and --label-column are those of --data, which was not given")
        if wrong:
            raise GeneraError("; ".join(wrong) + ".")
