"""Registry of evaluators. Imports no torch: lists, help and reports read only this."""

from functools import cache
from importlib import import_module

from genera import plugins
from genera.errors import unknown
from genera.evaluation.evaluator import Evaluator
from genera.measures.schema import Definition

BUILT_IN: dict[str, str] = {
    "likelihood": "genera.evaluation.likelihood",
    "latent": "genera.evaluation.latent",
    "reconstruction": "genera.evaluation.reconstruction",
    "samples": "genera.evaluation.samples",
    "interpolation": "genera.evaluation.interpolation",
    "analogy": "genera.evaluation.analogy",
    "response-likelihood": "genera.evaluation.response_likelihood",
    "responses": "genera.evaluation.responses",
    "style": "genera.evaluation.style",
    "fluency": "genera.evaluation.fluency",
    "pictures": "genera.evaluation.pictures",
    "fidelity": "genera.evaluation.fidelity",
    "factors": "genera.evaluation.factors",
    "memorisation": "genera.evaluation.memorisation",
    "translation-pictures": "genera.evaluation.translation_pictures",
    "translation": "genera.evaluation.translation",
    "translation-truth": "genera.evaluation.translation_truth",
    "training": "genera.evaluation.training",
    "maps": "genera.evaluation.maps",
    "navigation": "genera.evaluation.navigation",
    "shuffled": "genera.evaluation.shuffled_instructions",
    "random": "genera.evaluation.random_agent",
    "speaker": "genera.evaluation.speaker",
    "pretraining": "genera.evaluation.pretraining",
}
"""name → module with its `EVALUATOR`, in the order in which an evaluation runs them"""


@cache
def evaluators() -> dict[str, Evaluator]:
    """All evaluators by name, those of installed packages (entry points `genera.evaluators`) last."""
    known = {name: import_module(module).EVALUATOR for name, module in BUILT_IN.items()}
    return known | plugins.load(plugins.EVALUATORS, Evaluator, known)


def evaluator(name: str) -> Evaluator:
    """The evaluator `name`. Raises GeneraError that suggests the nearest name if it is unknown."""
    known = evaluators()
    if name not in known:
        raise unknown("evaluator", name, known)
    return known[name]


@cache
def definitions() -> dict[str, Definition]:
    """Every measure by name, in the order of the evaluators."""
    return {d.name: d for known in evaluators().values() for d in known.measures}


def definition(name: str) -> Definition:
    """The definition of a measure. Raises GeneraError when no evaluator defines it."""
    known = definitions()
    if name not in known:
        raise unknown("measure", name, known)
    return known[name]
