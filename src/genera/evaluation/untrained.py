"""The untrained model: a baseline that a trained one must leave behind."""

from typing import Any

from genera.evaluation.evaluator import Evaluation

ITEMS = 200
"""Number of items that it is measured on."""


def untrained(evaluation: Evaluation) -> Any:
    """The method of the run as its constructor leaves it: same configuration, random weights of the evaluation's seed.

    Pre-trained parts are not loaded. It is on the run's device and shared between evaluators.
    """
    return evaluation.once("untrained", lambda: _build(evaluation))


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
