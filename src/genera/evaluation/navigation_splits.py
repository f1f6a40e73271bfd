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
    """The figures of unseen houses where `measure` was taken there, else those of the split where it was: how an agent
    does in houses that training never entered shows what it has learnt."""
    splits = sorted(figures.values_of("split"), key=lambda split: split != UNSEEN)
    parts = [figures.of(split=split) for split in splits]
    return next((part for part in parts if measure in part), figures.of())
