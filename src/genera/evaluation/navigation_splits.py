"""Splits that the evaluators of navigation measure, and those that the diagnosis uses. Imports no torch."""

from dataclasses import dataclass

from genera.evaluation.evaluator import Options
from genera.measures.schema import Figures

SEEN, UNSEEN = "val_seen", "val_unseen"
SPLITS = {"test": (SEEN, UNSEEN), "valid": (SEEN,)}
"""What `--split` says → the splits that are measured."""
SPLIT_TITLES = {SEEN: "seen houses", "valid": "seen houses", UNSEEN: "unseen houses", "train": "training"}


@dataclass(frozen=True, kw_only=True)
class RolloutOptions(Options):
    """Options of the rollouts."""

    episodes: int = 2000
    """Maximum number of episodes per split."""


def judged(figures: Figures, measure: str) -> Figures:
    """The figures of the split that decides about `measure`."""
    split = deciding(figures, measure)
    return figures.of(split=split) if split else figures.of()


def deciding(figures: Figures, measure: str) -> str | None:
    """Unseen houses where `measure` was taken there, else the split where it was: how an agent does in houses that
    training never entered shows what it has learnt. None if it was taken nowhere."""
    splits = sorted(figures.values_of("split"), key=lambda split: split != UNSEEN)
    return next((split for split in splits if measure in figures.of(split=split)), None)
