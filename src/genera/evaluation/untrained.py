"""The untrained model: a baseline that a trained one must leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genera.evaluation.evaluator import Evaluation

if TYPE_CHECKING:
    from genera.uses.run import Run

ITEMS = 200
"""Number of items that it is measured on."""


def untrained(evaluation: Evaluation) -> Any:
    """The method of the run as its constructor leaves it: same configuration, random weights of the evaluation's seed.

    Pre-trained parts are not loaded. It is on the run's device and shared between evaluators.
    """
    return evaluation.once("untrained", lambda: _build(evaluation))


def untrained_run(evaluation: Evaluation) -> Run | None:
    """The untrained model as a run; None for a method that is not registered, such as one made for a test."""
    from genera.engine import registry

    run = evaluation.run
    entry = registry.entries().get(run.config.method)
    if entry is None or entry.load() is not type(run.method):
        return None
    return type(run)(run.folder, run.config, untrained(evaluation), 0)


def _build(evaluation: Evaluation) -> Any:
    import torch

    run = evaluation.run
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(evaluation.seed)
        method = type(run.method)(run.config.model, run.method.assets)
    for reference in method.references.values():
        reference.belongs_to(run.folder.path)
    method.to(run.device).eval()
    method.lay_out()
    return method
