"""Has pre-training taught the encoder to predict actions and masked words?"""

from collections.abc import Mapping
from functools import partial

from genera.engine.capabilities import Pretrains
from genera.evaluation.blocks import Table
from genera.evaluation.evaluator import Evaluation, Evaluator, Options, require
from genera.evaluation.navigation_splits import SEEN, SPLIT_TITLES, SPLITS
from genera.evaluation.navigation_uses import PREDICTIONS, TITLES
from genera.evaluation.verdict import verdict
from genera.measures.schema import Definition, Estimate

_define = partial(Definition, group="Speaker and encoder")
_PREVALENT = "Hao et al. 2020, Prevalent"
MEASURES = (
    _define(
        "action_accuracy",
        "Action prediction",
        "share",
        "higher",
        "Share of steps whose next action the pre-trained encoder predicts from panorama and instruction alone.",
        _PREVALENT,
        headline=True,
    ),
    _define(
        "action_majority",
        "Action prediction, majority baseline",
        "share",
        "neither",
        "Share of steps that the training split's most frequent action gets right. Action prediction must beat it.",
    ),
    _define(
        "masked_word_nats",
        "Masked word loss",
        "nats a word",
        "lower",
        "Mean negative log-likelihood of masked words.",
        _PREVALENT,
    ),
    _define(
        "masked_words_right",
        "Masked word accuracy",
        "share",
        "higher",
        "Share of masked words that the encoder predicts right.",
        _PREVALENT,
    ),
    _define(
        "masked_words_majority",
        "Masked word accuracy, majority baseline",
        "share",
        "neither",
        "Share of masked words that always saying their most frequent word gets right.",
    ),
)


def measure(evaluation: Evaluation, options: Options) -> None:
    """Figures measured at the end of pre-training, on these splits of the run's data."""
    trained_on = evaluation.run.config.data.data
    require(
        evaluation.sources.get("data") in (None, trained_on),
        f"its figures are those of {trained_on}, taken as pre-training ended",
    )
    held_out = {SEEN if split == "valid" else split: f for split, f in evaluation.model.pretraining_figures().items()}
    measured = {split: figures for split, figures in held_out.items() if split in evaluation.splits}
    require(measured, f"its figures are those of {' and '.join(held_out)}, taken as pre-training ended")
    for split, figures in measured.items():
        values = {
            "action_accuracy": figures.accuracy,
            "action_majority": figures.majority,
            "masked_word_nats": figures.mlm,
            "masked_words_right": figures.words_right,
            "masked_words_majority": figures.words_majority,
        }
        for name, value in values.items():
            if value is not None:
                evaluation.record(name, Estimate(value, None, figures.triplets), split=split)
    evaluation.show(*action_tables({split: figures.classes for split, figures in measured.items()}))


def action_tables(actions: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Table]:
    """Action prediction by class: 0 is STOP, the others are the neighbours by |relative heading|, from 1.

    actions: split → {class: {"share", "accuracy"}}.
    """
    return [
        Table(
            section="Action prediction",
            title=SPLIT_TITLES.get(split, split),
            lead="Neighbours are numbered by how little the agent must turn towards them.",
            columns=["action", "share", "accuracy"],
            units=["", "share", "share"],
            rows=[
                ["STOP" if action == "0" else f"neighbour {action}", values["share"], values["accuracy"]]
                for action, values in classes.items()
            ],
        )
        for split, classes in actions.items()
        if classes
    ]


EVALUATOR = Evaluator(
    name="pretraining",
    question="Has pre-training taught the encoder to predict actions and masked words?",
    measure=measure,
    measures=MEASURES,
    needs=(Pretrains,),
    items=("navigation",),
    rules=(verdict(PREDICTIONS, by="split", titles=TITLES),),
    splits=SPLITS,
)
